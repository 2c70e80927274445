"""Layers of neurons that fire at most once as compiled loops over spikes: the fast version of
`OrderedConv(strict=True)`.

- inputs are sorted by their step; each adds one contiguous row of whole-number weights per position that it reaches;
- a learning layer stops at the step in which its last winner is found: later spikes cannot win;
- without competition a neuron's time is the number of steps in which it is not above its threshold.

Potentials are whole numbers (`whole_sums`), so winners and times are identical to those of the plain tensors.

Shapes: B examples, C input maps, H x W inputs, F features, k x k kernels, R x S outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.functional.plasticity.whole_sums import whole_bits
from threegen.machine.compiler import ready_numba, serial

numba: Any = ready_numba()
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class FiringLayer:
    """The description of a layer for the kernels: its geometry, its threshold, and its competition."""

    steps: int
    padding: int
    threshold: float
    winners: int
    radius: int
    bounds: tuple[float, float]

    def wholes(self, bits: int) -> Array:
        """Return the settings as whole numbers; the threshold in units of 2^-bits, rounded down."""
        limit = int(np.floor(self.threshold * 2.0**bits))
        return np.array([self.steps, self.padding, limit, self.winners, self.radius], np.int64)


@dataclass(slots=True)
class OrderState:
    """The current rates of the order rule: a_plus doubles after a fixed number of examples, up to `most`."""

    a_plus: float
    ratio: float
    double_every: int
    most: float
    examples: int
    stabiliser: bool


def rows_of(weight: Tensor, bits: int) -> Array:
    """Return weights [F, C, k, k] as whole numbers [C, k, k, F] (int32), so that one input's weights are contiguous."""
    whole = (weight.detach().double() * 2.0**bits).round().to(torch.int32)
    return whole.permute(1, 2, 3, 0).contiguous().numpy()


def firing_times(weight: Tensor, times: Tensor, layer: FiringLayer, pool: int = 1) -> Tensor:
    """Return the spike times (uint8) of all neurons for input times [B, C, H, W] (uint8), without competition.

    `pool` takes the earliest of `pool` x `pool` positions, [B, F, R // pool, S // pool]; what is left over at the edge
    is dropped.
    """
    size = weight.shape[-1]
    rows = (times.shape[2] + 2 * layer.padding - size + 1) // pool
    columns = (times.shape[3] + 2 * layer.padding - size + 1) // pool
    found = np.empty((len(times), len(weight), rows, columns), np.uint8)
    bits = whole_bits(weight[0].numel(), layer.bounds[1])
    _fire_all(rows_of(weight, bits), times.contiguous().numpy(), layer.wholes(bits), pool, found)
    return torch.from_numpy(found)


def learn_by_order(weight: Tensor, times: Tensor, layer: FiringLayer, state: OrderState) -> Tensor:
    """Present input times [B, C, H, W] (uint8) one after another; change `weight` and `state`; return the numbers of
    winners [B]."""
    bits = whole_bits(weight[0].numel(), layer.bounds[1])
    counts = np.zeros(len(times), np.int64)
    rates = np.array([state.a_plus, state.ratio, state.most, *layer.bounds], np.float64)
    marks = np.array([state.examples, state.double_every, state.stabiliser], np.int64)
    stored = weight.detach()
    own = stored.contiguous()
    _learn_all(
        own.numpy(),
        rows_of(weight, bits),
        times.contiguous().numpy(),
        layer.wholes(bits),
        rates,
        marks,
        2.0**bits,
        counts,
    )
    if own is not stored:
        stored.copy_(own)
    state.a_plus, state.examples = float(rates[0]), int(marks[0])
    return torch.from_numpy(counts)


@serial
def sort_inputs(times: Array, steps: int, places: Array, begin: Array) -> None:
    """Write the flat positions of all inputs that fire, step by step; `begin` [steps + 1] is the start of each
    step's."""
    flat = times.ravel()
    begin[:] = 0
    for i in range(len(flat)):
        if flat[i] < steps:
            begin[flat[i] + 1] += 1
    for t in range(steps):
        begin[t + 1] += begin[t]
    at = begin.copy()
    for i in range(len(flat)):
        t = flat[i]
        if t < steps:
            places[at[t]] = i
            at[t] += 1


@serial
def _arrive(rows: Array, potentials: Array, places: Array, first: int, last: int, height: int, width: int, pad: int):  # type: ignore[no-untyped-def]
    """Add the weights of the inputs `places[first:last]` to the potentials [R, S, F] that they reach."""
    size, features = rows.shape[1], rows.shape[3]
    for e in range(first, last):
        c, rest = divmod(places[e], height * width)
        r, s = divmod(rest, width)
        for i in range(size):
            y = r + pad - i
            if y < 0 or y >= potentials.shape[0]:
                continue
            for j in range(size):
                x = s + pad - j
                if x < 0 or x >= potentials.shape[1]:
                    continue
                here, more = potentials[y, x], rows[c, i, j]
                for f in range(features):
                    here[f] += more[f]


