"""What to watch while an RBM learns, off the hot path: after epochs, on a few hundred cases.

    reconstruction error   mean over cases of |v - E(v1)|^2, one way up and down with nothing drawn
    divergence             mean over cases of sum_i KL(v_i || reconstruction_i), in nats; grey pixels are probabilities
    pseudo-likelihood      mean over cases of sum_i log p(v_i | all other v), in nats a case: exact over all flips, or
                           estimated from one flip a case, V log p(v_i | others) for a random i
    free-energy gap        mean F of validation cases minus that of training cases: it grows when the net over-fits
    dead, saturated units  hidden units whose probability stays below .01, or above .99, for all cases

Hinton, "A practical guide to training restricted Boltzmann machines", UTML TR 2010-003, sections 5, 6 and 15. The
reconstruction error alone is not to be trusted: it falls when the chains mix badly, too.

Shapes: B cases, V visible units, H hidden units.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_number, require_unit_range, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError
from threegen.functional.energy.units import BernoulliUnits
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import TwoLayers
from threegen.training.loop import Callback, Training

_DEAD, _SATURATED = 0.01, 0.99


@torch.no_grad()
def reconstruction_error(model: nn.Module, visible: Tensor) -> float:
    """Return the squared error of the reconstructions' means, summed over units, mean over the cases `[B, V]`."""
    net = cast(TwoLayers, model)
    back = net.visible_given_hidden(net.hidden_given_visible(visible))
    return float((visible - back).square().sum(1).mean())


@torch.no_grad()
def reconstruction_divergence(model: nn.Module, visible: Tensor) -> float:
    """Return the divergence of the reconstructions from the cases `[B, V]` in 0..1, in nats a case."""
    net = cast(TwoLayers, model)
    _require_binary(model, "the divergence", visible)
    back = net.visible_given_hidden(net.hidden_given_visible(visible)).clamp(1e-7, 1 - 1e-7)
    own = torch.xlogy(visible, visible) + torch.xlogy(1 - visible, 1 - visible)
    return float((own - visible * back.log() - (1 - visible) * (-back).log1p()).sum(1).mean())


@torch.no_grad()
def pseudo_likelihood(
    model: nn.Module, visible: Tensor, flips: str = "all", generator: torch.Generator | None = None
) -> float:
    """Return the log pseudo-likelihood of binary cases `[B, V]` in nats a case.

    flips: "all" sums over every unit, exact; "one" flips one unit a case, drawn from `generator`, an unbiased guess.
    Raises `ConfigError` where the visible units are not binary.
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
    """Return the numbers of the dead hidden units and of the saturated ones, judged by the cases `[B, V]`."""
    chances = cast(TwoLayers, model).hidden_given_visible(visible)
    dead = (chances.amax(0) < _DEAD).nonzero().flatten().tolist()
    return dead, (chances.amin(0) > _SATURATED).nonzero().flatten().tolist()


def _require_binary(model: nn.Module, what: str, visible: Tensor) -> None:
    if not isinstance(getattr(model, "visible_units", None), BernoulliUnits):
        raise ConfigError(f"{what} is defined here for binary visible units, {type(model).__name__} has others")
    require_unit_range(what, visible)


@dataclass(frozen=True)
class EnergyFigures:
    """What `EnergyMonitor` saw after one epoch; nats and squared errors are a case."""

    epoch: int
    reconstruction_error: float
    pseudo_likelihood: float | None
    free_energy_gap: float | None
    dead: int
    saturated: int


class EnergyMonitor(Callback):
    """Watch an RBM after every `every` epochs, on the first `cases` of the data; `history` holds what was seen.

    validation: gives the free-energy gap. flips: as of `pseudo_likelihood`. Warns once when more than a tenth of the
    hidden units are dead or saturated. Of a run of stages it watches those that train `model`.
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
        self.training, self.validation, self.model = training, validation, model
        self.every, self.cases = require_whole("every", every), require_whole("cases", cases)
        self.flips = require_choice("flips", flips, ("all", "one"))
        self.history: list[EnergyFigures] = []
        self._warned = False

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Take the figures after an epoch."""
        if (record["epoch"] + 1) % self.every:
            return
        stage = run.session.stages[record["stage"]]
        model = stage.module or run.model
        if self.model is None or model is self.model:
            self.history.append(self.look(model, record["epoch"]))

    def look(self, model: nn.Module, epoch: int = 0) -> EnergyFigures:
        """Return the figures of `model` as it is now."""
        net = cast(Any, model)
        visible = self._states(net, self.training)
        binary = isinstance(net.visible_units, BernoulliUnits)
        generator = make_generator("pseudo-likelihood", epoch)
        dead, saturated = idle_units(model, visible)
        share = (len(dead) + len(saturated)) / len(net.hidden_bias)
        if share > 0.1 and not self._warned:
            self._warned = True
            warnings.warn(
                f"{len(dead)} hidden units are dead and {len(saturated)} saturated of {len(net.hidden_bias)}; "
                "lower the rate, or set a sparsity target",
                stacklevel=2,
            )
        gap = None
        if self.validation is not None:
            gap = free_energy_gap(model, visible, self._states(net, self.validation))
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

    def _states(self, net: Any, data: Dataset) -> Tensor:
        part = data.take(min(self.cases, len(data)))
        return cast(Tensor, net.visible_states(part.inputs, part.targets))


class StopAtDivergence(Callback):
    """End training after the epoch in which the divergence between data and reconstructions falls under `bound` nats.

    It is judged on the first `cases` of `data`; the reached value stands in `value`.
    """

    def __init__(self, data: Dataset, bound: float, *, cases: int = 500) -> None:
        self.data, self.cases = data, require_whole("cases", cases)
        self.bound = require_number("bound", bound, above=0.0)
        self.value: float | None = None

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Stop the run where the bound is reached."""
        net = cast(Any, run.session.stages[record["stage"]].module or run.model)
        part = self.data.take(min(self.cases, len(self.data)))
        self.value = reconstruction_divergence(net, net.visible_states(part.inputs, part.targets))
        if self.value < self.bound:
            run.stop(f"the reconstructions' divergence {self.value:.4g} fell under {self.bound:g} nats")
