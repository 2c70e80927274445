"""Everything that is needed to train one trial of a search, as one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, NumericError
from threegen.randomness import make_generator
from threegen.registry.entry import Entry, build_model, find_entry
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer as optimizer_recipe
from threegen.training.search.trials import Trial

OPTIMIZER_SETTINGS = ("lr", "weight_decay", "momentum")
TRAINING_SETTINGS = ("optimizer", "batch_size")

Build = Callable[..., nn.Module]


@dataclass(frozen=True)
class TrialTask:
    """Builds and trains a single trial by `fit`: the reference that stacked training must agree with.

    `model` is a name, an entry or a function `build(generator, **settings)`; `options` are the model's, `fixed` the
    `optimizer` and `batch_size` that all trials share unless their settings say otherwise.
    """

    model: str | Entry | Build
    options: Mapping[str, Any]
    fixed: Mapping[str, Any]
    train: Dataset
    validation: Dataset
    epochs: int
    loss: str

    def split(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str, int]:
        """Return the settings of the model, those of the optimiser, its name, and the batch size."""
        rates = {name: value for name, value in settings.items() if name in OPTIMIZER_SETTINGS}
        training = {**self.fixed, **{name: settings[name] for name in TRAINING_SETTINGS if name in settings}}
        known = (*OPTIMIZER_SETTINGS, *TRAINING_SETTINGS)
        others = {name: value for name, value in settings.items() if name not in known}
        return {**self.options, **others}, rates, training["optimizer"], training["batch_size"]

    def build(self, settings: Mapping[str, Any], seed: int) -> nn.Module:
        """Return the network of a trial; raises `ConfigError` if it cannot be built."""
        entry = find_entry(self.model) if isinstance(self.model, str) else self.model
        if isinstance(entry, Entry):
            return build_model(entry, self.train.shape, len(self.train.classes), seed, settings)
        try:
            return entry(make_generator(seed, "weights"), **settings)
        except TypeError as problem:
            raise ConfigError(f"the model cannot be built with {dict(settings)}: {problem}") from problem

    def run(self, trial: Trial) -> nn.Module:
        """Train one trial, fill in its curves, and return the network."""
        settings, rates, kind, batch_size = self.split(trial.settings)
        network = self.build(settings, trial.seed)
        recipe = optimizer_recipe(kind, **{name: value for name, value in rates.items() if value or name == "lr"})
        try:
            log = fit(
                network,
                Backprop(self.loss),
                self.train,
                optimizer=recipe,
                epochs=self.epochs,
                batch_size=min(batch_size, len(self.train)),
                seed=trial.seed,
                validation=self.validation,
            )
        except NumericError:
            trial.state = "diverged"
            return network
        for record in log.epochs:
            trial.training_loss.append(record["loss"])
            trial.validation_loss.append(record["validation_loss"])
            trial.validation_accuracy.append(record["validation_accuracy"])
        trial.state = "finished"
        return network
