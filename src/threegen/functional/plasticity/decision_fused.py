"""The compiled loop of `decision_bounds` over images: few potentials are summed, the winner is exact.

Shapes: B images, C channels, L input places, P output places, F features, O offsets in the kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.machine.compiler import ready_numba, regrouping, serial

numba: Any = ready_numba()
Array = np.ndarray[Any, Any]

UNIT = 0.25  # of the stored distances to the largest potential, one byte each


@serial
def rounding(count: int, high: float) -> float:
    """Return a bound of the error of a float32 sum of `count` numbers up to `high`, in any order."""
    return float(count) * float(count) * high * 2.0**-23


@serial
def measure_distances(potentials: Array, slack: Array, gaps: Array, top: Array, leader: Array) -> None:
    """Write the distance of each potential [B, P, F] from the image's largest one, the bound of the largest, and its
    index."""
    batch, places, features = potentials.shape
    for b in range(batch):
        flat, out = potentials[b].ravel(), gaps[b].ravel()
        n = flat.argmax()
        most = flat[n]
        leader[b] = (n % features) * places + n // features
        top[b] = np.float64(most) + slack[b]
        for i in range(len(flat)):
            out[i] = np.uint8(min(np.float32(255.0), (most - flat[i]) * np.float32(1.0 / UNIT)))


@regrouping
def _sum_at(weight: Array, inputs: Array, first: int, last: int, cell: Array, offset: Array) -> float:
    """Return one potential: weights [O, C] of a map over inputs [L, C] (float32, 0 or 1)."""
    total = 0.0
    for n in range(first, last):
        w, x = weight[offset[n]], inputs[cell[n]]
        for c in range(len(w)):
            total += np.float64(w[c] * x[c])
    return total


@regrouping
def _near_sum(weight: Array, inputs: Array, first: int, last: int, cell: Array, offset: Array) -> float:
    """Return the same in float32, about four times as fast."""
    total = np.float32(0.0)
    for n in range(first, last):
        w, x = weight[offset[n]], inputs[cell[n]]
        for c in range(len(w)):
            total += w[c] * x[c]
    return np.float64(total)


@regrouping
def _grown(weight: Array, before: Array) -> float:
    total = np.float32(0.0)
    for c in range(len(weight)):
        total += max(weight[c] - before[c], np.float32(0.0))
    return np.float64(total)


@serial
def _measure_drift(weight: Array, before: Array, begin: Array, offset: Array, each: Array, drift: Array) -> None:
    """Write the largest possible increase of the potentials of one map at each position, in units: `drift` [P]."""
    for o in range(len(weight)):
        each[o] = _grown(weight[o], before[o])
    for p in range(len(begin) - 1):
        total = 0.0
        for n in range(begin[p], begin[p + 1]):
            total += each[offset[n]]
        drift[p] = np.int32(np.ceil(total * (1.001 / UNIT)) + 1)


@serial
def _count_near(gaps: Array, drift: Array, reach: int) -> int:
    count = 0
    for f in range(len(gaps)):
        count += np.int32(gaps[f]) - drift[f] <= reach
    return count


@serial
def _find_winner(
    weight: Array,
    inputs: Array,
    gaps: Array,
    drift: Array,
    top: float,
    guess: int,
    slack: float,
    begin: Array,
    cell: Array,
    offset: Array,
) -> tuple[int, float, int]:
    """Return the winner f P + p of one image, its potential and how many sums it took; `guess` is added up first."""
    places = len(begin) - 1
    f, p = divmod(guess, places)
    best = _sum_at(weight[f], inputs, begin[p], begin[p + 1], cell, offset)
    winner, sums = guess, 1
    for p in range(places):
        reach = np.int32(np.floor((top - best) / UNIT)) + 1
        if _count_near(gaps[p], drift[p], reach) == 0:
            continue
        for f in range(len(weight)):
            own = f * places + p
            if np.int32(gaps[p, f]) - drift[p, f] > reach or own == guess:
                continue
            sums += 1
            if _near_sum(weight[f], inputs, begin[p], begin[p + 1], cell, offset) + slack < best:
                continue
            found = _sum_at(weight[f], inputs, begin[p], begin[p + 1], cell, offset)
            if found > best or (found == best and own < winner):
                best, winner = found, own
    return winner, best, sums


@serial
def _find_rival(
    weight: Array,
    inputs: Array,
    gaps: Array,
    drift: Array,
    top: float,
    least: float,
    own_class: int,
    each: int,
    slack: float,
    begin: Array,
    cell: Array,
    offset: Array,
) -> tuple[int, int]:
    """Return the strongest neuron f P + p of the other classes, -1 if its potential is not above `least`, and the
    number of sums."""
    places, most, rival, sums = len(begin) - 1, max(least, 0.0), -1, 0
    for p in range(places):
        reach = np.int32(np.floor((top - most) / UNIT)) + 1
        for f in range(len(weight)):
            own = f * places + p
            if f // each == own_class or np.int32(gaps[p, f]) - drift[p, f] > reach:
                continue
            sums += 1
            if _near_sum(weight[f], inputs, begin[p], begin[p + 1], cell, offset) + slack < most:
                continue
            found = _sum_at(weight[f], inputs, begin[p], begin[p + 1], cell, offset)
            if found > most or (found == most and 0 <= own < rival):
                most, rival = found, own
    return rival, sums


@serial
def walk(
    weight: Array,
    before: Array,
    seen: Array,
    gaps: Array,
    top: Array,
    leader: Array,
    begin: Array,
    cell: Array,
    offset: Array,
    targets: Array,
    rates: Array,
    marks: Array,
    verdicts: Array,
) -> int:
    """Process the images; write winners into `leader` (-1: no neuron fires) and `verdicts`; return the number of
    sums."""
    features, offsets, _ = weight.shape
    places = len(begin) - 1
    drift, own_drift = np.empty((places, features), np.int32), np.empty(places, np.int32)
    each = np.empty(offsets)
    for f in range(features):
        _measure_drift(weight[f], before[f], begin, offset, each, own_drift)
        drift[:, f] = own_drift
    inputs = np.empty(seen.shape[1:], np.float32)
    raw, into = seen.reshape(len(seen), -1), inputs.ravel()
    sums, high = 0, max(abs(weight.max()), abs(weight.min()), abs(rates[7]) if rates[7] < np.inf else 0.0)
    for b in range(len(seen)):
        count = 0
        for n in range(len(into)):
            into[n] = raw[b, n]
            count += int(raw[b, n])
        slack = rounding(count, high)
        for attempt in range(1 + marks[7]):
            guess = max(leader[b], 0)
            winner, best, cost = _find_winner(weight, inputs, gaps[b], drift, top[b], guess, slack, begin, cell, offset)
            sums += cost
            leader[b] = winner if best > 0.0 else -1
            if leader[b] < 0:
                if attempt == 0:
                    count_answer(rates, marks, 0)
                break
            if marks[6]:  # no learning
                break
            f, p = divmod(winner, places)
            right, rival = f // marks[5] == targets[b], -1
            if right and rates[9] > 0.0:
                rival, cost = _find_rival(
                    weight,
                    inputs,
                    gaps[b],
                    drift,
                    top[b],
                    best - rates[9],
                    f // marks[5],
                    marks[5],
                    slack,
                    begin,
                    cell,
                    offset,
                )
                sums += cost
            if attempt == 0:
                verdicts[b] = 1 if right else -1
            for n, good in ((winner, right), (rival, False)):
                if n < 0 or (right and rival < 0 and rates[9] > 0.0):
                    continue
                f, p = divmod(n, places)
                _reinforce(weight[f], inputs, p, begin, cell, offset, rates, marks[4], good, attempt > 0)
                _measure_drift(weight[f], before[f], begin, offset, each, own_drift)
                drift[:, f] = own_drift
            if attempt == 0:
                count_answer(rates, marks, verdicts[b])
            if right:
                break
    return sums


@serial
def changes(rates: Array, right: bool, again: bool) -> tuple[np.float32, np.float32]:
    """Return by how much the weights of inputs that fired in time move, and those of all others.

    A right answer to an example that is shown again has the full reward.
    """
    floor = rates[8]
    if right:
        factor = 1.0 if again else floor + (1.0 - floor) * rates[5]
        return np.float32(rates[0] * factor), np.float32(-rates[1] * factor)
    factor = floor + (1.0 - floor) * rates[4]
    return np.float32(-rates[2] * factor), np.float32(rates[3] * factor)


@serial
def count_answer(rates: Array, marks: Array, verdict: int) -> None:
    """Count the answer in the window; when it is full its shares become the factors of the rates."""
    if marks[3] == 0:
        return
    marks[2] += 1
    if verdict > 0:
        marks[0] += 1
    elif verdict < 0:
        marks[1] += 1
    if marks[2] == marks[3]:
        rates[4], rates[5] = marks[0] / marks[2], marks[1] / marks[2]
        marks[0] = marks[1] = marks[2] = 0


@serial
def _reinforce(
    weight: Array,
    inputs: Array,
    place: int,
    begin: Array,
    cell: Array,
    offset: Array,
    rates: Array,
    stabiliser: int,
    right: bool,
    again: bool,
) -> None:
    """Change the winner's weights [O, C]: in one direction for active inputs, in the other for all others."""
    up, down = changes(rates, right, again)
    low, high = np.float32(rates[6]), np.float32(rates[7])
    n, last = begin[place], begin[place + 1]
    for o in range(len(weight)):
        w = weight[o]
        if n < last and offset[n] == o:
            _move(w, inputs[cell[n]], up, down, low, high, stabiliser)
            n += 1
        else:
            _move(w, w, down, down, low, high, stabiliser)


@serial
def _move(w: Array, x: Array, up: float, down: float, low: float, high: float, stabiliser: int) -> None:
    """Add `up` where x > 0 and `down` elsewhere, times (w - low)(high - w) with the stabiliser; all float32."""
    if stabiliser:
        for c in range(len(w)):
            change = (up if x[c] > np.float32(0.0) else down) * (w[c] - low) * (high - w[c])
            w[c] = min(max(w[c] + change, low), high)
    else:
        for c in range(len(w)):
            w[c] = min(max(w[c] + (up if x[c] > np.float32(0.0) else down), low), high)
