"""A whole spiking net in blocks of time steps: kernels that visit spikes, spikes as bytes, memory that hardly grows.

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + s W_l x_l[t] + b_l            x_l: spikes, or counts of pooled spikes

Every layer is a linear map or a convolution followed by neurons (and a sum over pooling windows: the scale s = 1/k^2 of
the mean goes into the weights behind it). A block of steps runs through all layers before the next one starts, so the
large tensors of one block stay below `BLOCK_BYTES`, whatever T is. The potentials, the bytes of the spikes and the
lists of events are all that is kept for the backward pass, which runs the blocks in the opposite order.

Shapes: t steps of a block, B examples, then the layer's own; convolutional layers are channels last, [t, B, H, W, C].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.functional.event_driven import (
    Events,
    event_linear,
    event_weight_gradient,
    is_event_driven,
    list_events,
    sum_rows,
)
from threegen.functional.fused_neurons import (
    KINDS,
    Array,
    backward_loop,
    constants_of,
    forward_loop,
    pooled_backward_loop,
    rows,
    shared_rows,
)
from threegen.functional.neurons import LIFParameters

# The largest tensor of a block. Small blocks stay in the caches; from 32 MiB on the system maps fresh pages every time.
BLOCK_BYTES = 2 << 20

Source = Callable[[int, int], Tensor]  # (first step, steps) -> spikes [t, B, ...] as bytes


class Layer(Protocol):
    """One layer of a net that runs in time blocks. A fresh one is made for every pass; it keeps what backward needs."""

    neurons: Neurons
    weight: Tensor
    bias: Tensor | None

    def forward(self, spikes: Tensor) -> Tensor:
        """Return what the neurons send on, bytes [t, B, ...], from the incoming spikes or counts."""
        ...

    def backward(self, block: int, by_spikes: Tensor | None, by_currents: Tensor | None) -> Tensor | None:
        """Go back through a block, the last one first; return the gradient by what came in, where it is wanted."""
        ...

    def gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of weight and bias."""
        ...


@dataclass(slots=True)
class Neurons:
    """The neurons of a layer over all blocks: their rest between blocks, and their potentials for backward."""

    parameters: LIFParameters
    keep: bool
    rest: Tensor | None = None
    later: Tensor | None = None
    potentials: list[Tensor] = field(default_factory=list)
    nothing: Tensor | None = None

    def forward(self, currents: Tensor) -> Tensor:
        """Return spikes as bytes; `currents` [t, B, ...] become the potentials."""
        spikes = torch.empty(currents.shape, dtype=torch.uint8)
        if self.rest is None:
            self.rest = torch.zeros(currents.shape[1:], dtype=currents.dtype)
        k = constants_of(self.parameters, currents.dtype)
        forward_loop(rows(currents), rows(spikes), rows(self.rest[None])[0], k)
        if self.keep:
            self.potentials.append(currents)
        return spikes

    def backward(
        self, block: int, by_spikes: Tensor | None, by_currents: Tensor | None, windows: Array | None = None
    ) -> Tensor:
        """Return the gradient of the currents of a block; the blocks come in opposite order.

        `by_spikes` is [t, B, ...], or expanded over time; behind a pooling layer it is by the counts, and `windows`
        says in which window each neuron of an example lies. `by_currents` [B, ...] is added at every step, behind the
        neurons.
        """
        potentials = self.potentials[block]
        if block == len(self.potentials) - 1:
            self.later = None
        if self.nothing is None:
            self.nothing = torch.zeros_like(potentials[:1])
        result = torch.empty_like(potentials)
        later = rows(self.nothing if self.later is None else self.later[None])[0]
        k, kind = constants_of(self.parameters, potentials.dtype), KINDS[self.parameters.surrogate]
        if windows is not None and by_spikes is not None:
            by_counts = shared_rows(by_spikes).reshape(-1, potentials.shape[1], by_spikes[0, 0].numel())
            pooled_backward_loop(rows(potentials), by_counts, windows, later, rows(result), k, kind)
        else:
            given = rows(self.nothing) if by_spikes is None else shared_rows(by_spikes)
            backward_loop(rows(potentials), given, rows(potentials[:0]), later, rows(result), k, kind)
        if by_currents is None:
            self.later = result[0]  # nobody writes into a gradient
            return result
        self.later = result[0].clone()
        return result.add_(by_currents)


