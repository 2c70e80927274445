"""Spiking neurons with the layers around them in one pass: sums stay in the cache until they are used.

Forward, after an event-driven linear layer, rows of weights are summed when the potential is needed:

    u[t] = decay * k[t-1] + bias + sum of W[i] over the inputs i that fire at t          k, o: see `fused_neurons`

Backward, before a narrow layer, its gradient arrives as a `Product` and is multiplied out when it is needed:

    dL/do[t, b] = sum over k of g[t, b, k] V[k]          g: gradient of the narrow layer's currents, V its weights

The sums are those of `event_driven`, the neurons those of `fused_neurons`. The loop over columns is in both files: as a
shared function it made an update of 784-800-10 at least 5 % slower.

Shapes: t time steps, B examples, I inputs, O neurons, K neurons of the next layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from threegen.functional.spiking.event_driven import COLUMNS, WIDE, add_narrow, arrays_of, memory_of
from threegen.functional.spiking.event_lists import Array, Changes
from threegen.functional.spiking.neurons_fused import (
    BLOCK,
    RESETS,
    first_step,
    rest_of_step,
    slopes,
    step,
    step_back,
    sum_up,
)
from threegen.machine.compiler import parallel, ready_numba, serial
from threegen.machine.simd.vector_kernels import add_128

numba = ready_numba()


@dataclass(frozen=True, slots=True)
class Product:
    """The gradient of a layer's spikes [t, B, O] as `gradient` [t, B, K] times `weight` [K, O], both contiguous."""

    gradient: Tensor
    weight: Tensor


@parallel
def _gather_and_fire(
    steady_at: Array,
    steady: Array,
    changing_at: Array,
    changing: Array,
    weight: Array,
    bias: Array,
    held: Array,
    k: Array,
    potentials: Array,
    spikes: Array,
) -> None:
    """Fill `potentials` and `spikes` [t, B, O]; `held` [B, O] is the earlier state and is replaced."""
    steps, batch, outputs = potentials.shape
    hard = k[RESETS] > 0
    parts = (outputs + COLUMNS - 1) // COLUMNS
    for job in numba.prange(parts * batch):
        low, b = job // batch * COLUMNS, job % batch
        high = min(low + COLUMNS, outputs)
        rest = high - (high - low) % WIDE
        always, first, last = bias[low:high].copy(), steady_at[b, 0], steady_at[b, 1]
        for c in range(low, rest, WIDE):
            add_128(always, c - low, weight, c, outputs, steady, first, last)
        if rest < high:
            add_narrow(weight, rest, high, steady, first, last, always, rest - low)
        for t in range(steps):
            out, fired = potentials[t, b, low:high], spikes[t, b, low:high]
            out[:] = always
            place, first, last = (t * batch + b) * outputs, changing_at[b, t], changing_at[b, t + 1]
            for c in range(low, rest, WIDE):
                add_128(potentials, place + c, weight, c, outputs, changing, first, last)
            if rest < high:
                add_narrow(weight, rest, high, changing, first, last, potentials, place + rest)
            if t == 0:
                first_step(held[b, low:high], out, fired, k)
            else:
                step(potentials[t - 1, b, low:high], out, fired, k, hard)
        rest_of_step(potentials[steps - 1, b, low:high], held[b, low:high], k, hard)


def event_neurons(
    changes: Changes, weight: Tensor, bias: Tensor | None, rest: Tensor, k: Array, potentials: Tensor, spikes: Tensor
) -> None:
    """Fill `potentials` and the bytes of `spikes`, [t, B, O], from the effect of `changes` on neurons at `rest` [B, O].

    `weight` [O, I] is stored as [I, O] in memory. `rest` is decay times the potential after the previous step; that of
    the last step here replaces it. `k` comes from `constants_of`.
    """
    rows = memory_of(weight)
    offset = np.zeros(len(weight), rows.dtype) if bias is None else bias.detach().numpy()
    _gather_and_fire(*arrays_of(changes), rows, offset, rest.numpy(), k, potentials.numpy(), spikes.numpy())


@serial
def _multiply_out(by_next: Array, weight: Array, low: int, high: int, given: Array) -> None:
    """Fill `given` with columns low..high of the row `by_next` [K] times `weight` [K, O]."""
    given[:] = 0
    full = len(by_next) - len(by_next) % 5
    for q in range(0, full, 5):
        v, w, x, y, z = by_next[q], by_next[q + 1], by_next[q + 2], by_next[q + 3], by_next[q + 4]
        a, b, c = weight[q, low:high], weight[q + 1, low:high], weight[q + 2, low:high]
        d, e = weight[q + 3, low:high], weight[q + 4, low:high]
        for j in range(len(given)):
            given[j] += ((v * a[j] + w * b[j]) + (x * c[j] + y * d[j])) + z * e[j]
    for q in range(full, len(by_next)):
        x, a = by_next[q], weight[q, low:high]
        for j in range(len(given)):
            given[j] += x * a[j]


@parallel
def _product_backward_loop(
    potentials: Array,
    by_next: Array,
    next_weight: Array,
    later: Array,
    result: Array,
    totals: Array,
    k: Array,
    kind: int,
) -> None:
    """`backward_loop` before a narrow layer: its gradient is `by_next` [t, B, K] times `next_weight` [K, O].

    `potentials` and `result` are [t, B, O], `later` and `totals` [B, O].
    """
    steps, batch, outputs = potentials.shape
    for b in numba.prange(batch):
        for low in range(0, outputs, BLOCK):
            high = min(low + BLOCK, outputs)
            slope, given = np.empty(high - low, result.dtype), np.empty(high - low, result.dtype)
            for back in range(steps):
                t = steps - 1 - back
                potential, out = potentials[t, b, low:high], result[t, b, low:high]
                after = later[b, low:high] if back == 0 else result[t + 1, b, low:high]
                _multiply_out(by_next[t, b], next_weight, low, high, given)
                slopes(potential, slope, k, kind)
                step_back(potential, slope, given, after, out, k)
                sum_up(out, totals[b, low:high], back == 0)


def product_backward(
    potentials: Tensor, by_spikes: Product, later: Tensor, result: Tensor, totals: Tensor, k: Array, kind: int
) -> None:
    """Fill `result` [t, B, O] with the gradient of the currents and `totals` [B, O] with its sums over time.

    `later` [B, O] is the gradient of the step after the last one. `k` comes from `constants_of`.
    """
    arrays = (potentials, by_spikes.gradient, by_spikes.weight, later, result, totals)
    _product_backward_loop(*(one.numpy() for one in arrays), k, kind)
