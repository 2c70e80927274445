"""The base of all spike-timing rules: stimuli one after another, time step by time step, one update per change.

for pre in spikes of the input, step by step:
    post  = the neurons' spikes, with the weights as they are now
    dW    = change(traces, pre, post)                     yield if it is not zero

Weights change within a stimulus, at the spike that causes the change. Constraints (bounds) are applied after every
step, normalisation after every stimulus. Neurons and traces start each stimulus from rest. Rules use layers through the
protocols below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.plasticity.plastic_neurons import LayerConstants
from threegen.functional.plasticity.plasticity import mark_spikes, trace_decay
from threegen.functional.plasticity.plasticity_fused import learn_triplets
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
class SpikingLayer(Protocol):
    """One layer of synapses and spiking neurons. T steps, B stimuli, I inputs, O neurons."""

    weight: nn.Parameter  # [O, I]
    dt: float  # ms per step

    def input_spikes(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the spikes [T, B, I] that the inputs send."""
        ...

    def step(self, spikes: Tensor, state: Any = None, adapt: bool = False) -> tuple[Tensor, Any]:
        """Return spikes [B, O] and the state after one step of input spikes [B, I]; None starts from rest."""
        ...

    def begin_stimulus(self) -> None:
        """Called when a stimulus begins."""
        ...

    def end_stimulus(self) -> None:
        """Called when a stimulus has ended: the `project` that follows may normalise."""
        ...


@runtime_checkable
class KernelLayer(SpikingLayer, Protocol):
    """A layer whose neurons the compiled kernel supports: those of `functional.plastic_neurons`."""

    theta: Tensor  # [O]
    constants: LayerConstants


LAYER_PARTS = ("weight", "dt", "input_spikes()", "step()", "begin_stimulus()", "end_stimulus()")


@dataclass(slots=True)
class Trace:
    """A trace of some units: its values and how it decays and grows."""

    values: Tensor
    decay: float
    saturate: bool

    @classmethod
    def of(cls, like: Tensor, units: int, tau: float, dt: float, saturate: bool) -> Trace:
        """Return a trace at 0 of `units` units with the time constant `tau` (ms), for steps of `dt` ms."""
        return cls(like.new_zeros(units), trace_decay(tau, dt), saturate)

    def fade(self) -> None:
        """Apply the decay of one step."""
        self.values = self.values * self.decay

    def mark(self, spikes: Tensor) -> None:
        """Add this step's spikes."""
        self.values = mark_spikes(self.values, spikes, self.saturate)


