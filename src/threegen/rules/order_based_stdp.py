"""Order-based STDP: a winner strengthens the inputs that fired before it and weakens all others, independent of the
delay.

    dw = a_plus  (w - low)(high - w)   where the input fired and t_in <= t_winner
    dw = a_minus (w - low)(high - w)   for every other synapse of the winner             a_minus = -ratio a_plus

The stabiliser (w - low)(high - w) makes weights stop at their bounds. Every `double_every` examples a_plus doubles, up
to `most`: from small first steps to quick convergence.

Kheradpisheh, Ganjtabesh, Thorpe and Masquelier, Neural Networks 99 (2018) 56-67; the constants are those of Mozafari's
published scripts: .004 and -.003, doubled every 500 images up to .15.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.plasticity.competition import Winner
from threegen.functional.plasticity.plasticity import order_change
from threegen.functional.plasticity.rank_order_fused import FiringLayer, OrderState, learn_by_order
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


@runtime_checkable
class CompetingLayer(Protocol):
    """A convolutional layer of neurons that send at most one spike and compete. C maps, F features, k x k kernels."""

    weight: nn.Parameter  # [F, C, k, k]
    steps: int  # the time that means never
    bounds: tuple[float, float]

    def spike_times(self, inputs: Tensor) -> Tensor:
        """Return the spike times [B, C, H, W] of the inputs."""
        ...

    def compete(self, times: Tensor) -> list[Winner]:
        """Return the winners for input times [C, H, W] of one example, the first one first."""
        ...


class KernelLayer(CompetingLayer, Protocol):
    """A competing layer whose winners the compiled kernel finds: it sums exactly."""

    strict: bool
    padding: int
    threshold: float
    winners: int
    radius: int


def kernel_knows(model: nn.Module) -> bool:
    """Return whether the kernel can train `model`: exact sums, methods of the library, float32 on the CPU."""
    if not getattr(model, "strict", False):
        return False
    layer = cast(KernelLayer, model)
    weight = layer.weight
    ours = has_own_methods(model, ("fire", "compete", "project"))
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return ours and on_cpu and weight.requires_grad and layer.steps < 256


COMPETING_PARTS = ("weight", "steps", "bounds", "spike_times()", "compete()")


class OrderBasedSTDP(Rule):
    """Train a competing layer without labels: one update per example, over all its winners.

    a_plus above 0, `ratio` = -a_minus / a_plus; `double_every=0` keeps a_plus; `stabiliser=False` leaves out the factor
    (w - low)(high - w). Layers that sum exactly (`OrderedConv(strict=True)`) are trained by a compiled kernel with the
    same winners and weights, one yield per batch, if the optimiser is SGD with rate 1, the default; `fused=False`
    disables it. Figures: `winners`, their number (for the kernel per example), and for the kernel also `a_plus` and
    `undecided`, the mean of w (1 - w), which falls to 0 as weights converge. Raises `ConfigError`.
    """

    updates_per_batch = None
    default_rate = 1.0
    uses_labels = False
    signs_of_life: ClassVar[Mapping[str, str]] = {"winners": NO_NEURON_HAS_FIRED}

    def __init__(
        self,
        a_plus: float = 0.004,
        *,
        ratio: float = 0.75,
        double_every: int = 500,
        most: float = 0.15,
        stabiliser: bool = True,
        fused: bool = True,
    ) -> None:
        self.a_plus = require_number("a_plus", a_plus, above=0.0)
        self.ratio = require_number("ratio", ratio, least=0.0)
        self.double_every = require_whole("double_every", double_every, least=0)
        self.most = require_number("most", most, least=a_plus)
        self.stabiliser, self.fused = bool(stabiliser), bool(fused)
        self._examples = 0
        self._unit = False

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take over plain SGD, which the kernel can apply at rate 1 without momentum and decay."""
        self._unit = sgd is not None and sgd.is_unit

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a competing layer."""
        require_parts(self, model, *COMPETING_PARTS)

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Present each example of `batch` and yield once for it."""
        self.check(model)
        layer = cast(CompetingLayer, model)
        inputs = require_batch("OrderBasedSTDP", batch, labels=False)
        if self.fused and self._unit and kernel_knows(model):
            yield self._walk(cast(KernelLayer, model), inputs)
            return
        for times in layer.spike_times(inputs):
            winners = layer.compete(times)
            bounds = layer.bounds if self.stabiliser else None
            learn_order(layer, winners, self.a_plus, -self.ratio * self.a_plus, bounds)
            self._count()
            yield Update(winners=torch.tensor(float(len(winners))))

    def _walk(self, layer: KernelLayer, inputs: Tensor) -> Step:
        times = layer.spike_times(inputs).to(torch.uint8)
        known = FiringLayer(layer.steps, layer.padding, layer.threshold, layer.winners, layer.radius, layer.bounds)
        state = OrderState(self.a_plus, self.ratio, self.double_every, self.most, self._examples, self.stabiliser)
        winners = learn_by_order(layer.weight, times, known, state)
        self.a_plus, self._examples = state.a_plus, state.examples
        low, high = layer.bounds
        undecided = ((layer.weight - low) * (high - layer.weight)).mean()
        rate = torch.tensor(self.a_plus)
        return Applied(winners=winners.double().mean(), a_plus=rate, undecided=undecided)

    def _count(self) -> None:
        self._examples += 1
        if self.double_every and self._examples % self.double_every == 0:
            self.a_plus = min(2 * self.a_plus, self.most)

    def state_dict(self) -> dict[str, Tensor]:
        """Return a_plus and the number of examples seen."""
        return {
            "a_plus": torch.tensor(self.a_plus, dtype=torch.float64),
            "examples": torch.tensor(self._examples),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`. Raises `ConfigError` if a part is missing."""
        if set(state) != {"a_plus", "examples"}:
            raise ConfigError(f"OrderBasedSTDP needs a_plus and examples, the checkpoint has {', '.join(state)}")
        self.a_plus, self._examples = float(state["a_plus"]), int(state["examples"])


def learn_order(
    layer: CompetingLayer,
    winners: list[Winner],
    a_plus: float,
    a_minus: float,
    bounds: tuple[float, float] | None,
) -> None:
    """Fill `.grad` of the layer's weights with the change of every winner; zeros if there is none."""
    change = torch.zeros_like(layer.weight)
    for winner in winners:
        not_later = (winner.inputs <= winner.time) & (winner.inputs < layer.steps)
        change[winner.feature] += order_change(layer.weight[winner.feature], not_later, a_plus, a_minus, bounds)
    ascend(layer.weight, change)
