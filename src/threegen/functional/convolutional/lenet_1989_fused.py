"""LeNet of 1989, one example at a time: forward, backward and update in one compiled kernel.

A step of this net is 64,660 products, a few microseconds of arithmetic; called function by function from Python it
takes a hundred times as long. The kernel processes the images in order and updates the weights after each.

Legend: planes, then sites; taps are the inputs of one unit under its 5x5 kernels, in the order of torch's weights.
  image [16, 16]   u1 x1 [12, 64]   taps1 [64, 25]   u2 x2 [12, 16]   taps2 [3, 16, 200]   x3 [30]   x4 [K]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from threegen.machine.compiler import serial

A, S = np.float32(1.7159), np.float32(2.0 / 3.0)
BORDER = np.float32(-1.0)


@serial
def squash(u: Any, x: Any, count: int) -> None:
    """Write f(u) into x, both flat: f(u) = A tanh(S u)."""
    for i in range(count):
        x[i] = A * np.float32(math.tanh(S * u[i]))


@serial
def slope(x: Any, delta: Any, count: int) -> None:
    """Multiply delta by f'(u) = S (A - x^2 / A), expressed by the state x = f(u)."""
    for i in range(count):
        delta[i] *= S * (A - x[i] * x[i] / A)


@serial
def unfold_image(image: Any, rows: Any, columns: Any) -> None:
    """Write what each site of H1 reads into rows [64, 25] and columns [25, 64]."""
    for i in range(8):
        for j in range(8):
            for k in range(5):
                for m in range(5):
                    y, x = 2 * i + k - 2, 2 * j + m - 2
                    inside = 0 <= y < 16 and 0 <= x < 16
                    value = image[y, x] if inside else BORDER
                    rows[i * 8 + j, k * 5 + m] = value
                    columns[k * 5 + m, i * 8 + j] = value


@serial
def unfold_planes(x1: Any, reads: Any, rows: Any, columns: Any) -> None:
    """Write what each site of the three groups of H2 reads into rows [3, 16, 200] and columns [3, 200, 16]."""
    for group in range(3):
        for place in range(8):
            plane = reads[group, place]
            for k in range(5):
                for m in range(5):
                    tap = place * 25 + k * 5 + m
                    for i in range(4):
                        for j in range(4):
                            y, x = 2 * i + k - 2, 2 * j + m - 2
                            inside = 0 <= y < 8 and 0 <= x < 8
                            value = x1[plane, y * 8 + x] if inside else BORDER
                            rows[group, i * 4 + j, tap] = value
                            columns[group, tap, i * 4 + j] = value


@serial
def fold_planes(d_columns: Any, reads: Any, d_x1: Any) -> None:
    """Add the deltas of all taps [3, 200, 16] up into those of the states of H1 [12, 64]."""
    d_x1[:] = 0
    for group in range(3):
        for place in range(8):
            plane = reads[group, place]
            for k in range(5):
                for m in range(5):
                    tap = place * 25 + k * 5 + m
                    for i in range(4):
                        y = 2 * i + k - 2
                        if y < 0 or y >= 8:
                            continue
                        for j in range(4):
                            x = 2 * j + m - 2
                            if 0 <= x < 8:
                                d_x1[plane, y * 8 + x] += d_columns[group, tap, i * 4 + j]


@serial
def potentials(weight: Any, bias: Any, columns: Any, u: Any) -> None:
    """u = bias + weight @ columns for planes [P, taps] and sites [taps, N]."""
    for p in range(weight.shape[0]):
        for n in range(u.shape[1]):
            u[p, n] = bias[p, n]
        for tap in range(weight.shape[1]):
            w = weight[p, tap]
            for n in range(u.shape[1]):
                u[p, n] += w * columns[tap, n]


@serial
def move_planes(weight: Any, bias: Any, rows: Any, delta: Any, rate: Any) -> None:
    """Update kernels and unit biases against their gradients: delta [P, N], rows [N, taps]."""
    for p in range(weight.shape[0]):
        for n in range(delta.shape[1]):
            step = rate * delta[p, n]
            bias[p, n] -= step
            for tap in range(weight.shape[1]):
                weight[p, tap] -= step * rows[n, tap]


