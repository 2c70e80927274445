"""The two rules for Diehl and Cook's network: learning by spike timing, then assignment of labels to neurons.

    pre spike:  w -= eta_pre x_post1                post spike:  w += eta_post x_pre x_post2         (triplet)

Traces are set to 1 by a spike and decay (x_pre and x_post1 in 20 ms, x_post2 in 40 ms); before each presentation a
neuron's weights are scaled to a fixed sum. Diehl and Cook (2015), in the form of their published script; the rule's
other forms are in `functional/diehl_cook/constants.py` (`Plasticity`). No label is used until `AssignLabels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import require_labels, require_number
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.diehl_cook.constants import LEAST, MOST, THETA_KEEP, Plasticity
from threegen.functional.diehl_cook.network import Trace, input_spikes, normalisation, presentation_key, simulate
from threegen.functional.diehl_cook.network_fused import Net
from threegen.functional.diehl_cook.runs import OUTCOME, train_images
from threegen.randomness import draw_key
from threegen.rules.rule import (
    NO_NEURON_HAS_FIRED,
    Applied,
    PlainSGD,
    Rule,
    Step,
    Update,
    ascend,
    has_own_methods,
    require_batch,
    require_parts,
)


class CompetingNeurons(Protocol):
    """A network like Diehl and Cook's. B examples, F frames, D inputs, N neurons, K classes."""

    weight: nn.Parameter  # [N, D]
    theta: Tensor  # [N], adaptive thresholds
    potential: Tensor  # [N], potentials between presentations
    classes: int

    def pixels(self, x: Tensor) -> Tensor:
        """Return inputs as frames [B, F, D]."""
        ...

    def kernel_net(self, plasticity: Plasticity | None = None, rate: float = 1.0) -> Net:
        """Return the network as arrays."""
        ...

    def intensities(self) -> Any:
        """Return the intensity of the first presentation and the increase of each further one."""
        ...

    def take(self, net: Net) -> None:
        """Copy the values that a kernel has changed back into the model."""
        ...

    def count_spikes(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the spikes [B, N] without learning, and further figures of each example."""
        ...

    def add_responses(self, counts: Tensor, labels: Tensor) -> None:
        """Add spikes [B, N] for labelled examples, and assign the neurons' classes from the sums."""
        ...


class DiehlCookSTDP(Rule):
    """Train `DiehlCook` by spike timing, image by image in the order of the batch; no labels are used.

    `kind` is "triplet" (as in the published script), "pair", "power", "exponential" or "symmetric"; constants and
    equations are those of `Plasticity`. `rate` multiplies all rates and theta's step: a schedule may lower it
    (`RuleValue("rate", ...)`). The optimiser is SGD with rate 1, the default.

    `fused` updates weights in a compiled kernel and yields `Applied` once per batch. Without it, and for a network with
    its own `project`, plain PyTorch computes the same with one `Update` per change, for SGD with rate 1: the reference
    for the kernel, thousands of times slower.

    Figures: `spikes` and `repeats`, the mean spikes and further presentations of an example; `together`, the largest
    number of neurons that fired in one step; `theta`, the mean threshold; `silent`, the share of neurons that did not
    fire.
    """

    updates_per_batch = None
    default_optimizer = "sgd"
    default_rate = 1.0
    uses_labels = False
    signs_of_life: ClassVar[Mapping[str, str]] = {"spikes": NO_NEURON_HAS_FIRED}

    def __init__(
        self,
        kind: str = "triplet",
        *,
        eta_pre: float = 1e-4,
        eta_post: float = 1e-2,
        target: float = 0.4,
        exponent: float = 0.2,
        beta: float = 1.0,
        norm: float = 78.0 / 784.0,
        theta_plus: float = 0.05,
        rate: float = 1.0,
        fused: bool = True,
    ) -> None:
        self._plasticity = Plasticity(kind, eta_pre, eta_post, target, exponent, beta, norm, theta_plus)
        self.kind, self.eta_pre, self.eta_post, self.target = kind, eta_pre, eta_post, target
        self.exponent, self.beta, self.norm, self.theta_plus = exponent, beta, norm, theta_plus
        self.rate = require_number("rate", rate, least=0.0)
        self.fused = fused
        self._unit = True

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take over plain SGD, which the kernel can apply at rate 1 without momentum and decay."""
        self._unit = sgd is not None and sgd.is_unit

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a network of competing neurons."""
        require_parts(self, model, "theta", "potential", "pixels()", "kernel_net()", "take()")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Learn from inputs [B, ...]; the batch's targets are not used."""
        require_batch("DiehlCookSTDP", batch, labels=False)
        units = cast(CompetingNeurons, model)
        pixels = units.pixels(batch.inputs).detach().cpu().contiguous()
        key = draw_key(generator)
        if not self.fused or not has_own_methods(model, ("project",)):  # the kernel applies the bounds itself
            yield from self._plain(units, pixels, key)
            return
        if not self._unit:
            raise ConfigError(
                "DiehlCookSTDP(fused=True) updates weights by its own rates, as SGD with lr=1 does, but optimizer=, "
                "lr= or clip_norm= is set differently: leave them out and set rate=, eta_pre= and eta_post= of the "
                "rule, or use fused=False"
            )
        net = units.kernel_net(self._plasticity, self.rate)
        potential = units.potential.cpu().numpy()
        outcome = np.zeros((len(pixels), len(OUTCOME)), np.int32)
        wins = np.zeros(len(potential), np.int64)
        train_images(net, potential, pixels.numpy(), np.uint64(key), units.intensities(), outcome, wins)
        units.take(net)
        units.potential.copy_(torch.from_numpy(potential))
        yield Applied(**_figures(torch.from_numpy(outcome), torch.from_numpy(wins), units.theta))

    def _plain(self, units: CompetingNeurons, pixels: Tensor, key: int) -> Iterator[Step]:
        """The same, step by step; the optimiser is SGD with rate 1."""
        net = units.kernel_net(self._plasticity, self.rate)
        first, more = units.intensities()
        weight = units.weight.detach().t()  # shares memory with the parameter
        outcome, wins = [], torch.zeros(len(units.theta), dtype=torch.int64)
        for b, frames in enumerate(pixels):
            attempt = 0
            while True:
                yield self._move(units, normalisation(net, weight), {})
                own = presentation_key(key, b, attempt, learning=True)
                raster, trace = input_spikes(net, frames, first + attempt * more, own), Trace()
                for change in simulate(net, weight, units.theta, units.potential, raster, trace, learn=True):
                    yield self._move(units, change, {})
                units.potential.copy_(trace.potential)
                units.theta.mul_(torch.from_numpy(net.k)[THETA_KEEP])
                spikes, silent = int(trace.counts.sum()), not any(len(sources) for sources in raster)
                if spikes >= net.n[LEAST] or attempt >= net.n[MOST] or silent:
                    break
                attempt += 1
            outcome.append([spikes, attempt, trace.together])
            wins += trace.counts
        yield self._move(units, normalisation(net, weight), _figures(torch.tensor(outcome), wins, units.theta))

    def _move(self, units: CompetingNeurons, change: Tensor, figures: dict[str, Tensor]) -> Update:
        ascend(units.weight, change.t())
        return Update(**figures)


def _figures(outcome: Tensor, wins: Tensor, theta: Tensor) -> dict[str, Tensor]:
    means = outcome.double().mean(0)
    silent = (wins == 0).double().mean()
    theta_mean = theta.double().mean()
    return {
        "spikes": means[0],
        "repeats": means[1],
        "together": outcome[:, 2].max().double(),
        "theta": theta_mean,
        "silent": silent,
    }


class AssignLabels(Rule):
    """Present labelled training examples to a trained network, and assign each neuron the class it fires for most.

    Weights and thresholds do not change. Call `model.forget_labels()` first (a stage's `begin`), otherwise earlier
    responses still count. Figure: `spikes`, the mean spikes of an example.
    """

    updates_per_batch = 1
    signs_of_life: ClassVar[Mapping[str, str]] = {"spikes": NO_NEURON_HAS_FIRED}

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` has no neurons to label."""
        require_parts(self, model, "count_spikes()", "add_responses()", "classes")

    def remark(self, model: nn.Module) -> str:
        """Name the classes that the network cannot answer: those of no neuron or no example."""
        missing = list(getattr(model, "unanswerable", ()))
        if not missing:
            return ""
        named = ", ".join(map(str, missing))
        return f"no neuron has the class {named}, which is never answered; train longer or label with more examples"

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Count the spikes for inputs [B, ...] of the classes `targets` [B]."""
        units = cast(CompetingNeurons, model)
        labels = require_labels(require_batch("AssignLabels", batch), units.classes)
        counts, _ = units.count_spikes(batch.inputs, generator)
        units.add_responses(counts.to(units.theta.device), labels.to(units.theta.device))
        yield Applied(spikes=counts.double().sum(1).mean())
