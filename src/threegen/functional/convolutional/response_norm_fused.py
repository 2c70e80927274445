"""Response normalisation across planes (AlexNet, 2012), compiled: one pass over memory each way.

    v_i = k + c sum_j a_j^2,  j from i - 2 to i + 2 within the planes     b_i = a_i v_i^(-3/4)
    da_i = g_i v_i^(-3/4) - (3/2) c a_i sum_j g_j a_j v_j^(-7/4),  over the same j

torch writes it as squares, a pooling in three dimensions, a power and a quotient, each with its own pass: a third of
the time of AlexNet's training. The planes of one place are adjacent in memory here (`channels_last`), so a window is a
run of memory. c is torch's alpha / 5. Five planes and the exponent .75 are the paper's: one quotient and two roots for
each state. Same values and gradients as `torch.nn.functional.local_response_norm` up to rounding; that stays as the
oracle. On request the states are rectified first, a_i = max(0, s_i): two more passes that torch takes by themselves.

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
def factors(given: Any, least: Any, k: Any, c: Any, a: Any, squares: Any, root: Any, out: Any) -> None:
    """Write a, v^(-1/2) and v^(-3/4) of one place, all [planes]; squares [planes + 4] is scratch, 0 at both ends."""
    planes = len(given)
    for i in range(planes):
        state = given[i]
        state = least if state < least else state  # NaN stays, as in torch
        a[i] = state
        squares[2 + i] = state * state
    for i in range(planes):
        near = squares[i] + squares[i + 1] + squares[i + 2] + squares[i + 3] + squares[i + 4]
        inverse = _ONE / np.sqrt(k + c * near)
        root[i] = inverse
        out[i] = inverse * np.sqrt(inverse)


@parallel
def forward(s: Any, least: Any, k: Any, c: Any, b: Any) -> None:
    """Write b for a, the larger of s and `least`; s and b are [places, planes]."""
    places, planes = s.shape
    for block in numba.prange((places + _ROWS - 1) // _ROWS):
        squares, a = np.zeros(planes + 4, np.float32), np.empty(planes, np.float32)
        root, factor = np.empty(planes, np.float32), np.empty(planes, np.float32)
        for place in range(block * _ROWS, min(places, (block + 1) * _ROWS)):
            out = b[place]
            factors(s[place], least, k, c, a, squares, root, factor)
            for i in range(planes):
                out[i] = a[i] * factor[i]


@parallel
def backward(s: Any, g: Any, least: Any, k: Any, c: Any, d: Any) -> None:
    """Write into d the gradient by s, from g, that by b; all [places, planes]."""
    places, planes = s.shape
    twice, nothing = _ONE_AND_A_HALF * c, np.float32(0.0)
    for block in numba.prange((places + _ROWS - 1) // _ROWS):
        squares, a = np.zeros(planes + 4, np.float32), np.empty(planes, np.float32)
        root, factor = np.empty(planes, np.float32), np.empty(planes, np.float32)
        shares = np.zeros(planes + 4, np.float32)
        for place in range(block * _ROWS, min(places, (block + 1) * _ROWS)):
            given, error, out = s[place], g[place], d[place]
            factors(given, least, k, c, a, squares, root, factor)
            for i in range(planes):
                shares[2 + i] = error[i] * a[i] * factor[i] * root[i] * root[i]
            for i in range(planes):
                near = shares[i] + shares[i + 1] + shares[i + 2] + shares[i + 3] + shares[i + 4]
                change = error[i] * factor[i] - twice * a[i] * near
                out[i] = nothing if given[i] <= least else change


def response_norm(states: Tensor, k: float, c: float, *, rectified: bool = False) -> Tensor:
    """Return states `[B, planes, H, W]` divided by (k + c times the sum of five squares)^.75; float32 on the CPU.

    rectified: negative states become 0 first.
    """
    normalised: Tensor = _ResponseNorm.apply(states, k, c, 0.0 if rectified else -np.inf)  # type: ignore[no-untyped-call]
    return normalised


class _ResponseNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, k: float, c: float, least: float) -> Tensor:
        s = states.detach().contiguous(memory_format=torch.channels_last)
        b = torch.empty_like(s)
        ctx.settings = (np.float32(least), np.float32(k), np.float32(c))
        ctx.save_for_backward(s)
        forward(_places(s), *ctx.settings, _places(b))
        return b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (s,) = ctx.saved_tensors
        g = gradient.contiguous(memory_format=torch.channels_last)
        d = torch.empty_like(s)
        backward(_places(s), _places(g), *ctx.settings, _places(d))
        return d, None, None, None


def _places(states: Tensor) -> Any:
    """Return `[places, planes]`, a view of `channels_last` memory."""
    return states.permute(0, 2, 3, 1).view(-1, states.shape[1]).numpy()
