"""A convolution, its neurons and the pooling after them as one layer of `time_blocks`; everything is channels last.

    u[t] = decay * u[t-1] * (1 - o[t-1]) + s W * x[t] + b output: counts of o over windows of k by k

The mean over a window is its count times 1/k^2; that scale is folded into the weights of the next layer. Few single
spikes are added through the kernel one by one; counts, and many spikes, are convolved densely.

Shapes: t steps of a block, B examples, H x W places, C channels in, O channels out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.functional.spiking.event_convolution import (
    event_convolution,
    event_convolution_gradient,
    pool_counts,
    window_numbers,
)
from threegen.functional.spiking.event_driven import sum_rows
from threegen.functional.spiking.event_neurons import Product
from threegen.functional.spiking.time_blocks import Neurons

CROSSOVER = 0.2  # share of positions with a spike above which the dense convolution is used


class ConvLayer:
    """A convolution of stride 1 with neurons, and pooling by windows of `pool` (1: none); see `time_blocks.Layer`."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        neurons: Neurons,
        *,
        scale: float = 1.0,
        padding: int = 0,
        pool: int = 1,
        first: bool = False,
    ) -> None:
        self.weight, self.bias, self.neurons = weight, bias, neurons
        self.scale, self.padding, self.pool, self.first = scale, padding, pool, first
        dense = weight.detach() if scale == 1.0 else weight.detach() * scale
        self.dense = dense.contiguous(memory_format=torch.channels_last)
        self.inputs: list[tuple[Tensor, bool]] = []
        self.by_weight: Tensor | None = None
        self.by_bias: Tensor | None = None

    def forward(self, spikes: Tensor) -> Tensor:
        """Return spikes or counts [t, B, H', W', O] from spikes or counts [t, B, H, W, C], all bytes."""
        flat = spikes.flatten(0, 1)
        few = self.scale == 1.0 and int(flat.count_nonzero()) <= CROSSOVER * flat.numel()
        if few:
            flat = _padded(flat, self.padding)
            currents = event_convolution(flat, self.weight, self.bias)
        else:
            dense = F.conv2d(_planes(flat, self.weight.dtype), self.dense, self.bias, padding=self.padding)
            currents = dense.permute(0, 2, 3, 1).contiguous()
        if self.neurons.keep:
            self.inputs.append((flat, few))
        fired = self.neurons.forward(currents.view(*spikes.shape[:2], *currents.shape[1:]))
        if self.pool == 1:
            return fired
        counts = pool_counts(fired.flatten(0, 1), self.pool)
        return counts.view(*spikes.shape[:2], *counts.shape[1:])

    def backward(self, block: int, by_spikes: Tensor | Product | None, by_currents: Tensor | None) -> Tensor | None:
        """Add to the gradients of weight and bias; return that of the input, [t, B, H, W, C]."""
        shape = self.neurons.potentials[block].shape
        windows = window_numbers(shape[2], shape[3], shape[4], self.pool) if self.pool > 1 else None
        by_steps, totals = self.neurons.backward(block, by_spikes, by_currents, windows)
        gradient = by_steps.flatten(0, 1)
        if self.by_weight is None or block == len(self.inputs) - 1:
            self.by_weight = torch.zeros_like(self.weight)
            self.by_bias = torch.zeros_like(self.weight[:, 0, 0, 0])
        seen, few = self.inputs[block]
        if self.by_bias is not None:
            self.by_bias += sum_rows(totals.flatten(0, 1).flatten(1)).view(shape[-2:]).sum(0)
        if few:
            self.by_weight += event_convolution_gradient(seen, gradient, self.weight.shape[-1])
        if few and self.first:
            return None
        wanted = [not self.first, not few, False]
        planes = _padded(seen, -self.padding) if few else seen
        by_input, by_weight, _ = torch.ops.aten.convolution_backward(
            gradient.permute(0, 3, 1, 2),
            _planes(planes, gradient.dtype),
            self.dense,
            None,
            [1, 1],
            [self.padding, self.padding],
            [1, 1],
            False,
            [0, 0],
            1,
            wanted,
        )
        if not few:
            self.by_weight.add_(by_weight, alpha=self.scale)
        if self.first:
            return None
        return by_input.permute(0, 2, 3, 1).contiguous().view(*shape[:2], *planes.shape[1:])  # type: ignore[no-any-return]

    def gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of weight and bias and forget them: autograd would copy a gradient with other
        references."""
        by_weight, by_bias = self.by_weight, self.by_bias
        self.by_weight = self.by_bias = None
        return by_weight, None if self.bias is None else by_bias


def _planes(spikes: Tensor, dtype: torch.dtype) -> Tensor:
    """Return [R, H, W, C] bytes as [R, C, H, W] numbers, channels last in memory."""
    return spikes.to(dtype).permute(0, 3, 1, 2)


def _padded(spikes: Tensor, border: int) -> Tensor:
    """Return [R, H, W, C] with `border` rows and columns of zeros on each side; a negative border is cut off."""
    return spikes if border == 0 else F.pad(spikes, (0, 0, border, border, border, border)).contiguous()
