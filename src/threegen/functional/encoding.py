"""Spike encoders: an intensity in 0..1 becomes a train of spikes over T time steps.

    Bernoulli   P(spike at t) = x                       independent at every step (Wu et al. 2018 and most since)
    Poisson     P(spike at t) = 1 - exp(-rate * x)      at least one event of a Poisson process within the step
    latency one spike at t = round((1 - x) (T - 1)) earlier for higher x; none if x = 0

Shapes: `x` is [B, ...] in 0..1, the result [T, B, ...] of the same type, holding 0 and 1. Chances are exact to 2^-16;
an intensity of 0 never fires and a chance of 1 always does. If `x` requires a gradient, the two random encoders return
that of the expected spike, the straight-through estimate; latency has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_float, require_number, require_unit_range, require_whole
from threegen.machine.compiler import parallel, ready_numba
from threegen.machine.draws import GOLDEN, hashed
from threegen.randomness import draw_key

numba = ready_numba()

_LEVELS = 1 << 16
_BLOCK = 4096  # pixels that one thread draws at a time
_MASK, _SIXTEEN = np.uint64(_LEVELS - 1), np.uint64(16)


def bernoulli_spikes(x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Return spikes [T, B, ...] which fire at each of `steps` steps with probability `x`.

    Raises `ConfigError` for values outside 0..1 or `steps` below 1, `NumericError` for NaN, `ShapeError` for integers.
    """
    _check("rate coding", x, steps)
    return _Draw.apply(x, steps, draw_key(generator))  # type: ignore[no-untyped-call,no-any-return]


def poisson_spikes(x: Tensor, steps: int, rate: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Return spikes [T, B, ...] of Poisson processes with `rate * x` events a step, at most one spike per step.

    Raises like `bernoulli_spikes`, and `ConfigError` if `rate` is not above 0.
    """
    _check("Poisson coding", x, steps)
    return _Draw.apply(poisson_chance(x, rate), steps, draw_key(generator))  # type: ignore[no-untyped-call,no-any-return]


def poisson_chance(x: Tensor, rate: float) -> Tensor:
    """Return the chance 1 - exp(-rate x) of at least one event. Raises `ConfigError` if `rate` is not above 0."""
    return -torch.expm1(-require_number("rate", rate, above=0.0) * x)


def latency_spikes(x: Tensor, steps: int) -> Tensor:
    """Return spikes [T, B, ...]: one for each `x` above 0, at step round((1 - x) (T - 1)); 1 fires first.

    Raises like `bernoulli_spikes`.
    """
    _check("latency coding", x, steps)
    with torch.no_grad():
        due = ((1 - x) * (steps - 1)).round()
        due[x == 0] = -1
        time = torch.arange(steps, dtype=x.dtype, device=x.device).view(-1, *[1] * x.dim())
        return (time == due).to(x.dtype)


def draw_spikes(chance: Tensor, steps: int, key: int, first: int = 0, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Return spikes [steps, B, ...] of `dtype`, independent draws with the chances [B, ...]: a function of the key.

    The steps are those from `first` on, so that a long train can be drawn in pieces: `draw_spikes(c, 9, key)` is
    `draw_spikes(c, 4, key)` followed by `draw_spikes(c, 5, key, first=4)`. The result does not depend on the number of
    cores.
    """
    limits = (chance.detach() * _LEVELS).round_().to(torch.int32).cpu().contiguous()
    kind = dtype if dtype in (torch.uint8, torch.float32, torch.float64) else torch.uint8
    spikes = torch.empty((steps, *chance.shape), dtype=kind)
    _draw(limits.view(-1).numpy(), np.uint64(key), first, spikes.view(steps, chance.numel()).numpy())
    return spikes.to(chance.device, dtype)


def checked_intensities(owner: str, x: Tensor) -> Tensor:
    """Return `x` if it is floating and in 0..1; raises `ConfigError`, `NumericError` or `ShapeError`."""
    require_unit_range(owner, require_float(owner, x).detach())
    return x


def _check(owner: str, x: Tensor, steps: int) -> None:
    require_whole("steps", steps)
    checked_intensities(owner, x)


class _Draw(torch.autograd.Function):
    """Independent draws with chance `x`; the gradient is that of the expectation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int, key: int) -> Tensor:
        return draw_spikes(x, steps, key, dtype=x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].sum(0), None, None


@parallel
def _draw(limits: Any, key: Any, first: int, spikes: Any) -> None:
    """Fill `spikes` [T, M]: one hash gives a pixel 16 bits for each of four steps; pixels of 0 are skipped."""
    steps, count = spikes.shape
    start = hashed(key)
    for block in numba.prange((count + _BLOCK - 1) // _BLOCK):
        low, high = block * _BLOCK, min((block + 1) * _BLOCK, count)
        for t in range(steps):
            spikes[t, low:high] = 0
        lit = np.empty(high - low + 1, np.int64)
        many = 0
        for i in range(low, high):
            lit[many] = i
            many += limits[i] > 0
        for quarter in range(first // 4, (first + steps + 3) // 4):
            begin, end = max(first, 4 * quarter), min(first + steps, 4 * quarter + 4)
            for p in range(many):
                i = lit[p]
                bits = hashed(start + GOLDEN * np.uint64(quarter * count + i + 1)) >> np.uint64(16 * (begin % 4))
                for t in range(begin, end):
                    spikes[t - first, i] = np.int64(bits & _MASK) < limits[i]
                    bits >>= _SIXTEEN
