"""A spiking net as a list of stages, the intermediate form between the package's nets and NIR's graphs.

A stage is a layer of neurons and the parts before it: modules without state, each with the numbers of its inputs.
Signal 0 is the net's input, signal l + 1 the spikes of stage l; -1 is the result of the stage's first part, -2 that of
its second. The last part gives the summed input; a stage without parts takes one signal as it is. Normalisation is
folded into the weights before it, and grouped convolutions become ungrouped ones. Only this rounds the weights once
more; everything else is bit-exact.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.errors import ConfigError
from threegen.gen3 import wires
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.fast_way import replaced_method
from threegen.gen3.graph_neurons import MaxGate, StartedLIF
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.normalisation import ThresholdBatchNorm
from threegen.gen3.sequential import SpikingSequential, TimeDropout
from threegen.gen3.shortcuts import Join
from threegen.gen3.spiking_graph import SpikingGraph, Wiring

# Modules without effect in eval mode.
SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, TimeDropout)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
WITH_WEIGHTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
OWN = ("summed_input", "between", "kept", "frames", "_through_layers")


class Add(nn.Module):
    """The sum of several signals: NIR adds the inputs of a node."""

    def forward(self, *signals: Tensor) -> Tensor:
        """Return the sum."""
        total = signals[0]
        for one in signals[1:]:
            total = total + one
        return total


class Times(nn.Module):
    """A signal times a constant, [B, ...]."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product."""
        return x * cast(Tensor, self.factor)


@dataclass(frozen=True, slots=True)
class Part:
    """A module without state, and its inputs."""

    module: nn.Module
    takes: tuple[int, ...]


@dataclass(slots=True)
class Stage:
    """A layer of neurons and the parts before it; `folded` says whether weights include a folded normalisation."""

    neuron: nn.Module
    parts: list[Part] = field(default_factory=list)
    takes: int = 0
    folded: bool = False

    def append(self, module: nn.Module, *takes: int) -> int:
        """Append a part and return the number of its result."""
        self.parts.append(Part(module, takes))
        return -len(self.parts)

    def chain(self, module: nn.Module, takes: int) -> int:
        """Append a module that takes `takes`, a `Sequential` part by part; return the number of the result."""
        if isinstance(module, SILENT):
            return takes
        if isinstance(module, nn.Sequential):
            for one in module:
                takes = self.chain(one, takes)
            return takes
        if isinstance(module, BATCH_NORMS):
            return self._normalise(module, takes)
        if isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups > 1:
            self.folded = True
            return self.append(whole(module), takes)
        return self.append(module, takes)

    def end(self, number: int) -> None:
        """Make result `number` the summed input of the neurons."""
        if number >= 0:
            self.takes = number
        elif number != -len(self.parts):
            raise ConfigError("the last part of a layer must give its summed input")

    def _normalise(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, takes: int) -> int:
        """Fold a batch normalisation into the weights before it; return the number of their result."""
        before = self.parts[-1].module if takes == -len(self.parts) and self.parts else None
        if not isinstance(before, WITH_WEIGHTS):
            raise ConfigError(f"{type(norm).__name__} has no weights before it to fold it into")
        self.parts[-1] = Part(fold(before, norm), self.parts[-1].takes)
        self.folded = True
        return takes


