"""Compiled inference of a `SpikingGraph` without gradients: the supported nets, and the weights in the kernels' layout.

It supports chains: an analog first layer, then layers that sum counts over windows, each with one convolution or one
linear map, integrate-and-fire neurons with reset by subtraction, and a last layer whose summed input is read out.
Copies of the weights in another order are cached and renewed when a weight has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.functional.spiking.graph_fused import (
    Array,
    analog_counts,
    conv_counts,
    fingerprint,
    linear_counts,
    summed_counts,
)
from threegen.gen3.encoders import Direct
from threegen.gen3.fast_way import all_are_watched, is_watched, replaced_method
from threegen.gen3.graph_neurons import StartedIF, Sum
from threegen.gen3.readouts import PotentialReadout
from threegen.gen3.wires import Reshape, SumPool
from threegen.machine.torch_private import own_modules

LARGEST_COUNT = 255  # bytes hold the counts
FEW = 1_000  # numbers that are compared one by one


@dataclass
class Stage:
    """One layer of the chain: the size of the pooling before it, its linear part (None: the first), its neurons."""

    pool: int
    layer: Any
    neurons: Any
    flat: bool  # a linear map over planes
    prepared: tuple[Array, ...] = ()
    known: tuple[Any, ...] = field(default=())
    views: list[_View] = field(default_factory=list)

    def arrays(self, channels: int, width: int) -> tuple[Array, ...]:
        """Return weight, bias and initial potentials in the kernels' layout, for a signal of `channels` that is `width`
        wide."""
        values = (self.layer._parameters["weight"], self.layer._parameters["bias"], self._start())
        if len(self.views) != len(values):
            self.views = [_View(one) for one in values]
        for place, one in enumerate(values):
            view = self.views[place]
            if view.values is not one or (one is not None and one.data_ptr() != view.address):
                self.views[place] = _View(one)
        found = (channels, width, *[one.state() for one in self.views])
        if found != self.known:
            self.prepared, self.known = self._prepare(channels, width), found
        return self.prepared

    def _start(self) -> Tensor | None:
        found: Tensor | None = self.neurons._buffers.get("initial")
        return found

    def _prepare(self, channels: int, width: int) -> tuple[Array, ...]:
        weight, start = self.layer.weight.detach(), self._start()
        bias = torch.zeros(len(weight)) if self.layer.bias is None else self.layer.bias.detach()
        first = torch.zeros(len(weight)) if start is None else start
        if isinstance(self.layer, nn.Conv2d):
            places = width + 2 * cast(Any, self.layer.padding)[0] - weight.shape[-1] + 1
            turned = weight.flip(2, 3).permute(1, 2, 3, 0).contiguous().flatten(2)
            return turned.numpy(), bias.repeat(places).numpy(), first.repeat(places).numpy()
        if self.flat:  # planes are stored channels last here, channels first in the weights
            weight = weight.view(len(weight), channels, -1).transpose(1, 2).flatten(1)
        return weight.t().contiguous().numpy(), bias.contiguous().numpy(), first.contiguous().numpy()


class _View:
    """The memory of a tensor, and a number that differs after any change of its values."""

    def __init__(self, values: Tensor | None) -> None:
        self.values, self.address = values, 0
        self.words: Array | None = None
        if values is not None:
            self.address = values.data_ptr()
            self.words = values.detach().reshape(-1).numpy().view(np.uint32)

    def state(self) -> Any:
        """Return a value that differs after a change: torch's version counter misses changes through `.data` or
        numpy."""
        if self.words is None or self.values is None:
            return None
        if len(self.words) < FEW:
            return self.address, self.words.tobytes()
        return self.address, self.values._version, fingerprint(self.words)


@dataclass
class Chain:
    """The `stages` of a net, or why it is not a chain, and the `modules` that it was read from."""

    stages: list[Stage] | str
    modules: list[nn.Module]


def chain_of(net: Any, known: Chain | None) -> Chain:
    """Return the chain of a net: the `known` one while its modules are the same ones."""
    modules = modules_of(net)
    if known is None or len(modules) != len(known.modules):
        return Chain(_stages_of(net), modules)
    same = all(one is other for one, other in zip(modules, known.modules, strict=True))
    return known if same else Chain(_stages_of(net), modules)


def _stages_of(net: Any) -> list[Stage] | str:
    """Return the stages of a net that is a chain, or why it is not one."""
    stages: list[Stage] = []
    for number, (layer, wiring, neurons) in enumerate(zip(net.layers, net.synapses, net.neurons, strict=True)):
        if layer.sources != {number}:
            return f"{layer.name} takes signals from several layers"
        last = number == len(net.layers) - 1
        if type(neurons) is not (Sum if last else StartedIF):
            return f"{layer.name} has {type(neurons).__name__} neurons"
        own = None if last else cast(StartedIF, neurons).constants
        if own is not None and (own.reset != "soft" or own.threshold != 1.0):
            return f"{layer.name} resets to zero"
        if number == 0:
            stages.append(Stage(1, None, neurons, flat=False))
            continue
        stage = _stage(wiring, neurons)
        if stage is None:
            return f"the wires of {layer.name} have no kernel"
        stages.append(stage)
    if len(stages) < 2:
        return "there is no hidden layer"
    return stages


def _stage(wiring: Any, neurons: nn.Module) -> Stage | None:
    """Return a stage for wires that are a pooling, a flattening and one linear part, each of the first two optional."""
    if any(len(takes) != 1 for takes in wiring.takes) or not wiring.takes:
        return None
    parts: list[Any] = list(wiring.parts)
    pool, flat = 1, False
    if isinstance(parts[0], SumPool):
        own = parts.pop(0)
        same = len(own.kernel) == 2 and own.kernel[0] == own.kernel[1] and own.stride == own.kernel
        if not same or any(own.padding) or own.kernel[0] ** 2 > LARGEST_COUNT:
            return None
        pool = own.kernel[0]
    if parts and isinstance(parts[0], Reshape) and len(parts[0].shape) == 1:
        flat, _ = True, parts.pop(0)
    if len(parts) != 1:
        return None
    layer = parts[0]
    if isinstance(layer, nn.Conv2d):
        square = layer.kernel_size[0] == layer.kernel_size[1] and isinstance(layer.padding, tuple)
        plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1 and not flat
        border = cast(tuple[int, int], layer.padding)
        small = square and border[0] == border[1] < layer.kernel_size[0]
        return Stage(pool, layer, neurons, flat) if square and plain and small else None
    return Stage(pool, layer, neurons, flat) if type(layer) is nn.Linear else None


def obstacle(net: Any, chain: Chain, x: Tensor, replaced: tuple[str, ...]) -> str | None:
    """Return why the kernels cannot compute `x`, or None if they can."""
    if isinstance(chain.stages, str):
        return chain.stages
    if torch.is_grad_enabled() and (x.requires_grad or any(one.requires_grad for one in net.parameters())):
        return "gradients are needed (use torch.no_grad())"
    if x.device.type != "cpu" or x.dtype != torch.float32 or len(x) == 0:
        return f"the images are {x.dtype} on {x.device.type}"
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return "under autocast and torch.compile torch chooses the kernels"
    if type(net.encoder) is not Direct or type(net.readout) is not PotentialReadout or net.readout.votes != 1:
        return "the encoder or the read-out has no kernel"
    if (name := replaced_method(net, replaced)) is not None:
        return f"{type(net).__name__}.{name} is not the library's own"
    if all_are_watched() or any(is_watched(one) for one in chain.modules):
        return "there are hooks on its layers"
    return None


def modules_of(net: nn.Module) -> list[nn.Module]:
    """Return all modules inside a net, ten times faster than `net.modules()`; shared ones may occur twice."""
    found = [net]
    for module in found:  # grows while it is read
        inner = own_modules(module)
        if inner:
            found += [one for one in inner.values() if one is not None]
    return found[1:]


def answer(net: Any, stages: list[Stage], pixels: Tensor) -> Tensor:
    """Return the scores [B, K] of images, computed by kernels."""
    steps = net.steps
    currents: Tensor = net.synapses[0]({0: pixels[None]})[0]
    counts = _first(currents.detach(), stages, steps)
    for stage in stages[1:]:
        last = stage is stages[-1]
        planes = counts.ndim == 5
        weight, bias, start = stage.arrays(counts.shape[-1], counts.shape[3] if planes else 1)
        behind = 1 if last else stages[stages.index(stage) + 1].pool
        if isinstance(stage.layer, nn.Conv2d):
            border, kernel, outputs = cast(Any, stage.layer.padding)[0], weight.shape[1], len(stage.layer.weight)
            tall, wide = (one + 2 * border - kernel + 1 for one in counts.shape[2:4])
            made = np.empty((steps, len(pixels), tall // behind, wide // behind * outputs), np.uint8)
            conv_counts(counts, weight, bias, start, border, behind, made)
            counts = made.reshape(*made.shape[:3], wide // behind, outputs)
            continue
        flat = counts.reshape(steps, len(pixels), -1)
        if last:
            scores = np.empty((len(pixels), len(bias)), np.float32)
            summed_counts(flat, weight, bias, scores)
            return torch.from_numpy(scores)
        counts = np.empty((steps, len(pixels), len(bias)), np.uint8)
        linear_counts(flat, weight, bias, start, counts)
    raise AssertionError("the last layer of a chain is linear")


def _first(currents: Tensor, stages: list[Stage], steps: int) -> Array:
    """Return the counts of the first layer after the pooling of the second."""
    size, start = stages[1].pool, stages[0].neurons.initial
    if currents.dim() == 2:
        made = np.empty((steps, len(currents), 1, currents.shape[1]), np.uint8)
        analog_counts(currents[:, None].contiguous().numpy(), start.numpy(), 1, currents.shape[1], made)
        return made[:, :, 0]
    if currents.dim() != 4:  # lines and volumes, which only a linear map can follow: planes of one row
        currents = currents.flatten(2).unsqueeze(2)
    batch, channels, tall, wide = currents.shape
    rows = currents.permute(0, 2, 3, 1).contiguous().view(batch, tall, wide * channels).numpy()
    made = np.empty((steps, batch, tall // size, wide // size * channels), np.uint8)
    analog_counts(rows, start.repeat(wide).numpy(), size, channels, made)
    return made.reshape(steps, batch, tall // size, wide // size, channels)
