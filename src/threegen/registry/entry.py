"""The registry of models: one entry per file in `registry/entries`; adding a model is adding a file.

An entry holds the facts of a model (name, generation, year, paper), its builder for data of a given shape, its learning
rule, and its training settings ("plans"). The lineage of `threegen history`, the command line and `Classifier` all read
the same entries.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

import torch
from torch import nn

from threegen.checks import did_you_mean, require_choice, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError
from threegen.randomness import make_generator
from threegen.registry import entries as _entries
from threegen.rules.rule import Rule
from threegen.training.optimizers.build import OptimizerRecipe, resolve_optimizer
from threegen.training.optimizers.build import optimizer as build_recipe
from threegen.training.schedules import Schedule
from threegen.training.stages import Stage

MODES = ("quick", "full")


class Builder(Protocol):
    """Builds a model for examples of `shape` in `classes` classes; the weights come only from `generator`."""

    def __call__(self, shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
        """Return the built network."""
        ...


@dataclass(frozen=True)
class Plan:
    """How to train an entry: everything that `fit` needs in addition to the model, the rule and the data.

    `seconds` is the budget on two cores that the entry declares; `options` go to the builder; `transform` turns the
    given training data into those that are used (for example, more of them). `held_out` is the share of training
    examples kept for validation unless the user gives a number.
    """

    epochs: int
    seconds: float
    batch_size: int = 128
    optimizer: OptimizerRecipe | None = None
    schedule: str | Schedule | None = None
    shuffle: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    transform: Callable[[Dataset], Dataset] | None = None
    held_out: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values, for run.json and results.json."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer.describe() if self.optimizer else "the rule's own",
            "schedule": "constant" if self.schedule is None else str(self.schedule),
            **({"options": dict(self.options)} if self.options else {}),
            **({"held_out": self.held_out} if self.held_out else {}),
            **({"transform": getattr(self.transform, "__name__", repr(self.transform))} if self.transform else {}),
        }


@dataclass(frozen=True)
class Entry:
    """One model of the registry.

    `about` is one plain sentence; `equations` are printed by `threegen show`; `rule` builds the learning rule and
    `rule_name` describes it; `plans` holds a `Plan` for "quick" and one for "full". `stages`, if given, replaces the
    rule by stages made for the built model and a plan. `finish`, if given, makes the model of the run from the trained
    one and its training data (for example a spiking copy). `lineage` says whether `threegen history` trains it.
    `picture` is the side to which a user's own pictures are scaled if no size is given. Further plans besides "quick"
    and "full" have their own names: a data set, or "paper".
    """

    name: str
    title: str
    generation: int
    year: int
    paper: str
    about: str
    equations: str
    rule_name: str
    build: Builder
    rule: Callable[[], Rule]
    plans: Mapping[str, Plan]
    stages: Callable[[nn.Module, Plan], list[Stage]] | None = None
    finish: Callable[[nn.Module, Dataset, Plan], nn.Module] | None = None
    lineage: bool = True
    picture: int | None = None

    def plan(self, mode: str) -> Plan:
        """Return the plan of that name; raises `ConfigError` for another one."""
        return self.plans[require_choice("mode", mode, self.plans)]

    def settled_plan(
        self,
        mode: str,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        optimizer: str | OptimizerRecipe | None = None,
        lr: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Return the plan for `mode` with the user's settings; None keeps the plan's value.

        Raises `ConfigError` for values that cannot work, and for an optimiser or a rate if the model learns in stages,
        which have their own.
        """
        plan = self.plan(mode)
        if epochs is not None:
            plan = replace(plan, epochs=require_whole("epochs", epochs))
        if batch_size is not None:
            plan = replace(plan, batch_size=require_whole("batch_size", batch_size))
        if optimizer is not None or lr is not None:
            if self.stages is not None:
                raise ConfigError(f"{self.name} learns in stages, which have their own optimisers and rates")
            plan = replace(plan, optimizer=self._recipe(plan.optimizer, optimizer, lr))
        return replace(plan, options={**plan.options, **(options or {})})

    def _recipe(
        self, planned: OptimizerRecipe | None, chosen: str | OptimizerRecipe | None, lr: float | None
    ) -> OptimizerRecipe:
        if chosen is None and planned is not None:
            return build_recipe(planned.name, **{**planned.options, "lr": lr})
        rule = self.rule()
        recipe = resolve_optimizer(chosen, lr, rule.default_optimizer, rule.default_rate)
        if not isinstance(recipe, OptimizerRecipe):
            raise ConfigError(f"optimizer must be a name or optimizer(...), got {chosen!r}")
        return recipe

    def teaching(self, model: nn.Module, plan: Plan) -> tuple[Rule | list[Stage], dict[str, Any]]:
        """Return the arguments of `fit` for a built model: the rule and its settings, or the stages, which have
        theirs."""
        if self.stages is not None:
            return self.stages(model, plan), {}
        settings: dict[str, Any] = {
            "optimizer": plan.optimizer,
            "epochs": plan.epochs,
            "batch_size": plan.batch_size,
            "schedule": plan.schedule,
            "shuffle": plan.shuffle,
        }
        if plan.transform is not None:
            return [Stage(self.name, self.rule(), transform=plan.transform, **settings)], {}
        return self.rule(), settings


def build_model(entry: Entry, shape: Sequence[int], classes: int, seed: int, options: Mapping[str, Any]) -> nn.Module:
    """Build an entry's network; its weights depend only on (seed, name).

    Raises `ConfigError` for an option that the model does not have and for values that it cannot be built with.
    """
    generator = make_generator(seed, "weights", entry.name)
    try:
        return entry.build(tuple(shape), classes, generator, **options)
    except TypeError as problem:
        raise ConfigError(_misbuilt(entry, shape, classes, options, problem)) from problem


def _misbuilt(entry: Entry, shape: Sequence[int], classes: int, options: Mapping[str, Any], problem: TypeError) -> str:
    """Return the error sentence for options with which a model could not be built."""
    plain = entry.build(tuple(shape), classes, make_generator(0, "weights"))
    known = [name for name in inspect.signature(type(plain).__init__).parameters if name not in ("self", "generator")]
    known = sorted({*known, *(name for plan in entry.plans.values() for name in plan.options), "hidden"} - {"sizes"})
    for name in options:
        if name not in known and f"{name!r}" in str(problem):
            return f"{entry.name} has no option {name!r}; it has {', '.join(known)}{did_you_mean(name, known)}"
    if "must be an iterable" in str(problem):
        return (
            f"{entry.name} cannot be built with {dict(options)}: sizes of layers are a list, such as hidden=[300,100]"
        )
    return f"{entry.name} cannot be built with {dict(options)}: {problem}"


@cache
def all_entries() -> dict[str, Entry]:
    """Return every entry by name, in the order of generations and years."""
    found: list[Entry] = []
    for module in pkgutil.iter_modules(_entries.__path__):
        found.append(importlib.import_module(f"{_entries.__name__}.{module.name}").ENTRY)
    found.sort(key=lambda entry: (entry.generation, entry.year, entry.name))
    return {entry.name: entry for entry in found}


def find_entry(name: str) -> Entry:
    """Return the entry called `name`; raises `ConfigError` with the nearest spelling."""
    known = all_entries()
    if name in known:
        return known[name]
    raise ConfigError(f"no model is called {name!r}; choose {', '.join(known)}{did_you_mean(name, known)}")


def lineage_entries() -> list[Entry]:
    """Return the entries that `threegen history` trains, oldest generation first."""
    return [entry for entry in all_entries().values() if entry.lineage]
