"""Convolution and pooling of spikes, channels last: each spike adds its kernel, silent inputs cost nothing.

    forward           y[p - q, :]  += w[q, c, :]       for each spike x[p, c] = 1 and each place q of the kernel
    weight gradient   dw[q, c, :]  += g[p - q, :]      the same loop
    pooled counts     n[p, c]       = sum of x over a window of k by k; its mean is n / k^2

The positions p - q outside the picture go to a border that is cut off afterwards, so that inner loops have no branch.
The output channels of all positions of a row of the kernel are contiguous in memory: one spike is k sums of k O. Every
element of a result is summed by one thread in one order: the number of threads does not change it.

Shapes: R rows (time steps times examples), H x W places, C channels in, O channels out, k x k kernels, stride 1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.machine.compiler import parallel, ready_numba, serial

numba = ready_numba()

Array = np.ndarray[Any, Any]

SHARES = 8  # parts of the rows whose weight gradients are summed separately, for any number of threads


@serial
def _push(spikes: Array, weight: Array, padded: Array, outputs: int) -> None:
    """Add the spikes [H, W, C] of one picture to `padded` [H + k - 1, (W + k - 1) O].

    `weight` is [C, k, k O], flipped: the position that a spike reaches last comes first.
    """
    height, width, channels = spikes.shape
    size = weight.shape[1]
    reach = weight.shape[2]
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                if spikes[y, x, c] != 0:
                    for q in range(size):
                        source = weight[c, q]
                        target = padded[y + q, x * outputs : x * outputs + reach]
                        for j in range(reach):
                            target[j] += source[j]


@parallel
def _convolve(spikes: Array, weight: Array, bias: Array, result: Array) -> None:
    """Fill `result` [R, H - k + 1, (W - k + 1) O] with the valid convolution of `spikes` [R, H, W, C].

    `bias` [(W - k + 1) O] holds the bias of every place of a row.
    """
    size, outputs = weight.shape[1], weight.shape[2] // weight.shape[1]
    high, wide = spikes.shape[1] + size - 1, (spikes.shape[2] + size - 1) * outputs
    for part in numba.prange(SHARES):
        padded = np.zeros((high, wide), result.dtype)  # the sums in its border are never read
        start = (size - 1) * outputs
        for r in range(part, len(spikes), SHARES):
            for y in range(result.shape[1]):
                target = padded[y + size - 1, start : start + result.shape[2]]
                for j in range(len(target)):
                    target[j] = bias[j]
            _push(spikes[r], weight, padded, outputs)
            for y in range(result.shape[1]):
                source = padded[y + size - 1, start : start + result.shape[2]]
                target = result[r, y]
                for j in range(len(target)):
                    target[j] = source[j]


@serial
def _pull(spikes: Array, padded: Array, result: Array, outputs: int) -> None:
    """Add to `result` [C, k, k O] the gradient around each spike; the loop of `_push`."""
    height, width, channels = spikes.shape
    size, reach = result.shape[1], result.shape[2]
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                if spikes[y, x, c] != 0:
                    for q in range(size):
                        source = padded[y + q, x * outputs : x * outputs + reach]
                        target = result[c, q]
                        for j in range(reach):
                            target[j] += source[j]


@parallel
def _convolve_gradient(spikes: Array, gradient: Array, shares: Array, outputs: int) -> None:
    """Add to `shares` [SHARES, C, k, k O] the weight gradients from `gradient` [R, H - k + 1, (W - k + 1) O]."""
    size = shares.shape[2]
    high, wide = spikes.shape[1] + size - 1, (spikes.shape[2] + size - 1) * outputs
    start = (size - 1) * outputs
    for part in numba.prange(SHARES):
        padded = np.zeros((high, wide), gradient.dtype)
        for r in range(part, len(spikes), SHARES):
            for y in range(gradient.shape[1]):
                source = gradient[r, y]
                target = padded[y + size - 1, start : start + len(source)]
                for j in range(len(source)):
                    target[j] = source[j]
            _pull(spikes[r], padded, shares[part], outputs)


@parallel
def _pool(spikes: Array, first: Array, across: int, size: int, result: Array) -> None:
    """Fill counts `result` [R, H // k, N] from `spikes` [R, H, W C]; `first` [N] is where in a row a window begins.

    The next positions of a window are `across` further on. Positions are unsigned, so that numba need not check for
    negative ones.
    """
    for r in numba.prange(len(spikes)):
        row = np.empty(spikes.shape[2], np.uint8)
        for y in range(result.shape[1]):
            row[:] = spikes[r, y * size]
            for v in range(1, size):
                source = spikes[r, y * size + v]
                for j in range(len(row)):
                    row[j] += source[j]
            target = result[r, y]
            for i in range(len(target)):
                target[i] = row[first[i]]
            for h in range(1, size):
                further = np.uintp(h * across)
                for i in range(len(target)):
                    target[i] += row[first[i] + further]


def event_convolution(spikes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the valid convolution [R, H', W', O] of spikes [R, H, W, C], bytes, with `weight` [O, C, k, k]."""
    outputs, size = len(weight), weight.shape[-1]
    high, wide = spikes.shape[1] - size + 1, spikes.shape[2] - size + 1
    result = torch.empty(len(spikes), high, wide, outputs, dtype=weight.dtype)
    offset = torch.zeros(outputs, dtype=weight.dtype) if bias is None else bias.detach()
    _convolve(spikes.numpy(), _turned(weight), offset.repeat(wide).numpy(), result.flatten(2).numpy())
    return result


def event_convolution_gradient(spikes: Tensor, gradient: Tensor, size: int) -> Tensor:
    """Return the weight gradient [O, C, k, k] of `event_convolution` from `gradient` [R, H', W', O]."""
    outputs, channels = gradient.shape[-1], spikes.shape[-1]
    shares = torch.zeros(SHARES, channels, size, size * outputs, dtype=gradient.dtype)
    _convolve_gradient(spikes.numpy(), gradient.flatten(2).numpy(), shares.numpy(), outputs)
    return shares.sum(0).view(channels, size, size, outputs).flip(1, 2).permute(3, 0, 1, 2)


def _turned(weight: Tensor) -> Array:
    """Return [O, C, k, k] as [C, k, k O], both axes of the kernel reversed."""
    turned = weight.detach().flip(2, 3).permute(1, 2, 3, 0).contiguous()
    array: Array = turned.flatten(2).numpy()
    return array


def pool_counts(spikes: Tensor, size: int) -> Tensor:
    """Return the number of spikes in each window of `size` by `size`, bytes [R, H // k, W // k, C]."""
    rows, height, width, channels = spikes.shape
    result = torch.empty(rows, height // size, width // size, channels, dtype=torch.uint8)
    _pool(spikes.flatten(2).numpy(), _first_places(width, channels, size), channels, size, result.flatten(2).numpy())
    return result


@cache
def _first_places(width: int, channels: int, size: int) -> Array:
    """Return the position in a row [W, C] of the first corner of each window [W // k, C], flat."""
    places = np.arange(width * channels, dtype=np.uintp).reshape(width, channels)
    return places[: width // size * size : size].ravel()


@cache
def window_numbers(height: int, width: int, channels: int, size: int) -> Array:
    """Return the window of [H // k, W // k, C] of each position of [H, W, C], flat; the number of windows for none."""
    high, wide = height // size, width // size
    numbers = np.full((height, width, channels), high * wide * channels, np.uintp)
    windows = np.arange(high * wide * channels, dtype=np.uintp).reshape(high, wide, channels)
    numbers[: high * size, : wide * size] = windows.repeat(size, 0).repeat(size, 1)
    return numbers.ravel()
