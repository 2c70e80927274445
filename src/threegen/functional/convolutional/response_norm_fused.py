"""Response normalisation across planes (AlexNet, 2012), compiled: one pass over memory each way.

    v_i = k + c sum_j a_j^2,  j from i - n // 2 to i + (n - 1) // 2 within the planes     b_i = a_i v_i^(-3/4)
    da_i = g_i v_i^(-3/4) - (3/2) c a_i sum_j g_j a_j v_j^(-7/4),  over the j whose window holds i

torch writes it as squares, a pooling in three dimensions, a power and a quotient, each with its own pass: a third of
the time of AlexNet's training. The planes of one place are adjacent in memory here (`channels_last`), so a window is a
run of memory. c is torch's alpha / n; the exponent is the paper's .75, which takes two roots. Same values and gradients
as `torch.nn.functional.local_response_norm` up to rounding; that stays as the oracle.

Source: Krizhevsky, Sutskever and Hinton, NIPS 25 (2012), section 3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.machine.compiler import parallel, serial

numba: Any = None  # set before the first kernel is compiled

_ROWS = 64  # places in one block
_ONE, _ONE_AND_A_HALF = np.float32(1.0), np.float32(1.5)


@serial
def factors(line: Any, n: int, k: Any, c: Any, squares: Any, v: Any, out: Any) -> None:
    """Write v and v^(-3/4) of one place, both [planes]; squares [planes + n - 1] is scratch, 0 at both ends."""
    before, planes = n // 2, len(line)
    for i in range(planes):
        squares[before + i] = line[i] * line[i]
        v[i] = k
    for near in range(n):
        shifted = squares[near : near + planes]
        for i in range(planes):
            v[i] += c * shifted[i]
    for i in range(planes):
        root = np.sqrt(v[i])
        out[i] = _ONE / (root * np.sqrt(root))


@parallel
def forward(a: Any, n: int, k: Any, c: Any, b: Any) -> None:
    """Write b for a, both [places, planes]."""
    places, planes = a.shape
    for block in numba.prange((places + _ROWS - 1) // _ROWS):
        squares, v = np.zeros(planes + n - 1, np.float32), np.empty(planes, np.float32)
        factor = np.empty(planes, np.float32)
        for place in range(block * _ROWS, min(places, (block + 1) * _ROWS)):
            line, out = a[place], b[place]
            factors(line, n, k, c, squares, v, factor)
            for i in range(planes):
                out[i] = line[i] * factor[i]


@parallel
def backward(a: Any, g: Any, n: int, k: Any, c: Any, d: Any) -> None:
    """Write into d the gradient by a, from g, that by b; all [places, planes]."""
    places, planes = a.shape
    after, twice = (n - 1) // 2, _ONE_AND_A_HALF * c
    for block in numba.prange((places + _ROWS - 1) // _ROWS):
        squares, v = np.zeros(planes + n - 1, np.float32), np.empty(planes, np.float32)
        factor = np.empty(planes, np.float32)
        shares, sums = np.zeros(planes + n - 1, np.float32), np.empty(planes, np.float32)
        for place in range(block * _ROWS, min(places, (block + 1) * _ROWS)):
            line, error, out = a[place], g[place], d[place]
            factors(line, n, k, c, squares, v, factor)
            for i in range(planes):
                shares[after + i] = error[i] * line[i] * factor[i] / v[i]
                sums[i] = np.float32(0.0)
            for near in range(n):
                shifted = shares[near : near + planes]
                for i in range(planes):
                    sums[i] += shifted[i]
            for i in range(planes):
                out[i] = error[i] * factor[i] - twice * line[i] * sums[i]


def response_norm(states: Tensor, n: int, k: float, c: float) -> Tensor:
    """Return states `[B, planes, H, W]` divided by (k + c times the sum of n squares)^.75; float32 on the CPU."""
    normalised: Tensor = _ResponseNorm.apply(states, n, k, c)  # type: ignore[no-untyped-call]
    return normalised


class _ResponseNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, n: int, k: float, c: float) -> Tensor:
        a = states.detach().contiguous(memory_format=torch.channels_last)
        b = torch.empty_like(a)
        ctx.settings = (n, np.float32(k), np.float32(c))
        ctx.save_for_backward(a)
        forward(_places(a), *ctx.settings, _places(b))
        return b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (a,) = ctx.saved_tensors
        g = gradient.contiguous(memory_format=torch.channels_last)
        d = torch.empty_like(a)
        backward(_places(a), _places(g), *ctx.settings, _places(d))
        return d, None, None, None


def _places(states: Tensor) -> Any:
    """Return `[places, planes]`, a view of `channels_last` memory."""
    return states.permute(0, 2, 3, 1).view(-1, states.shape[1]).numpy()
