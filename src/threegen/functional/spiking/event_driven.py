"""Linear layers that compute only for arriving spikes: the rows of weights of the spikes are gathered.

    forward           y[t, b]  = bias + sum over i with x[t, b, i] = 1 of W[i]
    weight gradient   dW[i]    = sum over t, b with x[t, b, i] = 1 of g[t, b]
    input gradient dx[t, b, i] = W[i] . g[t, b] a dense product: every input needs its gradient

A spike costs one addition per connection, no spike costs nothing. An input that fires at most steps of an example is
added once for all steps, and subtracted at steps where it is silent (see `event_lists.Changes`):

    y[t, b] = (bias + sum of W[i] over steady[b]) + sum of the changes: W[i] or -W[i]
    dW[i]   = sum over b with steady[b, i] of (sum over t of g[t, b]) + sum of the changes: g[t, b] or -g[t, b]

Kernels take weights stored as [inputs, outputs], so that a row holds the weights of one input: `fit` stores them in
this way, any other weight is copied at each call (`machine.sparse.layouts`). Every element of a result is summed by one
thread in one
order: the number of threads does not change it.

Above some density the dense product is faster and is used. This density depends on the machine: `crossover` measures it
on first use, on one thread, and stores it with the compiled kernels, so that later runs make the same choice.

Shapes: t time steps, B examples, R = t B rows, I inputs, O outputs.
"""

from __future__ import annotations

import json
import os
import time
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from threegen.errors import ShapeError
from threegen.functional.spiking.event_lists import Changes, list_changes, sort_by_input
from threegen.machine.compile_cache import cache_folder
from threegen.machine.compiler import parallel, ready_numba, serial
from threegen.machine.processor import capability, processor_name
from threegen.machine.simd.vector_kernels import add_16, add_32, add_64, add_128
from threegen.machine.threads import use_threads

numba = ready_numba()

Array = np.ndarray[Any, Any]

KERNELS = "sums in registers, 8 steps"  # the timed kernels: other kernels have another crossover
BOUNDS = (0.05, 0.7)  # a crossover outside is a disturbed measurement
NARROW = 32  # layers with fewer outputs do not use lists: see `narrow_layers`, or the dense product
WIDE = 128  # outputs whose sums are kept in registers; this part of thousands of rows fits the second-level cache
COLUMNS = 3 * WIDE  # outputs at a time, forward: this part of the weights of an image fits the second-level cache
SHARES = 8  # parts of the rows that are summed separately, for any number of threads
INPUTS = 16  # inputs at a time, for one thread


@serial
def add_narrow(source: Array, low: int, high: int, codes: Array, start: int, stop: int, result: Array, at: int) -> None:
    """Add columns low..high, fewer than 128, of rows of `source` to `result` from index `at` on.

    The rows are those of codes[start:stop], in this order: row c is added for c >= 0, row ~c subtracted for c < 0. Both
    arrays are contiguous; `at` counts through all dimensions.
    """
    stride = source.shape[1]
    if high - low >= 64:
        add_64(result, at, source, low, stride, codes, start, stop)
        low, at = low + 64, at + 64
    if high - low >= 32:
        add_32(result, at, source, low, stride, codes, start, stop)
        low, at = low + 32, at + 32
    if high - low >= 16:
        add_16(result, at, source, low, stride, codes, start, stop)
        low, at = low + 16, at + 16
    out = result.reshape(-1)[at : at + high - low]
    for p in range(start, stop if low < high else start):
        c = codes[p]
        row = source[max(c, ~c), low:high]
        for j in range(len(out)):
            out[j] += row[j] if c >= 0 else -row[j]


@parallel
def _gather(
    steady_at: Array, steady: Array, changing_at: Array, changing: Array, weight: Array, bias: Array, result: Array
) -> None:
    """Fill `result` [t, B, O] with the sums of the rows of `weight` [I, O] that fire, plus `bias`."""
    steps, batch, outputs = result.shape
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
            result[t, b, low:high] = always
            place, first, last = (t * batch + b) * outputs, changing_at[b, t], changing_at[b, t + 1]
            for c in range(low, rest, WIDE):
                add_128(result, place + c, weight, c, outputs, changing, first, last)
            if rest < high:
                add_narrow(weight, rest, high, changing, first, last, result, place + rest)


