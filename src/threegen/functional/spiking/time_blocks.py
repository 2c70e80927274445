"""A whole spiking net in blocks of time steps: event-driven kernels, spikes as bytes, memory almost independent of T.

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + s W_l x_l[t] + b_l            x_l: spikes, or counts of pooled spikes

Every layer is a linear map or a convolution followed by neurons (and a sum over pooling windows: the scale s = 1/k^2 of
the mean is folded into the next weights). A block of steps runs through all layers before the next one starts, so the
large tensors of one block stay below `BLOCK_BYTES` for any T. Only the potentials, the bytes of the spikes and the
lists of events are kept for the backward pass, which runs the blocks in the opposite order.

Shapes: t steps of a block, B examples, then the layer's own; convolutional layers are channels last, [t, B, H, W, C].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.functional.spiking.event_driven import (
    NARROW,
    event_gradients,
    event_linear,
    is_event_driven,
    sum_rows,
)
from threegen.functional.spiking.event_lists import Changes, list_changes
from threegen.functional.spiking.event_neurons import Product, event_neurons, product_backward
from threegen.functional.spiking.narrow_layers import is_sparse_and_narrow, narrow_gradient, narrow_linear
from threegen.functional.spiking.neurons import LIFParameters
from threegen.functional.spiking.neurons_fused import (
    KINDS,
    Array,
    backward_loop,
    constants_of,
    forward_loop,
    pooled_backward_loop,
    rows,
    shared_rows,
)
from threegen.machine import buffers
from threegen.machine.sparse.layouts import lay_out

# The largest tensor of a block. Small blocks stay in the caches; from 32 MiB on the system maps new pages every time.
BLOCK_BYTES = 4 << 20
PART_BYTES = 1 << 20  # of spikes that are turned from bytes into numbers at a time

Source = Callable[[int, int], Tensor]  # (first step, steps) -> spikes [t, B, ...] as bytes


class Layer(Protocol):
    """One layer of a net that runs in time blocks. A new one is created for every pass; it stores what backward
    needs."""

    neurons: Neurons
    weight: Tensor
    bias: Tensor | None

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the output of the neurons, bytes [t, B, ...], from the incoming spikes or counts."""
        ...

    def backward(
        self, block: int, by_spikes: Tensor | Product | None, by_currents: Tensor | None
    ) -> Tensor | Product | None:
        """Run backward through a block, the last one first; return the gradient by its input, if it is needed."""
        ...

    def gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of weight and bias, once per pass."""
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
        spikes, rest = self._begin(currents)
        forward_loop(rows(currents), rows(spikes), rows(rest[None])[0], constants_of(self.parameters, currents.dtype))
        return spikes

    def gather(self, changes: Changes, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return spikes [t, B, O] as bytes, from the product of `changes` and `weight` [O, I]."""
        potentials = buffers.empty((changes.steps, changes.batch, len(weight)), weight.dtype)
        spikes, rest = self._begin(potentials)
        event_neurons(changes, weight, bias, rest, constants_of(self.parameters, weight.dtype), potentials, spikes)
        return spikes

    def _begin(self, potentials: Tensor) -> tuple[Tensor, Tensor]:
        """Return spikes to be filled and the rest [B, ...] to continue from; store the array that becomes
        `potentials`."""
        if self.rest is None:
            self.rest = torch.zeros(potentials.shape[1:], dtype=potentials.dtype)
        if self.keep:
            self.potentials.append(potentials)
        return buffers.empty(potentials.shape, torch.uint8), self.rest

    def backward(
        self,
        block: int,
        by_spikes: Tensor | Product | None,
        by_currents: Tensor | None = None,
        windows: Array | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the currents of a block, and its sums over time; the blocks come in opposite order.

        `by_spikes` is [t, B, ...], or expanded over time; before a pooling layer it is the gradient by the counts, and
        `windows` is the window of each neuron of an example. `by_currents` [B, ...] is added at every step, after the
        neurons.
        """
        potentials = self.potentials[block]
        if block == len(self.potentials) - 1:
            self.later = None
        if self.nothing is None:
            self.nothing = torch.zeros_like(potentials[:1])
        result = buffers.empty(potentials.shape, potentials.dtype)
        # the sum over a single step is that step; a kernel does not fill totals of length 0
        alone = len(potentials) == 1 and not isinstance(by_spikes, Product)
        totals = result[0] if alone else buffers.empty(potentials.shape[1:], potentials.dtype)
        later = self.nothing[0] if self.later is None else self.later
        k, kind = constants_of(self.parameters, potentials.dtype), KINDS[self.parameters.surrogate]
        ends = (rows(later[None])[0], rows(result), rows(totals[None])[0][: 0 if alone else None])
        if isinstance(by_spikes, Product):
            product_backward(potentials, by_spikes, later, result, totals, k, kind)
        elif windows is not None and by_spikes is not None:
            by_counts = shared_rows(by_spikes).reshape(-1, potentials.shape[1], by_spikes[0, 0].numel())
            pooled_backward_loop(rows(potentials), by_counts, windows, *ends, k, kind)
        else:
            given = rows(self.nothing) if by_spikes is None else shared_rows(by_spikes)
            backward_loop(rows(potentials), given, rows(potentials[:0]), *ends, k, kind)
        if by_currents is None:
            self.later = result[0]  # nobody writes into a gradient
            return result, totals
        self.later = result[0].clone()
        result.add_(by_currents)
        return result, totals if alone else totals.add_(by_currents, alpha=len(result))


class LinearLayer:
    """A linear map and neurons; gathers weight rows if the incoming spikes are few, else multiplies densely."""

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
        self.weight, self.bias, self.neurons, self.scale = lay_out(weight.detach()), bias, neurons, scale
        self.scaled = self.weight if scale == 1.0 else self.weight * scale
        self.first, self.last, self.picture = first, last, picture
        self.inputs: list[Changes | Tensor] = []
        self.shape: torch.Size = torch.Size()
        self.by_weight: Tensor | None = None
        self.by_bias: Tensor | None = None
        self.summed: Tensor | None = None  # currents summed over time, [B, O]

    def forward(self, spikes: Tensor) -> Tensor:
        """Return spikes [t, B, O] from spikes or counts [t, B, ...]; `picture` (C, H, W) is stored channels last."""
        if self.picture is not None and not self.first:
            spikes = spikes.permute(0, 1, 4, 2, 3)
        self.shape, outputs = spikes.shape, len(self.weight)
        flat = spikes.reshape(*spikes.shape[:2], self.weight.shape[1])
        changes = list_changes(flat) if self.scale == 1.0 and is_event_driven(outputs, 0.0) else None
        if changes is not None and not is_event_driven(outputs, changes.density):
            changes = None
        if self.neurons.keep:
            self.inputs.append(flat if changes is None else changes)
        if changes is not None and not self.last:
            return self.neurons.gather(changes, self.weight, self.bias)
        currents = buffers.empty((*flat.shape[:2], outputs), self.weight.dtype)
        if changes is not None:
            event_linear(changes, self.weight, self.bias, currents)
        elif self._is_narrow(flat):
            narrow_linear(flat.flatten(0, 1), self.weight, self.bias, currents.view(-1, outputs))
        else:
            offset = torch.zeros(outputs, dtype=currents.dtype) if self.bias is None else self.bias.detach()
            by_rows = currents.view(-1, outputs)
            for where, numbers in self._numbers(flat):
                torch.addmm(offset, numbers, self.scaled.t(), out=by_rows[where])
        if self.last:
            total = currents.sum(0)
            self.summed = total if self.summed is None else self.summed + total
        return self.neurons.forward(currents)

    def _is_narrow(self, spikes: Tensor) -> bool:
        return self.scale == 1.0 and is_sparse_and_narrow(spikes, len(self.weight))

    def _numbers(self, spikes: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield bytes [t, B, I] as matrices of the weights' type, some rows at a time: as many as fit in the cache."""
        matrix = spikes.flatten(0, 1)
        many = max(1, PART_BYTES // (matrix.shape[1] * self.weight.element_size()))
        part = buffers.empty((min(many, len(matrix)), matrix.shape[1]), self.weight.dtype)
        for first in range(0, len(matrix), many):
            some = matrix[first : first + many]
            yield slice(first, first + many), part[: len(some)].copy_(some)

    def backward(
        self, block: int, by_spikes: Tensor | Product | None, by_currents: Tensor | None
    ) -> Tensor | Product | None:
        """Add to the gradients of weight and bias; return that of the input, of its shape."""
        gradient, totals = self.neurons.backward(block, by_spikes, by_currents)
        fresh = self.by_weight is None or block == len(self.inputs) - 1
        if self.by_weight is None or fresh:
            self.by_weight = buffers.empty((self.weight.shape[1], len(self.weight)), self.weight.dtype).t()
            self.by_bias = torch.zeros_like(self.weight[:, 0])
        seen = self.inputs[block]
        flat = gradient.view(-1, len(self.weight))
        if isinstance(seen, Changes):
            by_bias = event_gradients(seen, gradient, self.by_weight, totals, fresh=fresh)
        elif self._is_narrow(seen):
            by_bias, found = sum_rows(totals), narrow_gradient(seen.flatten(0, 1), flat)
            by_rows = self.by_weight.t()
            by_rows.copy_(found) if fresh else by_rows.add_(found)
        else:
            by_bias, held = sum_rows(totals), 0.0 if fresh else 1.0
            for where, numbers in self._numbers(seen):
                self.by_weight.t().addmm_(numbers.t(), flat[where], alpha=self.scale, beta=held)
                held = 1.0
        if self.by_bias is not None:
            self.by_bias += by_bias
        return None if self.first else self._by_input(gradient)

    def _by_input(self, gradient: Tensor) -> Tensor | Product:
        """Return the gradient of the input from that of the currents [t, B, O]."""
        if len(self.weight) < NARROW and len(self.shape) == 3:  # a linear layer precedes this one
            return Product(gradient, self.scaled.contiguous())
        by_input = buffers.empty((*gradient.shape[:2], self.weight.shape[1]), gradient.dtype)
        torch.mm(gradient.flatten(0, 1), self.scaled, out=by_input.flatten(0, 1))
        shaped = by_input.view(len(gradient), *self.shape[1:])
        return shaped if self.picture is None else shaped.permute(0, 1, 3, 4, 2).contiguous()

    def gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of weight and bias and forget them: autograd would copy a gradient with other
        references."""
        by_weight, by_bias = self.by_weight, self.by_bias
        self.by_weight = self.by_bias = None
        return by_weight, None if self.bias is None else by_bias


def steps_per_block(steps: int, batch: int, largest: int, element: int) -> int:
    """Return the number of steps of one block, if the largest layer has `largest` values per example and step."""
    return max(1, min(steps, BLOCK_BYTES // max(1, batch * largest * element)))


def run_in_blocks(
    layers: Sequence[Layer], source: Source, steps: int, block: int, weights: Sequence[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """Run `layers` over `steps` time steps, `block` at a time; return spikes and currents of the last, summed, [B, K].

    The last layer must be linear. `weights` lists weight and bias of each layer, in order, for autograd.
    """
    return _TimeBlocks.apply(layers, source, steps, block, *weights)  # type: ignore[no-untyped-call,no-any-return]


class _TimeBlocks(torch.autograd.Function):
    """Runs blocks forward in time through all layers, and backward."""

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
        summed, last.summed = last.summed, None  # a result referenced by `ctx` would keep itself alive
        ctx.layers, ctx.blocks = layers, blocks
        ctx.save_for_backward(*weights)  # autograd rejects a backward pass through weights changed since
        ctx.set_materialize_grads(False)
        return counts.to(last.weight.dtype), summed

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