@serial
def _fire_all(rows: Array, times: Array, wholes: Array, pool: int, found: Array) -> None:
    steps, pad, limit = wholes[0], wholes[1], np.int32(wholes[2])
    _, channels, height, width = times.shape
    size, features = rows.shape[1], rows.shape[3]
    potentials = np.empty((height + 2 * pad - size + 1, width + 2 * pad - size + 1, features), np.int32)
    silent = np.empty(potentials.shape, np.uint8)
    best = np.empty(features, np.uint8)
    places, begin = np.empty(channels * height * width, np.int64), np.empty(steps + 1, np.int64)
    for b in range(len(times)):
        sort_inputs(times[b], steps, places, begin)
        potentials[:] = 0
        silent[:] = 0
        for t in range(steps):
            _arrive(rows, potentials, places, begin[t], begin[t + 1], height, width, pad)
            flat, quiet = potentials.ravel(), silent.ravel()
            for n in range(len(flat)):
                quiet[n] += flat[n] <= limit
        for y in range(found.shape[2]):
            for x in range(found.shape[3]):
                best[:] = steps
                for i in range(pool):
                    for j in range(pool):
                        here = silent[y * pool + i, x * pool + j]
                        for f in range(features):
                            best[f] = min(best[f], here[f])
                for f in range(features):
                    found[b, f, y, x] = best[f]


@serial
def _learn_all(
    weight: Array, rows: Array, times: Array, wholes: Array, rates: Array, marks: Array, scale: float, counts: Array
) -> None:
    steps, pad = wholes[0], wholes[1]
    _, channels, height, width = times.shape
    size, features = rows.shape[1], rows.shape[3]
    potentials = np.empty((height + 2 * pad - size + 1, width + 2 * pad - size + 1, features), np.int32)
    places, begin = np.empty(channels * height * width, np.int64), np.empty(steps + 1, np.int64)
    won = np.empty((wholes[3], 4), np.int64)  # feature, row, column, step
    for b in range(len(times)):
        sort_inputs(times[b], steps, places, begin)
        change = np.array([rates[0], -rates[1] * rates[0], rates[3], rates[4]])
        count = find_winners(rows, potentials, places, begin, wholes, height, width, won)
        for n in range(count):
            move_winner(weight, rows, times[b], steps, pad, won[n], change, marks[2], scale)
        counts[b] = count
        marks[0] += 1
        if marks[1] > 0 and marks[0] % marks[1] == 0:
            rates[0] = min(2 * rates[0], rates[2])


@serial
def find_winners(
    rows: Array, potentials: Array, places: Array, begin: Array, wholes: Array, height: int, width: int, won: Array
) -> int:
    """Write the winners, the earliest and strongest first; return how many there are."""
    steps, pad, limit, most, radius = wholes[0], wholes[1], np.int32(wholes[2]), wholes[3], wholes[4]
    high, wide, features = potentials.shape
    decided = np.zeros((high, wide), np.bool_)  # positions at which a map has fired, or that a winner has inhibited
    taken = np.zeros(features, np.bool_)
    strongest, owner = np.empty((high, wide), np.int32), np.empty((high, wide), np.int64)
    potentials[:] = 0
    count = 0
    for t in range(steps):
        if begin[t] == begin[t + 1]:
            continue
        _arrive(rows, potentials, places, begin[t], begin[t + 1], height, width, pad)
        for y in range(high):
            for x in range(wide):
                owner[y, x] = -1
                if decided[y, x]:
                    continue
                here = potentials[y, x]
                top = here[0]
                for f in range(1, features):
                    top = max(top, here[f])
                if top > limit:
                    decided[y, x] = True
                    f = 0
                    while here[f] != top:
                        f += 1
                    strongest[y, x], owner[y, x] = top, f
        while count < most:
            best_f, best_y, best_x, best = -1, 0, 0, np.int32(0)
            for y in range(high):
                for x in range(wide):
                    f = owner[y, x]
                    if f < 0 or taken[f]:
                        continue
                    if best_f < 0 or strongest[y, x] > best or (strongest[y, x] == best and f < best_f):
                        best_f, best_y, best_x, best = f, y, x, strongest[y, x]
            if best_f < 0:
                break
            won[count, 0], won[count, 1], won[count, 2], won[count, 3] = best_f, best_y, best_x, t
            count += 1
            taken[best_f] = True
            for y in range(max(0, best_y - radius), min(high, best_y + radius + 1)):
                for x in range(max(0, best_x - radius), min(wide, best_x + radius + 1)):
                    decided[y, x] = True
                    owner[y, x] = -1
        if count == most:
            break
    return count


@serial
def move_winner(
    weight: Array,
    rows: Array,
    times: Array,
    steps: int,
    pad: int,
    winner: Array,
    change: Array,
    stabiliser: int,
    scale: float,
) -> None:
    """Change the weights of one winner, and their whole-number copies.

    `change`: for inputs that fired in time, for the others, and the bounds.
    """
    f, top, left, when = winner
    kind = weight.dtype.type
    up, down = kind(change[0]), kind(change[1])
    low, high = kind(change[2]), kind(change[3])
    channels, height, width = times.shape
    size = weight.shape[2]
    for c in range(channels):
        for i in range(size):
            r = top + i - pad
            for j in range(size):
                s = left + j - pad
                by = down
                if 0 <= r < height and 0 <= s < width and times[c, r, s] <= when and times[c, r, s] < steps:
                    by = up
                w = weight[f, c, i, j]
                if stabiliser:
                    by = by * (w - low) * (high - w)
                w = min(max(w + by, low), high)
                weight[f, c, i, j] = w
                rows[c, i, j, f] = np.int32(np.rint(np.float64(w) * scale))
