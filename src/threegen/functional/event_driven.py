"""Linear layers that compute only where a spike arrives: rows of weights are gathered for the spikes that are there.

    forward           y[r, :]  = b + sum over i with x[r, i] = 1 of W[i, :]
    weight gradient   dW[i, :] = sum over r with x[r, i] = 1 of g[r, :]
    input gradient    dx[r, i] = W[i, :] . g[r, :]              a dense product: every input asks for its gradient

A spike costs one addition a connection, no spike costs nothing. Weights lie as [inputs, outputs] in memory, so that a
row is what one input sends out; `nn.Linear.weight` is the transposed view of it, `to_event_layout` makes it so.
Every element of a result is summed by one thread in one order: the number of threads does not change it.

Above some density the dense product is quicker and is taken. Where that is depends on the machine: `crossover` measures
it on first use, on one thread, and keeps it beside the compiled kernels, so that later runs choose alike.

Shapes: R rows (time steps times examples), I inputs, O outputs.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from threegen.errors import ShapeError
from threegen.threads import parallel, ready_numba, serial, use_threads

numba = ready_numba()

Array = np.ndarray[Any, Any]

BOUNDS = (0.05, 0.7)  # a crossover beyond these is a disturbed measurement
NARROW = 32  # layers with fewer outputs are multiplied densely: a gathered row would be too short for vector code
COLUMNS = 1024  # outputs at a time: a row of sums and four of weights fit the first-level cache
NEAR = 256  # outputs at a time of the weight gradient: so much of all rows fits the second-level cache
ROWS = 32  # rows at a time, for one thread
SHARES = 8  # parts of the rows that are summed apart, whatever the number of threads
INPUTS = 16  # inputs at a time, for one thread


@dataclass(frozen=True, slots=True)
class Events:
    """Which inputs fire in each row: those of row r are `index[begin[r]:end[r]]`, in rising order; `inputs` is I."""

    begin: Array
    end: Array
    index: Array
    inputs: int

    @property
    def count(self) -> int:
        """The number of spikes."""
        return int((self.end - self.begin).sum())

    @property
    def density(self) -> float:
        """The share of inputs that fire."""
        return self.count / max(1, len(self.begin) * self.inputs)

    def take(self, start: int, stop: int) -> Events:
        """Return the rows `start` to `stop`, over the same memory."""
        return Events(self.begin[start:stop], self.end[start:stop], self.index, self.inputs)


@parallel
def _count_spikes(spikes: Array, counts: Array) -> None:
    for r in numba.prange(len(spikes)):
        total = 0
        for i in range(spikes.shape[1]):
            total += spikes[r, i] != 0
        counts[r] = total


@parallel
def _list_spikes(spikes: Array, begin: Array, index: Array) -> None:
    """Write the places of spikes; without a branch: a place is overwritten by the next one unless it fired."""
    for r in numba.prange(len(spikes)):
        at = begin[r]
        last = begin[r + 1]
        i = 0
        while at < last:
            index[at] = i
            at += spikes[r, i] != 0
            i += 1


def list_events(spikes: Tensor) -> Events:
    """Return the events of spikes [R, I], bytes or floats; anything but 0 is a spike."""
    array = spikes.detach().contiguous().numpy()
    counts = np.empty(len(array), np.int64)
    _count_spikes(array, counts)
    begin = np.zeros(len(array) + 1, np.int64)
    np.cumsum(counts, out=begin[1:])
    index = np.empty(int(begin[-1]), np.int32)
    _list_spikes(array, begin, index)
    return Events(begin[:-1], begin[1:], index, array.shape[1])


@serial
def _add_rows(source: Array, low: int, high: int, places: Array, result: Array) -> None:
    """Add columns low..high of the rows `places` of `source` to `result`: one load and store of it for four rows."""
    count = len(places)
    full = count - count % 4
    for p in range(0, full, 4):
        a, b = source[places[p], low:high], source[places[p + 1], low:high]
        c, d = source[places[p + 2], low:high], source[places[p + 3], low:high]
        for j in range(len(result)):
            result[j] += (a[j] + b[j]) + (c[j] + d[j])
    for p in range(full, count):
        a = source[places[p], low:high]
        for j in range(len(result)):
            result[j] += a[j]


@parallel
def _gather(begin: Array, end: Array, index: Array, weight: Array, bias: Array, result: Array) -> None:
    """Fill `result` [R, O] with the sums of the rows of `weight` [I, O] that fire, plus `bias`."""
    total, outputs = result.shape
    for block in numba.prange((total + ROWS - 1) // ROWS):
        for low in range(0, outputs, COLUMNS):
            high = min(low + COLUMNS, outputs)
            for r in range(block * ROWS, min((block + 1) * ROWS, total)):
                out = result[r, low:high]
                out[:] = bias[low:high]
                _add_rows(weight, low, high, index[begin[r] : end[r]], out)


@serial
def _by_input(begin: Array, end: Array, index: Array, first: Array, places: Array) -> None:
    """Sort the events by input: the rows in which input i fires are `places[first[i]:first[i + 1]]`, rising."""
    for r in range(len(begin)):
        for p in range(begin[r], end[r]):
            first[index[p] + 2] += 1
    for i in range(2, len(first)):
        first[i] += first[i - 1]
    for r in range(len(begin)):
        for p in range(begin[r], end[r]):
            places[first[index[p] + 1]] = r
            first[index[p] + 1] += 1


@parallel
def _gather_gradient(first: Array, places: Array, gradient: Array, result: Array) -> None:
    """Add to `result` [I, O] the rows of `gradient` [R, O] in which each input fires."""
    inputs, outputs = result.shape
    blocks = (inputs + INPUTS - 1) // INPUTS
    for job in numba.prange(blocks * ((outputs + NEAR - 1) // NEAR)):
        low, block = job // blocks * NEAR, job % blocks
        high = min(low + NEAR, outputs)
        for i in range(block * INPUTS, min((block + 1) * INPUTS, inputs)):
            _add_rows(gradient, low, high, places[first[i] : first[i + 1]], result[i, low:high])


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


def event_linear(events: Events, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
    """Fill `result` [R, O] with what `events` send through `weight` [O, I], whose memory is [I, O]."""
    rows_IO = _memory(weight)
    offset = np.zeros(len(weight), rows_IO.dtype) if bias is None else bias.detach().numpy()
    _gather(events.begin, events.end, events.index, rows_IO, offset, result.numpy())


def event_weight_gradient(events: Events, gradient: Tensor, result: Tensor) -> None:
    """Add to `result` [O, I], whose memory is [I, O], the weight gradient from `gradient` [R, O]."""
    first = np.zeros(events.inputs + 2, np.int64)
    places = np.empty(events.count, np.int32)
    _by_input(events.begin, events.end, events.index, first, places)
    _gather_gradient(first[:-1], places, gradient.numpy(), _memory(result))


def _memory(weight: Tensor) -> Array:
    """Return a weight [O, I] as the array [I, O] that it lies over in memory, copied where it lies otherwise."""
    array: Array = weight.detach().t().contiguous().numpy()
    return array


def to_event_layout(layer: nn.Linear) -> nn.Linear:
    """Lay the weights of `layer` out as [inputs, outputs] in memory and return it; its shape and values are kept."""
    with torch.no_grad():
        layer.weight = nn.Parameter(layer.weight.t().contiguous().t(), requires_grad=layer.weight.requires_grad)
    return layer


def is_event_driven(outputs: int, density: float) -> bool:
    """Return whether a layer of this width gathers at this density, instead of multiplying densely."""
    return outputs >= NARROW and (density == 0 or density <= crossover())


def spike_linear(spikes: Tensor, weight: Tensor, bias: Tensor | None = None, backend: str = "auto") -> Tensor:
    """Return `F.linear(spikes, weight, bias)` for spikes [..., I] of 0 and 1, visiting only the spikes that are there.

    `backend` is "auto" (by density and width), "event" or "dense". Gradients flow to weight and bias, and to the
    spikes where they ask. On a GPU, and for other types than float32 and float64, it is the dense product.
    Raises `ShapeError`.
    """
    if spikes.shape[-1:] != weight.shape[1:]:
        raise ShapeError(
            f"spike_linear expects spikes [..., {weight.shape[-1]}] for weights {list(weight.shape)}, "
            f"got {list(spikes.shape)}"
        )
    fits = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64) and spikes.numel() > 0
    if backend == "dense" or not fits:
        return F.linear(spikes.to(weight.dtype), weight, bias)
    events = list_events(spikes.reshape(-1, spikes.shape[-1]))
    if backend == "auto" and not is_event_driven(len(weight), events.density):
        return F.linear(spikes.to(weight.dtype), weight, bias)
    return _EventLinear.apply(spikes, weight, bias, events)  # type: ignore[no-untyped-call,no-any-return]


class _EventLinear(torch.autograd.Function):
    """The gathered product and its gradients."""

    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor, bias: Tensor | None, events: Events) -> Tensor:
        result = torch.empty(*spikes.shape[:-1], len(weight), dtype=weight.dtype)
        event_linear(events, weight, bias, result.view(-1, len(weight)))
        ctx.save_for_backward(weight)
        ctx.events, ctx.shape, ctx.type = events, spikes.shape, spikes.dtype
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (weight,) = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, len(weight)).contiguous()
        by_spikes = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_spikes = (gradient @ weight).view(ctx.shape)
        if ctx.needs_input_grad[1]:
            by_weight = torch.zeros(weight.shape[::-1], dtype=weight.dtype).t()
            event_weight_gradient(ctx.events, gradient, by_weight)
        if ctx.needs_input_grad[2]:
            by_bias = sum_rows(gradient)
        return by_spikes, by_weight, by_bias, None


@cache
def crossover() -> float:
    """Return the density above which the dense product is taken on this machine, a share of inputs.

    It is read from `crossover.json` in the folder of compiled kernels. Where it does not stand there for this
    processor, torch and numba it is measured (see `find_crossover`; about a fifth of a second) and written.
    """
    processor = importlib.import_module("llvmlite.binding").get_host_cpu_name()
    machine = f"{processor}, torch {torch.__version__}, numba {numba.__version__}"
    path = Path(str(numba.config.CACHE_DIR)) / "crossover.json"
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

    Bisects over densities with random spikes; the best of `repeats` runs counts. Returns a share of inputs, 0..1.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(inputs, outputs, generator=generator).t()
    gradient = torch.randn(rows, outputs, generator=generator)
    chances = torch.rand(rows, inputs, generator=generator)
    low, high = 0.0, 1.0
    for _ in range(6):
        middle = (low + high) / 2
        times = time_both((chances < middle).float(), weight, gradient, repeats)
        low, high = (middle, high) if times["event"] < times["dense"] else (low, middle)
    return (low + high) / 2


def time_both(spikes: Tensor, weight: Tensor, gradient: Tensor, repeats: int = 3) -> dict[str, float]:
    """Return the seconds of the event-driven and the dense way: forward and weight gradient, best of `repeats`."""
    result = torch.empty(len(spikes), len(weight))
    by_weight = torch.zeros(weight.shape[::-1]).t()

    def event() -> None:
        events = list_events(spikes)
        event_linear(events, weight, None, result)
        event_weight_gradient(events, gradient, by_weight)

    def dense() -> None:
        torch.mm(spikes, weight.t(), out=result)
        torch.mm(spikes.t(), gradient)

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
