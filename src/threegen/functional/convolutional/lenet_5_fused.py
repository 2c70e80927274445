"""The planes of LeNet-5 for small batches, compiled: C1, S2, C3 and S4, forward and backward.

    t1 = tanh(S (w1 * x + b1))          t2 = tanh(S (c2 sum_4 A t1 + b2))       f(a) = A tanh(S a): states are A t
    t3 = tanh(S (w3 * A t2 + b3))       t4 = tanh(S (c4 sum_4 A t3 + b4))

A step over 16 images is so short that torch's convolutions, poolings and scalings take several times as long as their
arithmetic. Here the images of a batch are stored row by row next to each other, `[planes, height, width * B]`: one line
of a plane times one weight is one pass over contiguous memory. Values and gradients equal those of the modules of
`gen2/lenet_5.py` up to rounding; these remain the reference.

Legend: x [32, 32 B]   t1 [6, 28, 28 B]   four1, t2 [6, 14, 14 B]   t3 [16, 10, 10 B]   four3, t4 [16, 5, 5 B]
  w1 [6, 25]   pairs [60, 2] (plane of C3, plane of S2)   w3 [60, 25]   b, c: one value per plane
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.machine.compiler import regrouping, serial

A, S = np.float32(1.7159), np.float32(2.0 / 3.0)
SA = np.float32(S * A)
ONE, TWO, EIGHTH, FAR = np.float32(1.0), np.float32(2.0), np.float32(0.125), np.float32(9.0)
# The truncated continued fraction of tanh: exact to float32 up to 9 / 8.
P0, P1, P2 = np.float32(10395.0), np.float32(1260.0), np.float32(21.0)
Q1, Q2 = np.float32(4725.0), np.float32(210.0)


@serial
def squash(u: Any) -> None:
    """Replace the flat u by tanh(u): that of an eighth, doubled three times by tanh 2y = 2 tanh y / (1 + tanh^2 y)."""
    for i in range(len(u)):
        y = u[i]
        y = y if y < FAR else FAR
        y = (y if y > -FAR else -FAR) * EIGHTH
        z = y * y
        y = y * (P0 + z * (P1 + z * P2)) / (P0 + z * (Q1 + z * (Q2 + z)))
        y = TWO * y / (ONE + y * y)
        y = TWO * y / (ONE + y * y)
        u[i] = TWO * y / (ONE + y * y)


@regrouping
def total(lines: Any) -> Any:
    """Return the sum of all of lines [h, n]."""
    found = np.float32(0.0)
    for y in range(lines.shape[0]):
        line = lines[y]
        for t in range(len(line)):
            found += line[t]
    return found


@regrouping
def product(lines: Any, others: Any) -> Any:
    """Return the inner product of lines and others [h, n]."""
    found = np.float32(0.0)
    for y in range(lines.shape[0]):
        line, other = lines[y], others[y]
        for t in range(len(line)):
            found += line[t] * other[t]
    return found


@regrouping
def convolve(planes: Any, kernel: Any, batch: int, out: Any) -> None:
    """Add the convolution of a kernel [25] with one plane [h + 4, w + 4 B] to out [h, w]; w counts all images of a
    batch."""
    high, width = out.shape
    for k in range(5):
        w0, w1, w2, w3, w4 = kernel[5 * k], kernel[5 * k + 1], kernel[5 * k + 2], kernel[5 * k + 3], kernel[5 * k + 4]
        for y in range(high):
            line, row = planes[y + k], out[y]
            x0, x1, x2 = line[:width], line[batch : batch + width], line[2 * batch : 2 * batch + width]
            x3, x4 = line[3 * batch : 3 * batch + width], line[4 * batch : 4 * batch + width]
            for t in range(width):
                row[t] += w0 * x0[t] + w1 * x1[t] + w2 * x2[t] + w3 * x3[t] + w4 * x4[t]


@regrouping
def correlate(planes: Any, delta: Any, batch: int, found: Any) -> None:
    """Write into found [25] the sums over all positions of delta times the input of each tap from one plane."""
    high, width = delta.shape
    for k in range(5):
        s0 = s1 = s2 = s3 = s4 = np.float32(0.0)
        for y in range(high):
            line, d = planes[y + k], delta[y]
            x0, x1, x2 = line[:width], line[batch : batch + width], line[2 * batch : 2 * batch + width]
            x3, x4 = line[3 * batch : 3 * batch + width], line[4 * batch : 4 * batch + width]
            for t in range(width):
                s0 += d[t] * x0[t]
                s1 += d[t] * x1[t]
                s2 += d[t] * x2[t]
                s3 += d[t] * x3[t]
                s4 += d[t] * x4[t]
        found[5 * k], found[5 * k + 1], found[5 * k + 2], found[5 * k + 3], found[5 * k + 4] = s0, s1, s2, s3, s4


@serial
def subsample(t: Any, coefficient: Any, bias: Any, batch: int, fours: Any, out: Any) -> None:
    """Write the sums of four neighbours in t into fours, and the resulting states into out; all of one plane."""
    high, width = out.shape[0], out.shape[1] // batch
    for y in range(high):
        upper, lower, row, state = t[2 * y], t[2 * y + 1], fours[y], out[y]
        for x in range(width):
            at, left, right = x * batch, 2 * x * batch, (2 * x + 1) * batch
            u0, u1 = upper[left : left + batch], upper[right : right + batch]
            l0, l1, four = lower[left : left + batch], lower[right : right + batch], row[at : at + batch]
            for b in range(batch):
                four[b] = u0[b] + u1[b] + l0[b] + l1[b]
        for i in range(width * batch):
            state[i] = coefficient * row[i] + bias
        squash(state)


@serial
def below_sums(d: Any, coefficient: Any, t: Any, batch: int, out: Any) -> None:
    """Write the gradient before the tanh below a sub-sampling into out [2 h, 2 w B]: d's share times 1 - t^2."""
    for y in range(out.shape[0]):
        line, row, state = d[y // 2], out[y], t[y]
        for x in range(out.shape[1] // batch):
            at, here = (x // 2) * batch, x * batch
            share, own, own_t = line[at : at + batch], row[here : here + batch], state[here : here + batch]
            for b in range(batch):
                own[b] = coefficient * share[b] * (ONE - own_t[b] * own_t[b])


@serial
def through_tanh(d: Any, t: Any) -> None:
    """Multiply the flat d by 1 - t^2."""
    for i in range(len(d)):
        d[i] *= ONE - t[i] * t[i]


@serial
def forward(
    x: Any, pairs: Any, w1: Any, b1: Any, c2: Any, b2: Any, w3: Any, b3: Any, c4: Any, b4: Any, batch: int,
    t1: Any, four1: Any, t2: Any, t3: Any, four3: Any, t4: Any,
) -> None:  # fmt: skip
    """Fill t1 to t4."""
    for o in range(6):
        t1[o] = S * b1[o]
        convolve(x, S * w1[o], batch, t1[o])
        squash(t1[o].reshape(-1))
        subsample(t1[o], SA * c2[o], S * b2[o], batch, four1[o], t2[o])
    for o in range(16):
        t3[o] = S * b3[o]
    for n in range(len(pairs)):
        convolve(t2[pairs[n, 1]], SA * w3[n], batch, t3[pairs[n, 0]])
    for o in range(16):
        squash(t3[o].reshape(-1))
        subsample(t3[o], SA * c4[o], S * b4[o], batch, four3[o], t4[o])


@serial
def backward(
    d4: Any, x: Any, pairs: Any, c2: Any, w3: Any, c4: Any, batch: int,
    t1: Any, four1: Any, t2: Any, t3: Any, four3: Any, t4: Any,
    gw1: Any, gb1: Any, gc2: Any, gb2: Any, gw3: Any, gb3: Any, gc4: Any, gb4: Any,
) -> None:  # fmt: skip
    """Fill the gradients g..., given that of t4, d4, which is changed."""
    edge, row = 4 * batch, 10 * batch
    around = np.zeros((16, 18, 18 * batch), np.float32)  # the gradient at C3, with zeros around it
    d3, d2, d1 = np.empty_like(t3), np.zeros_like(t2), np.empty_like(t1[0])
    for o in range(16):
        through_tanh(d4[o].reshape(-1), t4[o].reshape(-1))
        gc4[o], gb4[o] = SA * product(d4[o], four3[o]), S * total(d4[o])
        below_sums(d4[o], SA * c4[o], t3[o], batch, d3[o])
        gb3[o] = S * total(d3[o])
        around[o, 4:14, edge : edge + row] = d3[o]
    for n in range(len(pairs)):
        o, i = pairs[n]
        correlate(t2[i], d3[o], batch, gw3[n])
        convolve(around[o], SA * w3[n, ::-1].copy(), batch, d2[i])
    for o in range(6):
        through_tanh(d2[o].reshape(-1), t2[o].reshape(-1))
        gc2[o], gb2[o] = SA * product(d2[o], four1[o]), S * total(d2[o])
        below_sums(d2[o], SA * c2[o], t1[o], batch, d1)
        gb1[o] = S * total(d1)
        correlate(x, d1, batch, gw1[o])
    gw1 *= S
    gw3 *= SA


def planes_of_lenet_5(images: Tensor, pairs: Any, *parameters: Tensor) -> Tensor:
    """Return the states of S4 `[B, 400]` for scaled images `[B, 1, 32, 32]`, differentiable only by the parameters.

    `parameters`: C1's kernels `[6, 1, 5, 5]` and biases `[6]`, S2's coefficients and biases `[6]`, C3's kernels
    `[60, 5, 5]`, one for each of `pairs`, and biases `[16]`, S4's coefficients and biases `[16]`. Float32 on the CPU.
    """
    states: Tensor = _Planes.apply(images, pairs, *parameters)  # type: ignore[no-untyped-call]
    return states


class _Planes(torch.autograd.Function):
    """The two kernels as one function of the parameters."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, pairs: Any, *parameters: Tensor) -> Tensor:
        batch = len(images)
        x = np.ascontiguousarray(images.reshape(batch, 32 * 32).numpy().T).reshape(32, 32 * batch)
        w1, b1, c2, b2, w3, b3, c4, b4 = (parameter.detach().numpy() for parameter in parameters)
        t1, t3 = _lines(6, 28, batch), _lines(16, 10, batch)
        four1, t2, four3, t4 = (_lines(*size, batch) for size in ((6, 14), (6, 14), (16, 5), (16, 5)))
        flat1, flat3 = w1.reshape(6, 25), w3.reshape(-1, 25)
        forward(x, pairs, flat1, b1, c2, b2, flat3, b3, c4, b4, batch, t1, four1, t2, t3, four3, t4)
        ctx.seen = (x, pairs, c2, flat3, c4, batch, t1, four1, t2, t3, four3, t4)
        return torch.from_numpy(t4.reshape(400, batch)).T * float(A)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        batch = len(gradient)
        d4 = (gradient.T * float(A)).contiguous().numpy().reshape(16, 5, 5 * batch)
        pairs = len(ctx.seen[1])
        sizes = ((6, 25), 6, 6, 6, (pairs, 25), 16, 16, 16)
        found = [np.empty(size, np.float32) for size in sizes]
        backward(d4, *ctx.seen, *found)
        gradients = [torch.from_numpy(array) for array in found]
        gradients[0], gradients[4] = gradients[0].view(6, 1, 5, 5), gradients[4].view(pairs, 5, 5)
        return None, None, *gradients


def _lines(planes: int, side: int, batch: int) -> Any:
    return np.empty((planes, side, side * batch), np.float32)
