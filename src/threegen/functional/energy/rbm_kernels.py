"""The operations between the matrix products of contrastive divergence, each as one pass over memory.

    p = sigmoid(x + bias)        state = 1 where u < p        the total inputs become probabilities and drawn states
    v <- momentum v + g - cost w        w <- w + rate v       the update of weights

Loops have no branches and no calls inside, so that the compiler vectorises them; exp is a polynomial (relative error
below 3e-7). States are the same as those of `draw_bernoulli` for the same key and probabilities.
One thread runs each pass: several were not measurably faster, because they are not those of the matrix products.

Total inputs are stored where the means or the states will be, so that a step uses less memory. A loop over two arrays
with the same memory is not vectorised: such loops get one array, or use a buffer of one row.

Shapes: R rows, N units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.machine.compiler import regrouping, serial
from threegen.machine.draws import GOLDEN, hashed, high_level, low_level

_MOST = np.float32(87.0)  # beyond it exp overflows float32
_LOG2_E, _LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_TERMS = tuple(np.float32(1.0 / n) for n in (2.0, 6.0, 24.0, 120.0, 720.0))


@serial
def exponential(x: Any) -> Any:
    """Return exp(x), float32: 2^n times the Taylor polynomial of the remainder, at most half of log 2."""
    t = min(max(x, -_MOST), _MOST) * _LOG2_E
    n = np.floor(t + _HALF)
    r = (t - n) * _LN_2
    tail = _TERMS[0] + r * (_TERMS[1] + r * (_TERMS[2] + r * (_TERMS[3] + r * _TERMS[4])))
    power = np.int32((np.int32(n) + 127) << 23).view(np.float32)
    return power * (_ONE + r * (_ONE + r * tail))


@serial
def _means(inputs: Any, bias: Any, result: Any) -> None:
    for j in range(len(result)):
        result[j] = _ONE / (_ONE + exponential(-(inputs[j] + bias[j])))


@serial
def _means_here(values: Any, bias: Any) -> None:
    for j in range(len(values)):
        values[j] = _ONE / (_ONE + exponential(-(values[j] + bias[j])))


@serial
def _scaled_means_here(values: Any, bias: Any, scale: Any) -> None:
    for j in range(len(values)):
        values[j] = scale / (_ONE + exponential(-(values[j] + bias[j])))


@serial
def _draw_pair(high: Any, low: Any, upper: Any, lower: Any, counter: Any, on: Any, off: Any) -> None:
    """Draw the states `upper` and `lower` of two rows from their means `high` and `low`: one hash is used for a unit of
    each."""
    for j in range(len(high)):
        z = hashed(counter + GOLDEN * np.uint64(j))
        upper[j] = on if high_level(z) < high[j] else off
        lower[j] = on if low_level(z) < low[j] else off


@serial
def _draw_high(means: Any, states: Any, counter: Any, on: Any, off: Any) -> None:
    for j in range(len(means)):
        states[j] = on if high_level(hashed(counter + GOLDEN * np.uint64(j))) < means[j] else off


@serial
def _add(values: Any, total: Any) -> None:
    for j in range(len(values)):
        total[j] += values[j]


@serial
def take_rows(given: Any, values: Any, total: Any) -> None:
    """Copy `given` to `values`, both [R, N] float32; `total` [N] becomes the sum of the rows, as in all functions
    below."""
    total[:] = _ZERO
    for r in range(len(values)):
        values[r] = given[r]
        _add(given[r], total)


@serial
def sum_rows(values: Any, total: Any) -> None:
    """Set `total` [N] to the sum of the rows of `values` [R, N]."""
    total[:] = _ZERO
    for r in range(len(values)):
        _add(values[r], total)


@serial
def sigmoid_rows(values: Any, bias: Any, scale: Any, total: Any) -> None:
    """Turn `values` [R, N], float32, into scale * sigmoid(values + bias)."""
    total[:] = _ZERO
    for r in range(len(values)):
        _scaled_means_here(values[r], bias, scale)
        _add(values[r], total)


@serial
def sigmoid_and_draw(values: Any, bias: Any, states: Any, key: Any, total: Any) -> None:
    """Turn `values` into sigmoid(values + bias) and fill `states` with draws from them, both [R, N] float32.

    `total` becomes the sum of the means.
    """
    rows, columns = values.shape
    half = (rows + 1) // 2
    start = hashed(key)
    total[:] = _ZERO
    for r in range(half):
        counter = start + GOLDEN * np.uint64(r * columns + 1)
        _means_here(values[r], bias)
        _add(values[r], total)
        if half + r < rows:
            _means_here(values[half + r], bias)
            _add(values[half + r], total)
            _draw_pair(values[r], values[half + r], states[r], states[half + r], counter, _ONE, _ZERO)
        else:
            _draw_high(values[r], states[r], counter, _ONE, _ZERO)


@serial
def draw_here(values: Any, bias: Any, key: Any, total: Any) -> None:
    """Turn `values` [R, N], float32, into states drawn from sigmoid(values + bias), which `total` sums."""
    rows, columns = values.shape
    half = (rows + 1) // 2
    start = hashed(key)
    high, low = np.empty(columns, np.float32), np.empty(columns, np.float32)
    total[:] = _ZERO
    for r in range(half):
        counter = start + GOLDEN * np.uint64(r * columns + 1)
        _means(values[r], bias, high)
        if half + r < rows:
            _means(values[half + r], bias, low)
            _draw_pair(high, low, values[r], values[half + r], counter, _ONE, _ZERO)
            _add(values[half + r], total)
        else:
            _draw_high(high, values[r], counter, _ONE, _ZERO)
        _add(values[r], total)


@regrouping
def _squared_distance(one: Any, other: Any) -> Any:
    total = _ZERO
    for j in range(len(one)):
        apart = one[j] - other[j]
        total += apart * apart
    return total


@serial
def squared_distance(one: Any, other: Any) -> Any:
    """Return the sum of the squared differences of two arrays [R, N], float32 each."""
    total = 0.0
    for r in range(len(one)):
        total += _squared_distance(one[r], other[r])
    return total


@serial
def _move(weight: Any, velocity: Any, cost: Any, rate: Any) -> None:
    for i in range(len(weight)):
        speed = velocity[i] - cost * weight[i]
        velocity[i] = speed
        weight[i] += rate * speed


@serial
def move_weights(weight: Any, velocity: Any, cost: Any, rate: Any) -> None:
    """velocity <- velocity - cost * weight, weight <- weight + rate * velocity; both [R, N]."""
    for r in range(len(weight)):
        _move(weight[r], velocity[r], cost, rate)


@serial
def move_bias(
    bias: Any, velocity: Any, data: Any, chains: Any, scale: Any, share: Any, momentum: Any, rate: Any
) -> None:
    """velocity <- momentum * velocity + share * (data + scale * chains), bias <- bias + rate * velocity; all [N]."""
    for i in range(len(bias)):
        speed = momentum * velocity[i] + share * (data[i] + scale * chains[i])
        velocity[i] = speed
        bias[i] += rate * speed
