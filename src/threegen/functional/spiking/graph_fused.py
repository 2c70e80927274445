"""Converted nets without gradients: integrate-and-fire neurons, pooled counts as bytes, work only for counts above 0.

    u[t] = u[t-1] - o[t-1] + s_in . W x[t] + b      o[t] = 1 where u[t] >= 1      n[t] = sum of o over windows k by k

The first layer's summed input is the same at every step and computed once. After it each image goes through all time
steps layer by layer: a count n above zero adds n times a row of the weights, zero counts cost nothing. Only what is
read is stored: potentials exist for the steps of one image.

Every element is summed by one thread in one order, so the number of threads does not change it. The plain version sums
in another order; a potential that equals its threshold up to rounding may fire in only one of them.

Shapes: T time steps, B images, H x W places, C channels in, O channels out, channels last; k x k kernels, stride 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.machine.compiler import parallel, ready_numba, serial
from threegen.machine.simd.vector_kernels import weigh_16, weigh_32, weigh_64, weigh_160

numba = ready_numba()

Array = np.ndarray[Any, Any]


@serial
def _fire(currents: Array, potential: Array, fired: Array) -> None:
    """One step of a row of neurons: `potential` is updated, `fired` is incremented where it reaches 1."""
    for j in range(len(potential)):
        reached = potential[j] + currents[j]
        spike = np.float32(1.0) if reached >= np.float32(1.0) else np.float32(0.0)
        fired[j] += spike
        potential[j] = reached - spike


@serial
def _pooled(fired: Array, size: int, channels: int, result: Array) -> None:
    """Write the sums over `size` adjacent positions of a row [W C] to bytes [W // size, C]."""
    for x in range(len(result) // channels):
        target = result[x * channels : (x + 1) * channels]
        for c in range(channels):
            total = np.float32(0.0)
            for h in range(size):
                total += fired[(x * size + h) * channels + c]
            target[c] = np.uint8(total)


@parallel
def analog_counts(currents: Array, start: Array, size: int, channels: int, counts: Array) -> None:
    """Fill `counts` [T, B, H // size, (W // size) C], bytes, from the summed input `currents` [B, H, W C] of each step.

    `start` [W C] holds the initial potentials of a row.
    """
    steps, batch, high = counts.shape[0], counts.shape[1], counts.shape[2]
    width = currents.shape[2]
    for b in numba.prange(batch):
        fired = np.empty((steps, width), np.float32)
        potential = np.empty(width, np.float32)
        for y in range(high):
            fired[:] = np.float32(0.0)
            for r in range(size):
                potential[:] = start
                for t in range(steps):
                    _fire(currents[b, y * size + r], potential, fired[t])
            for t in range(steps):
                _pooled(fired[t], size, channels, counts[t, b, y])


@serial
def _add_rows(
    result: Array, at: int, width: int, weight: Array, first: int, stride: int, codes: Array, times: Array, many: int
) -> None:
    """Add times[p] rows codes[p] of `weight`, for `many` p, to `width` numbers of `result` from index `at` on.

    Row c begins at first + c stride; both arrays are flat.
    """
    done = 0
    while width - done >= 160:
        weigh_160(result, at + done, weight, first + done, stride, codes, times, 0, many)
        done += 160
    while width - done >= 64:
        weigh_64(result, at + done, weight, first + done, stride, codes, times, 0, many)
        done += 64
    if width - done >= 32:
        weigh_32(result, at + done, weight, first + done, stride, codes, times, 0, many)
        done += 32
    if width - done >= 16:
        weigh_16(result, at + done, weight, first + done, stride, codes, times, 0, many)
        done += 16
    for p in range(many if done < width else 0):
        begin = first + codes[p] * stride
        for j in range(done, width):
            result[at + j] += times[p] * weight[begin + j]


@serial
def _listed(arrived: Array, codes: Array, times: Array) -> int:
    """List the non-zero counts of a vector and their sizes; return their number."""
    many = 0
    for c in range(len(arrived)):
        codes[many] = c
        times[many] = arrived[c]
        many += arrived[c] != 0
    return many


@serial
def _push(arrived: Array, weight: Array, kernel: int, outputs: int, padded: Array, codes: Array, times: Array) -> None:
    """Add the rows of weights for the counts [H, W, C] of one image to `padded`.

    `padded` is [H + k - 1, (W + k - 1) O], `weight` [C, k, k O] flipped, both flat.
    """
    height, width, _ = arrived.shape
    reach, wide = kernel * outputs, (width + kernel - 1) * outputs
    for y in range(height):
        for x in range(width):
            many = _listed(arrived[y, x], codes, times)
            for q in range(kernel if many else 0):
                place = (y + q) * wide + x * outputs
                _add_rows(padded, place, reach, weight, q * reach, kernel * reach, codes, times, many)


@parallel
def conv_counts(
    arrived: Array, weight: Array, bias: Array, start: Array, border: int, size: int, counts: Array
) -> None:
    """Fill `counts` [T, B, H' // size, (W' // size) O] from `arrived` [T, B, H, W, C], both bytes.

    `weight` [C, k, k O] is flipped; `bias` and `start` [W' O] hold those of every position of a row; `border` is the
    padding with zeros.
    """
    steps, batch, high = counts.shape[0], counts.shape[1], counts.shape[2]
    kernel, outputs = weight.shape[1], weight.shape[2] // weight.shape[1]
    rows = arrived.shape[2] + kernel - 1
    wide = len(bias)
    tall = arrived.shape[2] + 2 * border - kernel + 1
    first, channels = kernel - 1 - border, arrived.shape[4]
    flat = weight.reshape(-1)
    for b in numba.prange(batch):
        padded = np.zeros((rows, (arrived.shape[3] + kernel - 1) * outputs), np.float32)
        potential = np.empty((tall, wide), np.float32)
        fired = np.empty(wide, np.float32)
        codes, times = np.empty(channels + 1, np.int32), np.empty(channels + 1, np.float32)
        for y in range(tall):
            potential[y] = start
        for t in range(steps):
            for y in range(tall):
                padded[first + y, first * outputs : first * outputs + wide] = bias
            _push(arrived[t, b], flat, kernel, outputs, padded.reshape(-1), codes, times)
            for y in range(high):
                fired[:] = np.float32(0.0)
                for r in range(size):
                    row = y * size + r
                    _fire(padded[first + row, first * outputs : first * outputs + wide], potential[row], fired)
                _pooled(fired, size, outputs, counts[t, b, y])


@parallel
def linear_counts(arrived: Array, weight: Array, bias: Array, start: Array, spikes: Array) -> None:
    """Fill `spikes` [T, B, O], bytes, from counts `arrived` [T, B, I] and `weight` [I, O]."""
    steps, batch, outputs = spikes.shape
    inputs, flat = arrived.shape[2], weight.reshape(-1)
    for b in numba.prange(batch):
        potential = start.copy()
        fired = np.empty(outputs, np.float32)
        codes, times = np.empty(inputs + 1, np.int32), np.empty(inputs + 1, np.float32)
        for t in range(steps):
            summed = bias.copy()
            fired[:] = np.float32(0.0)
            many = _listed(arrived[t, b], codes, times)
            _add_rows(summed, 0, outputs, flat, 0, outputs, codes, times, many)
            _fire(summed, potential, fired)
            for j in range(outputs):
                spikes[t, b, j] = np.uint8(fired[j])


@parallel
def summed_counts(arrived: Array, weight: Array, bias: Array, result: Array) -> None:
    """Fill `result` [B, K] with the summed input of all steps, from counts `arrived` [T, B, I] and `weight` [I, K]."""
    steps, batch, inputs = arrived.shape
    for b in numba.prange(batch):
        row = result[b]
        for k in range(len(row)):
            row[k] = steps * bias[k]
        for i in range(inputs):
            total = np.float32(0.0)
            for t in range(steps):
                total += np.float32(arrived[t, b, i])
            if total != np.float32(0.0):
                for k in range(len(row)):
                    row[k] += total * weight[i, k]


@serial
def fingerprint(values: Array) -> tuple[int, int]:
    """Return numbers that change with any value of a vector of 32-bit words, and with their order."""
    total, weighted = np.uint32(0), np.uint32(0)
    for j in range(len(values)):
        total += values[j]
        weighted += values[j] * np.uint32(j)
    return int(total), int(weighted)
