"""Linear layers of at most sixteen outputs with spikes as input: a spike costs one vector addition, no list is stored.

    y[r]  = bias + sum over i with x[r, i] = 1 of W[i]          dW[i] = sum over r with x[r, i] = 1 of g[r]

A dense product spends its time on converting bytes to numbers, and is slow for so few columns. Rows are summed in parts
whose number does not depend on the number of threads, so the results do not depend on it either.

Shapes: R rows (time steps times examples), I inputs, O <= 16 outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from threegen.functional.spiking.event_lists import Array
from threegen.machine.compiler import parallel, ready_numba, serial
from threegen.machine.simd.vector_kernels import LANES, add_16, add_sixteen, list_sixteens

numba = ready_numba()

MOST = 0.3  # share of inputs that fire; above, the dense product is used
ROWS = 32  # rows at a time, for one thread
SHARES = 4  # parts of the rows whose gradients are summed separately


@serial
def _list_spikes(spikes: Array, row: int, places: Array) -> int:
    """Fill `places` [I + 16] with the inputs that fire in a row of bytes [R, I]; return how many do."""
    inputs = spikes.shape[1]
    whole = inputs - inputs % LANES
    many: int = list_sixteens(spikes, row * inputs, whole, places)
    for i in range(whole, inputs):
        places[many] = i
        many += spikes[row, i] != 0
    return many


@parallel
def _sum_weights(spikes: Array, weight: Array, bias: Array, result: Array) -> None:
    """Fill `result` [R, O] from bytes [R, I]; `weight` [I, 16] and `bias` [16] are padded with zeros."""
    count, inputs = spikes.shape
    for job in numba.prange((count + ROWS - 1) // ROWS):
        places, total = np.empty(inputs + LANES, np.int32), np.empty(LANES, result.dtype)
        for r in range(job * ROWS, min((job + 1) * ROWS, count)):
            many = _list_spikes(spikes, r, places)
            total[:] = bias
            add_16(total, 0, weight, 0, LANES, places, 0, many)
            result[r] = total[: result.shape[1]]


@parallel
def _sum_gradients(spikes: Array, gradient: Array, shares: Array) -> None:
    """Add to `shares` [SHARES, I, 16] the rows of `gradient` [R, O] in which each input fires."""
    count, inputs = spikes.shape
    for share in numba.prange(len(shares)):
        own, places = shares[share], np.empty(inputs + LANES, np.int32)
        row = np.zeros(LANES, gradient.dtype)
        for r in range(share, count, len(shares)):
            row[: gradient.shape[1]] = gradient[r]
            for p in range(_list_spikes(spikes, r, places)):
                add_sixteen(own, places[p] * LANES, row, 0)


def is_sparse_and_narrow(spikes: Tensor, outputs: int) -> bool:
    """Return whether these kernels take spikes [t, B, I]: bytes, with few spikes in the middle step."""
    if outputs > LANES or spikes.dtype != torch.uint8 or not spikes.numel():
        return False
    middle = spikes[len(spikes) // 2]
    return int(middle.count_nonzero()) <= MOST * middle.numel()


def narrow_linear(spikes: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
    """Fill `result` [R, O] with `F.linear` of the bytes of `spikes` [R, I], 0 and 1; `weight` is [O, I]."""
    outputs = len(weight)
    rows_I16, offset = weight.new_zeros(weight.shape[1], LANES), weight.new_zeros(LANES)
    rows_I16[:, :outputs] = weight.detach().t()
    if bias is not None:
        offset[:outputs] = bias.detach()
    _sum_weights(spikes.contiguous().numpy(), rows_I16.numpy(), offset.numpy(), result.numpy())


def narrow_gradient(spikes: Tensor, gradient: Tensor) -> Tensor:
    """Return the weight gradient [I, O] of `gradient` [R, O] for the bytes of `spikes` [R, I]."""
    shares = torch.zeros(SHARES, spikes.shape[1], LANES, dtype=gradient.dtype)
    _sum_gradients(spikes.contiguous().numpy(), gradient.contiguous().numpy(), shares.numpy())
    return shares.sum(0)[:, : gradient.shape[1]]