class LinearLayer:
    """A linear map and neurons; gathers weight rows where the incoming spikes are few, multiplies densely elsewhere."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        neurons: Neurons,
        *,
        scale: float = 1.0,
        first: bool = False,
        last: bool = False,
        picture: tuple[int, int, int] | None = None,
    ) -> None:
        self.weight, self.bias, self.neurons, self.scale = weight, bias, neurons, scale
        self.scaled = weight.detach() if scale == 1.0 else weight.detach() * scale
        self.first, self.last, self.picture = first, last, picture
        self.inputs: list[Events | Tensor] = []
        self.shape: torch.Size = torch.Size()
        self.by_weight: Tensor | None = None
        self.by_bias: Tensor | None = None
        self.summed: Tensor | None = None  # currents summed over time, [B, O]

    def forward(self, spikes: Tensor) -> Tensor:
        """Return spikes [t, B, O] from spikes or counts [t, B, ...]; `picture` (C, H, W) lies channels last."""
        if self.picture is not None and not self.first:
            spikes = spikes.permute(0, 1, 4, 2, 3)
        self.shape, outputs = spikes.shape, len(self.weight)
        flat = spikes.reshape(-1, self.weight.shape[1])
        events = list_events(flat) if self.scale == 1.0 and is_event_driven(outputs, 0.0) else None
        if events is not None and is_event_driven(outputs, events.density):
            currents = torch.empty(len(flat), outputs, dtype=self.weight.dtype)
            event_linear(events, self.weight, self.bias, currents)
        else:
            events = None
            currents = flat.to(self.weight.dtype) @ self.scaled.t()
            if self.bias is not None:
                currents += self.bias
        if self.neurons.keep:
            self.inputs.append(flat if events is None else events)
        currents = currents.view(*spikes.shape[:2], outputs)
        if self.last:
            total = currents.sum(0)
            self.summed = total if self.summed is None else self.summed + total
        return self.neurons.forward(currents)

    def backward(self, block: int, by_spikes: Tensor | None, by_currents: Tensor | None) -> Tensor | None:
        """Add to the gradients of weight and bias; return that of the input, of its shape."""
        gradient = self.neurons.backward(block, by_spikes, by_currents)
        steps, flat = len(gradient), gradient.view(-1, len(self.weight))
        if self.by_weight is None or block == len(self.inputs) - 1:
            self.by_weight = torch.zeros(self.weight.shape[::-1], dtype=self.weight.dtype).t()
            self.by_bias = torch.zeros_like(self.weight[:, 0])
        seen = self.inputs[block]
        if isinstance(seen, Events):
            event_weight_gradient(seen, flat, self.by_weight)
        else:
            self.by_weight.t().addmm_(seen.to(flat.dtype).t(), flat, alpha=self.scale)
        if self.by_bias is not None:
            self.by_bias += sum_rows(flat)
        if self.first:
            return None
        by_input = (flat @ self.scaled).view(steps, *self.shape[1:])
        return by_input if self.picture is None else by_input.permute(0, 1, 3, 4, 2).contiguous()

    def gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of weight and bias."""
        return self.by_weight, None if self.bias is None else self.by_bias


def steps_per_block(steps: int, batch: int, largest: int, element: int) -> int:
    """Return how many steps one block takes, where the largest layer has `largest` values an example and step."""
    return max(1, min(steps, BLOCK_BYTES // max(1, batch * largest * element)))


def run_in_blocks(
    layers: Sequence[Layer], source: Source, steps: int, block: int, weights: Sequence[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """Run `layers` over `steps` time steps, `block` at a time; return spikes and currents of the last, summed, [B, K].

    The last layer must be linear. `weights` lists weight and bias of each layer, in order: autograd sees them here.
    """
    return _TimeBlocks.apply(layers, source, steps, block, *weights)  # type: ignore[no-untyped-call,no-any-return]


class _TimeBlocks(torch.autograd.Function):
    """Blocks forward in time through all layers, and back again."""

    @staticmethod
    def forward(
        ctx: Any, layers: Sequence[Layer], source: Source, steps: int, block: int, *weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        counts: Tensor | None = None
        blocks = []
        for start in range(0, steps, block):
            many = min(block, steps - start)
            spikes = source(start, many)
            for layer in layers:
                spikes = layer.forward(spikes)
            fired = spikes.sum(0)  # whole numbers
            counts = fired if counts is None else counts + fired
            blocks.append(many)
        last = layers[-1]
        if counts is None or not isinstance(last, LinearLayer) or last.summed is None:
            raise TypeError("time blocks need at least one step and a linear layer at the end")
        ctx.layers, ctx.blocks = layers, blocks
        ctx.save_for_backward(*weights)  # autograd refuses a backward pass through weights that were changed since
        ctx.set_materialize_grads(False)
        return counts.to(last.weight.dtype), last.summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        by_counts, by_currents = gradients
        layers, blocks = ctx.layers, ctx.blocks
        for number in range(len(blocks) - 1, -1, -1):
            by_spikes = None if by_counts is None else by_counts.expand(blocks[number], *by_counts.shape)
            extra = by_currents
            for layer in reversed(layers):
                by_spikes = layer.backward(number, by_spikes, extra)
                extra = None
        return None, None, None, None, *(one for layer in layers for one in layer.gradients())
