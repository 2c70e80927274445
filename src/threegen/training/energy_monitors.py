"""Monitors for the training of an RBM: they run after epochs, on a few hundred cases.

    reconstruction error   mean over cases of |v - E(v1)|^2, one way up and down with nothing drawn
    divergence             mean over cases of sum_i KL(v_i || reconstruction_i), in nats; grey pixels are probabilities
    pseudo-likelihood      mean over cases of sum_i log p(v_i | all other v), in nats per case: exact over all flips, or
                           estimated from one flip per case, V log p(v_i | others) for a random i
    free-energy gap        mean F of validation cases minus that of training cases: it grows when the net overfits
    dead, saturated units  hidden units whose probability stays below .01, or above .99, for all cases

Hinton, "A practical guide to training restricted Boltzmann machines", UTML TR 2010-003, sections 5, 6 and 15. Do not
rely on the reconstruction error alone: it also falls when the chains mix badly.

Shapes: B cases, V visible units, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_number, require_unit_range, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, warn_user
from threegen.functional.energy.units import BernoulliUnits
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import TwoLayers
from threegen.training.loop import Callback, Training
from threegen.training.stages import Stage

_DEAD, _SATURATED = 0.01, 0.99


@torch.no_grad()
def reconstruction_error(model: nn.Module, visible: Tensor) -> float:
    """Return the squared error of the reconstructions' means, summed over units, mean over the cases `[B, V]`."""
    net = cast(TwoLayers, model)
    back = net.visible_given_hidden(net.hidden_given_visible(visible))
    return float((visible - back).square().sum(1).mean())


@torch.no_grad()
def reconstruction_divergence(model: nn.Module, visible: Tensor) -> float:
    """Return the divergence of the reconstructions from the cases `[B, V]` in 0..1, in nats per case."""
    net = cast(TwoLayers, model)
    _require_binary(model, "the divergence", visible)
    back = net.visible_given_hidden(net.hidden_given_visible(visible)).clamp(1e-7, 1 - 1e-7)
    own = torch.xlogy(visible, visible) + torch.xlogy(1 - visible, 1 - visible)
    return float((own - visible * back.log() - (1 - visible) * (-back).log1p()).sum(1).mean())


@torch.no_grad()
def pseudo_likelihood(
    model: nn.Module, visible: Tensor, flips: str = "all", generator: torch.Generator | None = None
) -> float:
    """Return the log pseudo-likelihood of binary cases `[B, V]` in nats per case.

    flips: "all" sums over every unit, exact; "one" flips one unit per case, drawn from `generator`, an unbiased
    estimate. Raises `ConfigError` if the visible units are not binary.
    """
    net = cast(Any, model)
    _require_binary(model, "the pseudo-likelihood", visible)
    x = net.hidden_input(visible)
    here = net.hidden_units.log_sum(x)
    units = visible.shape[1]
    if require_choice("flips", flips, ("all", "one")) == "one":
        unit = torch.randint(0, units, (len(visible), 1), generator=generator)
        rise = 1 - 2 * visible.gather(1, unit).squeeze(1)  # the flip adds this to v_i
        flat = unit.squeeze(1)
        there = net.hidden_units.log_sum(x + rise.unsqueeze(1) * net.weight.T[flat])
        return float(units * F.logsigmoid(here - there - rise * net.visible_bias[flat]).mean())
    total = visible.new_zeros(len(visible), dtype=torch.float64)
    for number, column in enumerate(net.weight.T):
        rise = 1 - 2 * visible[:, number]
        there = net.hidden_units.log_sum(x + torch.outer(rise, column))
        total += F.logsigmoid(here - there - rise * net.visible_bias[number])
    return float(total.mean())


@torch.no_grad()
def free_energy_gap(model: nn.Module, training: Tensor, validation: Tensor) -> float:
    """Return the mean free energy of `validation` cases minus that of `training` cases, in nats."""
    net = cast(Any, model)
    return float(net.free_energy(validation).mean() - net.free_energy(training).mean())