class SpikeTimingRule(Rule):
    """A rule that changes weights at spikes, online. Subclasses define `start` and `change`.

    `start` gets labels if `uses_labels` is set. Figure: `spikes`, the spikes of all neurons in the stimulus so far (for
    a kernel's step: their mean over its stimuli). The default optimiser is SGD with rate 1: the rule has its own rates.
    """

    updates_per_batch = None
    default_rate = 1.0
    uses_labels = False
    signs_of_life: ClassVar[Mapping[str, str]] = {"spikes": NO_NEURON_HAS_FIRED}

    def figures(self, memory: Any, spikes: Tensor) -> dict[str, Tensor]:
        """Return the figures of a step, given the neurons' spikes in the stimulus so far (0-d)."""
        return {"spikes": spikes}

    def start(self, layer: SpikingLayer, target: Tensor | None) -> Any:
        """Return the rule's state at the beginning of a stimulus; `target` is its label (0-d)."""
        raise NotImplementedError(f"{type(self).__name__} must write start")

    def change(self, memory: Any, weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Advance `memory` by one step and return dW [O, I] for input spikes `pre` [I] and neurons' spikes `post`
        [O]."""
        raise NotImplementedError(f"{type(self).__name__} must write change")

    def require_stimuli(self, trains: Tensor, targets: Tensor | None) -> None:
        """Raise if nothing can be learned from spikes [T, B, I] and labels [B]; called before the first stimulus."""

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a layer of spiking neurons that can learn by spike timing."""
        require_parts(self, model, *LAYER_PARTS)

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Present each example of `batch`; yield at every change of weights, and once at the end of each example."""
        self.check(model)
        layer = cast(SpikingLayer, model)
        require_batch(type(self).__name__, batch, labels=self.uses_labels)
        trains = layer.input_spikes(batch.inputs, generator)
        self.require_stimuli(trains, batch.targets)
        for example in range(trains.shape[1]):
            target = batch.targets[example] if self.uses_labels and batch.targets is not None else None
            yield from self._show(layer, trains[:, example], target)

    def _show(self, layer: SpikingLayer, train: Tensor, target: Tensor | None) -> Iterator[Step]:
        memory, state = self.start(layer, target), None
        total = train.new_zeros(())
        layer.begin_stimulus()
        try:
            for pre in train:
                post, state = layer.step(pre.unsqueeze(0), state, adapt=True)
                total = total + post.sum()
                dw = self.change(memory, layer.weight, pre, post[0])
                if bool(dw.any()):
                    ascend(layer.weight, dw)
                    yield Update(**self.figures(memory, total))
        finally:
            layer.end_stimulus()
        ascend(layer.weight, torch.zeros_like(layer.weight))  # only the constraints apply at the end of a stimulus
        yield Update(**self.figures(memory, total))


class NeuronTimedRule(SpikeTimingRule):
    """A rule that changes weights only at the neuron's spikes, by the input's trace, which a spike sets to 1.

    rate in units of weight, target a trace (0..1), w_max the largest weight (the layer's), tau in ms. Raises
    `ConfigError`. Subclasses define `at_spikes`.
    """

    def __init__(self, rate: float, target: float, w_max: float, tau: float) -> None:
        self.rate = require_number("rate", rate, least=0.0)
        self.target = require_number("target", target, least=0.0, most=1.0)
        self.w_max = require_number("w_max", w_max, above=0.0)
        self.tau = require_number("tau", tau, above=0.0)

    def start(self, layer: SpikingLayer, target: Tensor | None) -> Any:
        """Return the inputs' trace, at 0."""
        return Trace.of(layer.weight, layer.weight.shape[1], self.tau, layer.dt, saturate=True)

    def change(self, memory: Any, weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        memory.fade()
        memory.mark(pre)
        return self.at_spikes(weight, post, memory.values)

    def at_spikes(self, weight: Tensor, post: Tensor, x: Tensor) -> Tensor:
        """Return dW [O, I] for neurons that fire (`post` [O]) with traces `x` [I] of their inputs."""
        raise NotImplementedError(f"{type(self).__name__} must write at_spikes")


BACKENDS = ("auto", "fused", "plain")
_IN_THE_KERNEL = ("step", "begin_stimulus", "end_stimulus", "project")  # methods that the kernel does not call


class PairwiseRule(SpikeTimingRule):
    """Rules over pairs and triplets of spikes, which the compiled kernel also supports.

    `backend` is "plain" (one `Update` per change: the definition), "fused" (the kernel, one `Applied` per batch) or
    "auto": fused if the kernel supports the layer, on the CPU in float32 or float64, and the optimiser is SGD with rate
    1, the rule's default. Any other optimiser, rate, momentum or decay uses the plain path.
    """

    taus: tuple[float, float, float, float]  # of r1, o1, r2, o2, in ms
    plus: tuple[float, float]  # pair term, triplet term
    minus: tuple[float, float]
    saturate: bool
    backend: str

    def _settle(self, backend: str) -> None:
        self.backend = require_choice("backend", backend, BACKENDS)
        self._sgd: PlainSGD | None = None
        self._in_fit = False

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take plain SGD, which the kernel can apply at rate 1 without momentum and decay."""
        self._sgd, self._in_fit = sgd, True

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Present each example of `batch`: by the kernel with one yield, or step by step."""
        self.check(model)
        obstacle = self._obstacle(model)
        if self.backend == "plain" or (self.backend == "auto" and obstacle):
            return super().__call__(model, batch, generator)
        if obstacle:
            raise ConfigError(f'backend="fused" cannot run here: {obstacle}; use backend="auto"')
        return self._fused(cast(KernelLayer, model), batch, generator)

    def _obstacle(self, model: nn.Module) -> str:
        if not hasattr(model, "constants") or not isinstance(model.constants, LayerConstants):
            return f"the kernel does not support the neurons of {type(model).__name__}"
        if not has_own_methods(model, _IN_THE_KERNEL):
            return f"{type(model).__name__} replaces a method of the library"
        if self._in_fit and (self._sgd is None or not self._sgd.is_unit):
            return "the kernel updates weights by its own rates, as SGD with lr=1 does, but the optimiser differs"
        weight = cast(Tensor, model.weight)
        if not weight.requires_grad:
            return "the weights are frozen"
        if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
            return f"the weights are {weight.dtype} on {weight.device.type}"
        return ""

    @torch.no_grad()
    def _fused(self, layer: KernelLayer, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        inputs = require_batch(type(self).__name__, batch, labels=False)
        trains = layer.input_spikes(inputs, generator)
        taus = [tau / layer.dt for tau in self.taus]
        spikes = learn_triplets(
            layer.weight, layer.theta, trains, layer.constants, taus, self.plus, self.minus, self.saturate
        )
        yield Applied(spikes=spikes.sum((1, 2)).to(layer.weight.dtype).mean())