@parallel
def _gather_gradient(
    steady_at: Array,
    steady: Array,
    changing_at: Array,
    changing: Array,
    gradient: Array,
    totals: Array,
    result: Array,
    fresh: bool,
) -> None:
    """Add to `result` [I, O] the rows of `gradient` [R, O] in which each input fires; `totals` [B, O] are over time.

    A `fresh` result is treated as 0, whatever it contains.
    """
    inputs, outputs = result.shape
    blocks = (inputs + INPUTS - 1) // INPUTS
    for job in numba.prange(blocks * ((outputs + WIDE - 1) // WIDE)):
        low, block = job // blocks * WIDE, job % blocks
        high = min(low + WIDE, outputs)
        for i in range(block * INPUTS, min((block + 1) * INPUTS, inputs)):
            if fresh:
                result[i, low:high] = 0
            place = i * outputs + low
            if high - low == WIDE:
                add_128(result, place, totals, low, outputs, steady, steady_at[i], steady_at[i + 1])
                add_128(result, place, gradient, low, outputs, changing, changing_at[i], changing_at[i + 1])
            else:
                add_narrow(totals, low, high, steady, steady_at[i], steady_at[i + 1], result, place)
                add_narrow(gradient, low, high, changing, changing_at[i], changing_at[i + 1], result, place)


@parallel
def _sum_steps(values: Array, totals: Array) -> None:
    """Fill `totals` [B, O] with the sums over time of `values` [t, B, O]."""
    for b in numba.prange(len(totals)):
        total = totals[b]
        total[:] = values[0, b]
        for t in range(1, len(values)):
            row = values[t, b]
            for j in range(len(total)):
                total[j] += row[j]


@parallel
def _sum_rows(values: Array, shares: Array) -> None:
    for part in numba.prange(len(shares)):
        total = shares[part]
        for r in range(part, len(values), len(shares)):
            row = values[r]
            for j in range(len(row)):
                total[j] += row[j]


def sum_rows(values: Tensor) -> Tensor:
    """Return the sum of the rows of [R, N], in an order that does not depend on the number of threads."""
    shares = torch.zeros(SHARES, values.shape[1], dtype=values.dtype)
    _sum_rows(values.numpy(), shares.numpy())
    return shares.sum(0)


def event_linear(changes: Changes, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
    """Fill `result` [t, B, O] with the product of `changes` and `weight` [O, I], stored as [I, O]."""
    rows_IO = memory_of(weight)
    offset = np.zeros(len(weight), rows_IO.dtype) if bias is None else bias.detach().numpy()
    _gather(*arrays_of(changes), rows_IO, offset, result.numpy())


def event_gradients(
    changes: Changes, gradient: Tensor, result: Tensor, totals: Tensor | None = None, *, fresh: bool = False
) -> Tensor:
    """Add to `result` [O, I], stored as [I, O], the weight gradient of `gradient` [t, B, O]; return the bias's.

    `totals` [B, O] are the sums of `gradient` over time, if they are known. A `fresh` result may contain anything.
    """
    if totals is None and len(gradient) == 1:
        totals = gradient[0]
    elif totals is None:
        totals = torch.empty(gradient.shape[1:], dtype=gradient.dtype)
        _sum_steps(gradient.numpy(), totals.numpy())
    flat = gradient.view(-1, gradient.shape[-1]).numpy()
    _gather_gradient(*sort_by_input(changes), flat, totals.numpy(), memory_of(result), fresh)
    return sum_rows(totals)


def arrays_of(changes: Changes) -> list[Array]:
    """Return the lists as arrays for the kernels."""
    return [changes.steady.at, changes.steady.index, changes.changing.at, changes.changing.index]


def memory_of(weight: Tensor) -> Array:
    """Return a weight [O, I] as an array [I, O] over the same memory, copied if it is stored otherwise."""
    array: Array = weight.detach().t().contiguous().numpy()
    return array


def is_event_driven(outputs: int, density: float) -> bool:
    """Return whether a layer of this width gathers at this density of visits, instead of multiplying densely."""
    return outputs >= NARROW and (density == 0 or density <= crossover())


def spike_linear(spikes: Tensor, weight: Tensor, bias: Tensor | None = None, backend: str = "auto") -> Tensor:
    """Return `F.linear(spikes, weight, bias)` for spikes [..., I] of 0 and 1, computing only for the spikes.

    `backend` is "auto" (by density and width), "event" or "dense". Gradients flow to weight and bias, and to the spikes
    if they require it. On a GPU, and for other types than float32 and float64, it is the dense product. Raises
    `ShapeError`.
    """
    if spikes.shape[-1:] != weight.shape[1:]:
        raise ShapeError(
            f"spike_linear expects spikes [..., {weight.shape[-1]}] for weights {list(weight.shape)}, "
            f"got {list(spikes.shape)}"
        )
    fits = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64) and spikes.numel() > 0
    if backend == "dense" or not fits:
        return F.linear(spikes.to(weight.dtype), weight, bias)
    changes = list_changes(_steps(spikes))
    if backend == "auto" and not is_event_driven(len(weight), changes.density):
        return F.linear(spikes.to(weight.dtype), weight, bias)
    return _EventLinear.apply(spikes, weight, bias, changes)  # type: ignore[no-untyped-call,no-any-return]


def _steps(spikes: Tensor) -> Tensor:
    """Return [..., N] as [t, B, N]: time is the first of at least three dimensions."""
    return spikes.flatten(1, -2) if spikes.dim() > 2 else spikes.reshape(1, -1, spikes.shape[-1])


class _EventLinear(torch.autograd.Function):
    """The gathered product and its gradients."""

    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor, bias: Tensor | None, changes: Changes) -> Tensor:
        result = torch.empty(*spikes.shape[:-1], len(weight), dtype=weight.dtype)
        event_linear(changes, weight, bias, _steps(result))
        ctx.save_for_backward(weight)
        ctx.changes, ctx.shape, ctx.type = changes, spikes.shape, spikes.dtype
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (weight,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_spikes = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_spikes = (gradient.view(-1, len(weight)) @ weight).view(ctx.shape)
        if ctx.needs_input_grad[1]:
            by_weight = torch.empty(weight.shape[::-1], dtype=weight.dtype).t()
            by_bias = event_gradients(ctx.changes, _steps(gradient), by_weight, fresh=True)
        elif ctx.needs_input_grad[2]:
            by_bias = sum_rows(gradient.view(-1, len(weight)))
        return by_spikes, by_weight, by_bias if ctx.needs_input_grad[2] else None, None


@cache
def crossover() -> float:
    """Return the density of visits above which the dense product is used on this machine, a share of inputs.

    It is read from `crossover.json` in the folder of compiled kernels. If it is not stored there for this processor,
    torch and numba, it is measured (see `find_crossover`; about a fifth of a second) and written.
    """
    machine = f"{processor_name()} {capability()}, torch {torch.__version__}, numba {numba.__version__}, {KERNELS}"
    path = cache_folder() / "crossover.json"
    known: dict[str, float] = {}
    try:
        known = dict(json.loads(path.read_bytes()))
        return float(known[machine])
    except (OSError, ValueError, TypeError, KeyError):
        pass
    with use_threads(1):
        found = round(min(max(find_crossover(), BOUNDS[0]), BOUNDS[1]), 3)
    beside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        beside.write_text(json.dumps({**known, machine: found}))
        beside.replace(path)
    except OSError:  # a folder that cannot be written: the next process measures again
        beside.unlink(missing_ok=True)
    return found


def find_crossover(inputs: int = 784, outputs: int = 800, rows: int = 640, repeats: int = 3) -> float:
    """Measure the density at which gathering and the dense product take the same time, forward and weight gradient.

    Bisects over densities with random spikes in blocks of 8 steps; the best of `repeats` runs is used. Returns a share
    of inputs, 0 to 0.5: above, most inputs are steady and visits become fewer again. `rows` is a multiple of 8.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(inputs, outputs, generator=generator).t()
    gradient = torch.randn(rows, outputs, generator=generator)
    chances = torch.rand(8, rows // 8, inputs, generator=generator)
    low, high = 0.0, 0.5
    for _ in range(6):
        middle = (low + high) / 2
        times = time_both((chances < middle).float(), weight, gradient, repeats)
        low, high = (middle, high) if times["event"] < times["dense"] else (low, middle)
    return (low + high) / 2


def time_both(spikes: Tensor, weight: Tensor, gradient: Tensor, repeats: int = 3) -> dict[str, float]:
    """Return the seconds of the event-driven and the dense version: forward and weight gradient, best of `repeats`.

    `spikes` is [R, I], or [t, B, I] with the steps of an example in order; `gradient` is [R, O].
    """
    block, rows = _steps(spikes), spikes.reshape(-1, spikes.shape[-1])
    result = torch.empty(len(rows), len(weight))
    by_weight = torch.zeros(weight.shape[::-1]).t()
    shape = (*block.shape[:2], len(weight))

    def event() -> None:
        changes = list_changes(block)
        event_linear(changes, weight, None, result.view(shape))
        event_gradients(changes, gradient.view(shape), by_weight)

    def dense() -> None:
        torch.mm(rows, weight.t(), out=result)
        torch.mm(rows.t(), gradient)

    seconds = {}
    for name, way in (("event", event), ("dense", dense)):
        way()
        taken = []
        for _ in range(repeats):
            begun = time.perf_counter()
            way()
            taken.append(time.perf_counter() - begun)
        seconds[name] = min(taken)
    return seconds