@torch.no_grad()
def idle_units(model: nn.Module, visible: Tensor) -> tuple[list[int], list[int]]:
    """Return the indices of the dead hidden units and of the saturated ones, judged by the cases `[B, V]`."""
    chances = cast(TwoLayers, model).hidden_given_visible(visible)
    dead = (chances.amax(0) < _DEAD).nonzero().flatten().tolist()
    return dead, (chances.amin(0) > _SATURATED).nonzero().flatten().tolist()


def _require_binary(model: nn.Module, what: str, visible: Tensor) -> None:
    if not isinstance(getattr(model, "visible_units", None), BernoulliUnits):
        raise ConfigError(f"{what} is defined here for binary visible units, {type(model).__name__} has others")
    require_unit_range(what, visible)


@dataclass(frozen=True)
class EnergyFigures:
    """The figures of `EnergyMonitor` after one epoch; nats and squared errors are per case."""

    epoch: int
    reconstruction_error: float
    pseudo_likelihood: float | None
    free_energy_gap: float | None
    dead: int
    saturated: int


class _Cases:
    """The first cases of a data set, as the net of each stage gets them."""

    def __init__(self, name: str, data: Dataset, count: int) -> None:
        if not isinstance(data, Dataset):
            raise DataError(f"{name} must be a Dataset, got {type(data).__name__}; use Dataset.from_arrays(x, y)")
        if len(data) == 0:
            raise DataError(f"{name} is empty; a monitor needs at least one case")
        self.name, self.data = name, data.take(min(count, len(data)))
        self._mapped = True  # whether a stage's own transform also maps these cases

    def states(self, net: Any, stage: Stage | None = None) -> Tensor:
        """Return them as states of the visible units of `net` `[B, V]`, mapped as the stage maps its data."""
        part = self.data
        if self._mapped and stage is not None and stage.transform is not None:
            part = stage.transform(part)
        return cast(Tensor, net.visible_states(part.inputs, part.targets))

    def begin(self, run: Training, stages: Sequence[Stage]) -> None:
        """Raise what `states` would raise in any of these stages, before the first of them is trained."""
        given = run.data
        self._mapped = isinstance(given, Dataset) and given.inputs.shape[1:] == self.data.inputs.shape[1:]
        for stage in stages:
            if not self._mapped or stage.transform is None:
                self.states(stage.module or run.model, None)
            elif isinstance(given, Dataset) and given.targets is not None and self.data.targets is None:
                raise DataError(f"{self.name} has no labels, the training data have; give them to the monitor too")


def _is_two_layers(model: nn.Module) -> bool:
    parts = ("visible_states", "visible_units", "hidden_given_visible", "visible_given_hidden", "hidden_bias")
    return all(hasattr(model, part) for part in parts)