@torch.no_grad()
def whole(layer: nn.Conv1d | nn.Conv2d) -> nn.Module:
    """Return a convolution in groups as one of all channels, zeros between the groups.

    nir 1.0 mistakes the groups of a convolution for its number of input channels, and SpikingJelly does not read them.
    """
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    weight = layer.weight.new_zeros(layer.out_channels, layer.in_channels, *layer.weight.shape[2:])
    for group in range(layer.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        weight[rows, group * inputs : (group + 1) * inputs] = layer.weight[rows]
    made = copy.deepcopy(layer)
    made.groups, made.weight = 1, nn.Parameter(weight)
    return made


@torch.no_grad()
def fold(layer: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """Return a copy of a layer with a batch normalisation in its weights and biases.

    Raises `ConfigError` for one that has no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ConfigError(f"{type(norm).__name__} has no running statistics to fold into weights")
    plain = torch.ones_like(norm.running_mean)
    weight: Tensor = plain if norm.weight is None else norm.weight
    if isinstance(norm, ThresholdBatchNorm):
        weight = weight * norm.target
    factor = weight / torch.sqrt(norm.running_var + norm.eps)
    shift = -norm.running_mean * factor + (0.0 if norm.bias is None else norm.bias)
    folded = cast(Any, copy.deepcopy(layer))
    bias = 0.0 if folded.bias is None else folded.bias * factor
    folded.weight = nn.Parameter(folded.weight * factor.view(-1, *[1] * (folded.weight.dim() - 1)))
    folded.bias = nn.Parameter(shift + bias)
    return cast(nn.Module, folded)


def stages_of(model: nn.Module) -> list[Stage]:
    """Return the stages of a spiking net of the package; raises `ConfigError` for other models."""
    if not isinstance(model, SpikingNet):
        raise ConfigError(
            f"export_nir takes a spiking net of this package, got {type(model).__name__}; "
            "convert an artificial network first (tg.convert), or write it as ONNX (tg.export_onnx)"
        )
    name = replaced_method(model, OWN)
    if name is not None:
        raise ConfigError(
            f"{type(model).__name__}.{name} is your own: its computation is not in the modules and has no NIR node"
        )
    if isinstance(model, SpikingConvNet):
        return _convolutional(model)
    if isinstance(model, SpikingGraph):
        return _wired(model)
    if not isinstance(model, SpikingMLP | SpikingSequential):
        raise ConfigError(f"{type(model).__name__} is of a kind that export_nir does not support")
    stages = []
    for number, (synapse, neuron) in enumerate(zip(model.synapses, model.neurons, strict=True)):
        stage = Stage(neuron)
        stage.end(stage.chain(synapse, number))
        stages.append(stage)
    return stages


def _convolutional(model: SpikingConvNet) -> list[Stage]:
    """Return the stages of a convolutional net: the pooling and shortcuts of its forward pass become parts."""
    pools: list[nn.Module] = []
    flat = nn.Flatten()
    for plan in model.plans:
        if plan.neu_norm:
            raise ConfigError(
                "NIR has no NeuNorm: auxiliary neurons that follow the mean of all channels; leave NN out"
            )
        pools.append(nn.AvgPool2d(plan.pool) if plan.pool > 1 else nn.Identity())
    scales = {
        place: nn.Identity() if join.scale == 1.0 else Times(model.any_weight.new_tensor(join.scale))
        for place, join in cast(Mapping[str, Join], model.joins).items()
    }

    def signal(stage: Stage, number: int) -> int:
        """Return the input of layer `number`: the spikes before it with a shortcut, pooled and flattened."""
        if number == 0:
            return 0
        plan, before = model.plans[number - 1], number
        if plan.block == 2 and model.shortcut == "spikes":
            before = stage.append(Add(), before, signal(stage, number - 2))
        arriving = stage.chain(pools[number - 1], before)
        last_map = plan.kernel and not model.plans[number].kernel
        return stage.chain(flat, arriving) if last_map else arriving

    stages = []
    for number, (plan, synapse, neuron) in enumerate(zip(model.plans, model.synapses, model.neurons, strict=True)):
        stage = Stage(neuron)
        summed = stage.chain(synapse, signal(stage, number) if number or plan.kernel else stage.chain(flat, 0))
        if plan.block == 2 and model.shortcut == "current":
            place = str(number)
            entering = signal(stage, number - 1)
            if place in model.shortcuts:
                entering = stage.chain(model.shortcuts[place], entering)
            summed = stage.append(Add(), summed, stage.chain(scales[place], entering))
        stage.end(summed)
        stages.append(stage)
    return stages


def _wired(model: SpikingGraph) -> list[Stage]:
    """Return the stages of a net of any wiring; wires that only rearrange or sum values become torch modules."""
    weight = model.any_weight
    shapes: dict[int, tuple[int, ...]] = {0: model.shape}
    stages = []
    for number, (synapse, neuron) in enumerate(zip(model.synapses, model.neurons, strict=True)):
        require_known(neuron, f"neurons {number}")
        stage, own = Stage(neuron), dict(shapes)
        made: dict[int, int] = {}
        wiring = cast(Wiring, synapse)
        for place, (takes, wire) in enumerate(zip(wiring.takes, wiring.parts, strict=True)):
            before = [own[one] for one in takes]
            with torch.no_grad():
                zeros = [torch.zeros(1, *one, dtype=weight.dtype, device=weight.device) for one in before]
                own[-1 - place] = tuple(wire(*zeros).shape[1:])
            given = [made.get(one, one) for one in takes]
            made[-1 - place] = _wire(stage, wire, given, before[0], own[-1 - place])
        end = -len(wiring.takes) if wiring.takes else wiring.source
        shapes[number + 1] = own[end]
        stage.end(made.get(end, end))
        stages.append(stage)
    return stages


def require_known(neuron: nn.Module, place: str) -> None:
    """Raise `ConfigError` for layers whose output is not spikes of neurons."""
    if isinstance(neuron, MaxGate):
        raise ConfigError(f"{place}: NIR has no maximum pooling; convert a net with average pooling")
    if isinstance(neuron, StartedLIF):
        raise ConfigError(
            f"{place}: NIR's neurons have no refractory time, these rest {neuron.leaky.refractory:g} steps after each "
            "spike; train the network with nn.ReLU instead of SoftLIF"
        )


def _wire(stage: Stage, wire: nn.Module, takes: list[int], before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Put a wire of a `SpikingGraph` into a stage; return the number of its result."""
    if isinstance(wire, wires.Add):
        return stage.append(Add(), *takes)
    if len(takes) > 1:
        raise ConfigError(f"{type(wire).__name__} cannot be written as NIR, which adds the inputs of a node")
    (source,) = takes
    if isinstance(wire, wires.Reshape):
        if after == before:
            return source
        if len(after) != 1:
            raise ConfigError(f"NIR can flatten but has no other change of shape: {list(before)} to {list(after)}")
        return stage.append(nn.Flatten(), source)
    if isinstance(wire, wires.SumPool) and len(wire.kernel) == 2:
        return stage.append(_summing(wire.kernel, wire.stride, wire.padding), source)
    if isinstance(wire, wires.SumOver) and len(before) == 3 and set(wire.axes) in ({2, 3}, {-1, -2}):
        summed = stage.append(_summing(before[1:], before[1:], (0, 0)), source)
        return summed if wire.keep else stage.append(nn.Flatten(), summed)
    if isinstance(wire, wires.Average) and len(before) == 3:
        own = wire.options
        if "size" in own:
            return stage.append(nn.AdaptiveAvgPool2d(tuple(own["size"])), source)
        kernel, stride, padding = (cast(Any, tuple(own[name])) for name in ("kernel", "stride", "padding"))
        return stage.append(nn.AvgPool2d(kernel, stride, padding, own["ceil"], own["padding_counts"]), source)
    if isinstance(wire, wires.Scale):
        return stage.append(Times(wire.weight.detach()), source)
    return stage.chain(wire, source)


def _summing(kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> nn.Module:
    """Return a pooling that sums."""
    window, step, pads = (cast(Any, tuple(one)) for one in (kernel, stride, padding))
    return nn.AvgPool2d(window, step, pads, divisor_override=1)


def is_chain(stages: Sequence[Stage]) -> bool:
    """Return whether every stage takes the output of the one before it, through one part after the other."""
    for number, stage in enumerate(stages):
        expected = number
        for place, part in enumerate(stage.parts):
            if part.takes != (expected,):
                return False
            expected = -1 - place
        if not stage.parts and stage.takes != number:
            return False
    return True