@serial
def full_forward(weight: Any, bias: Any, x: Any, u: Any) -> None:
    """u = bias + weight @ x for a fully connected layer, four sums at a time."""
    for k in range(weight.shape[0]):
        a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        whole = x.size - x.size % 4
        for i in range(0, whole, 4):
            a += weight[k, i] * x[i]
            b += weight[k, i + 1] * x[i + 1]
            c += weight[k, i + 2] * x[i + 2]
            d += weight[k, i + 3] * x[i + 3]
        for i in range(whole, x.size):
            a += weight[k, i] * x[i]
        u[k] = bias[k] + ((a + b) + (c + d))


@serial
def full_backward(weight: Any, bias: Any, x: Any, delta: Any, d_x: Any, rate: Any) -> None:
    """Write the deltas of x, computed before the weights change, then update weights and biases."""
    d_x[:] = 0
    for k in range(weight.shape[0]):
        own = delta[k]
        step = rate * own
        bias[k] -= step
        for i in range(x.size):
            d_x[i] += own * weight[k, i]
            weight[k, i] -= step * x[i]


@serial
def learn_one_by_one(
    images: Any,
    targets: Any,
    reads: Any,
    rate: Any,
    w1: Any,
    b1: Any,
    w2: Any,
    b2: Any,
    w3: Any,
    b3: Any,
    w4: Any,
    b4: Any,
) -> float:
    """Update the weights in place after each of `images` [N, 16, 16] against the gradient of the mean square over the K
    outputs of x4 - targets [N, K]; return the mean of the losses, each computed before its step.

    w1 [12, 25], b1 [12, 64], w2 [12, 200], b2 [12, 16], w3 [30, 192], b3 [30], w4 [K, 30], b4 [K], all float32 and
    contiguous; reads [3, 8]. Nothing is checked here.
    """
    outputs = len(b4)
    rows1, columns1 = np.empty((64, 25), np.float32), np.empty((25, 64), np.float32)
    rows2, columns2 = np.empty((3, 16, 200), np.float32), np.empty((3, 200, 16), np.float32)
    d_columns2 = np.empty((3, 200, 16), np.float32)
    u1, x1, d1 = np.empty((12, 64), np.float32), np.empty((12, 64), np.float32), np.empty((12, 64), np.float32)
    u2, x2, d2 = np.empty((12, 16), np.float32), np.empty((12, 16), np.float32), np.empty((12, 16), np.float32)
    u3, x3, d3 = np.empty(30, np.float32), np.empty(30, np.float32), np.empty(30, np.float32)
    u4, x4, d4 = np.empty(outputs, np.float32), np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    flat2, flat_d2 = x2.reshape(192), d2.reshape(192)
    total = 0.0
    for number in range(len(images)):
        unfold_image(images[number], rows1, columns1)
        potentials(w1, b1, columns1, u1)
        squash(u1.reshape(768), x1.reshape(768), 768)
        unfold_planes(x1, reads, rows2, columns2)
        for group in range(3):
            part = slice(4 * group, 4 * group + 4)
            potentials(w2[part], b2[part], columns2[group], u2[part])
        squash(u2.reshape(192), flat2, 192)
        full_forward(w3, b3, flat2, u3)
        squash(u3, x3, 30)
        full_forward(w4, b4, x3, u4)
        squash(u4, x4, outputs)
        loss = 0.0
        for k in range(outputs):
            error = x4[k] - targets[number, k]
            loss += error * error
            d4[k] = np.float32(2.0 / outputs) * error
        total += loss / outputs
        slope(x4, d4, outputs)
        full_backward(w4, b4, x3, d4, d3, rate)
        slope(x3, d3, 30)
        full_backward(w3, b3, flat2, d3, flat_d2, rate)
        slope(flat2, flat_d2, 192)
        for group in range(3):
            for tap in range(200):
                for n in range(16):
                    d_columns2[group, tap, n] = 0
            for p in range(4 * group, 4 * group + 4):
                for tap in range(200):
                    w = w2[p, tap]
                    for n in range(16):
                        d_columns2[group, tap, n] += w * d2[p, n]
            part = slice(4 * group, 4 * group + 4)
            move_planes(w2[part], b2[part], rows2[group], d2[part], rate)
        fold_planes(d_columns2, reads, d1)
        slope(x1.reshape(768), d1.reshape(768), 768)
        move_planes(w1, b1, rows1, d1, rate)
    return total / len(images)