class EnergyMonitor(Callback):
    """Watch an RBM after every `every` epochs, on the first `cases` of the data; `history` holds the figures.

    validation: gives the free-energy gap. flips: as for `pseudo_likelihood`. Warns once when more than a tenth of the
    hidden units are dead or saturated.

    In a run of stages, such as `pretraining(dbn)`, it monitors those that train `model`, or without `model` each stage
    that trains a net of two layers. The data are those of the whole run, and are mapped as each stage maps its own. A
    run that cannot be monitored raises before the first batch: `ConfigError` if no stage trains such a net, `DataError`
    and `ShapeError` for data that do not fit.
    """

    def __init__(
        self,
        training: Dataset,
        validation: Dataset | None = None,
        *,
        model: nn.Module | None = None,
        every: int = 1,
        cases: int = 500,
        flips: str = "one",
    ) -> None:
        self.every, self.cases = require_whole("every", every), require_whole("cases", cases)
        self.training, self.model = _Cases("training", training, cases), model
        self.validation = None if validation is None else _Cases("validation", validation, cases)
        self.flips = require_choice("flips", flips, ("all", "one"))
        self.history: list[EnergyFigures] = []
        self._warned = False

    def _watches(self, run: Training, stage: Stage) -> bool:
        model = stage.module or run.model
        return _is_two_layers(model) and (self.model is None or model is self.model)

    def on_begin(self, run: Training) -> None:
        """Raise for a run that cannot be monitored, and for data that do not fit it."""
        stages = [stage for stage in run.session.stages if self._watches(run, stage)]
        if not stages:
            what = "a net of two layers such as an RBM" if self.model is None else f"the {type(self.model).__name__}"
            names = ", ".join(repr(stage.name) for stage in run.session.stages)
            raise ConfigError(f"EnergyMonitor watches {what}, which no stage trains; there are {names}")
        for cases in (self.training, self.validation):
            if cases is not None:
                cases.begin(run, stages)

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Record the figures after an epoch."""
        stage = run.session.stages[record["stage"]]
        if (record["epoch"] + 1) % self.every == 0 and self._watches(run, stage):
            self.history.append(self._look(stage.module or run.model, record["epoch"], stage))

    def look(self, model: nn.Module, epoch: int = 0) -> EnergyFigures:
        """Return the figures of `model` as it is now; the data must be inputs of this net."""
        if not _is_two_layers(model):
            raise ConfigError(f"EnergyMonitor watches a net of two layers such as an RBM, got {type(model).__name__}")
        return self._look(model, epoch, None)

    def _look(self, model: nn.Module, epoch: int, stage: Stage | None) -> EnergyFigures:
        net = cast(Any, model)
        visible = self.training.states(net, stage)
        binary = isinstance(net.visible_units, BernoulliUnits)
        generator = make_generator("pseudo-likelihood", epoch)
        dead, saturated = idle_units(model, visible)
        share = (len(dead) + len(saturated)) / len(net.hidden_bias)
        if share > 0.1 and not self._warned:
            self._warned = True
            warn_user(
                f"{len(dead)} hidden units are dead and {len(saturated)} saturated of {len(net.hidden_bias)}; "
                "lower the rate, or set a sparsity target",
            )
        gap = None
        if self.validation is not None:
            gap = free_energy_gap(model, visible, self.validation.states(net, stage))
        return EnergyFigures(
            epoch,
            reconstruction_error(model, visible),
            pseudo_likelihood(model, visible, self.flips, generator) if binary else None,
            gap,
            len(dead),
            len(saturated),
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return the history as plain values."""
        return [asdict(figures) for figures in self.history]


class StopAtDivergence(Callback):
    """End training after the epoch in which the divergence between data and reconstructions falls under `bound` nats.

    It is measured on the first `cases` of `data`, mapped as the stage maps its own; `value` is the last divergence. The
    whole run ends: train each stage of a deep net by its own `fit`. Raises `ConfigError` before the first batch if a
    stage trains anything else than a net of two layers with binary visible units.
    """

    def __init__(self, data: Dataset, bound: float, *, cases: int = 500) -> None:
        self.cases = require_whole("cases", cases)
        self.data = _Cases("data", data, cases)
        self.bound = require_number("bound", bound, above=0.0)
        self.value: float | None = None

    def on_begin(self, run: Training) -> None:
        """Raise for a run in which the divergence is not defined, and for data that do not fit it."""
        for stage in run.session.stages:
            model = stage.module or run.model
            if not _is_two_layers(model) or not isinstance(getattr(model, "visible_units", None), BernoulliUnits):
                raise ConfigError(
                    "StopAtDivergence needs a net of two layers with binary visible units; "
                    f"stage {stage.name!r} trains {type(model).__name__}"
                )
        self.data.begin(run, run.session.stages)

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Stop the run if the bound is reached."""
        stage = run.session.stages[record["stage"]]
        net = stage.module or run.model
        self.value = reconstruction_divergence(net, self.data.states(net, stage))
        if self.value < self.bound:
            run.stop(f"the reconstructions' divergence {self.value:.4g} fell under {self.bound:g} nats")
