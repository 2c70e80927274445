"""Spike encoders: an intensity in 0..1 becomes a train of spikes over T time steps.

    Bernoulli   P(spike at t) = x                       independent at every step (Wu et al. 2018 and most since)
    Poisson     P(spike at t) = 1 - exp(-rate * x)      at least one event of a Poisson process within the step
    latency     one spike at t = round((1 - x) (T - 1)) the stronger the earlier; none where x = 0

Shapes: `x` is [B, ...] in 0..1, the result [T, B, ...] of the same type, holding 0 and 1. Chances are exact to 2^-16;
an intensity of 0 never fires and a chance of 1 always does. Where `x` asks for a gradient, the two random encoders hand
back that of the expected spike, the straight-through estimate; latency has none.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import Tensor

from threegen.checks import require_float, require_number, require_unit_range, require_whole
from threegen.randomness import draw_key

_LEVELS = 1 << 16


def bernoulli_spikes(x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Return spikes [T, B, ...] which fire at each of `steps` steps with probability `x`.

    Raises `ConfigError` for values outside 0..1 or `steps` below 1, `NumericError` for NaN, `ShapeError` for integers.
    """
    _check("rate coding", x, steps)
    return _Draw.apply(x, steps, draw_key(generator))  # type: ignore[no-untyped-call,no-any-return]


def poisson_spikes(x: Tensor, steps: int, rate: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Return spikes [T, B, ...] of Poisson processes with `rate * x` events a step, at most one spike a step.

    Raises like `bernoulli_spikes`, and `ConfigError` where `rate` is not above 0.
    """
    _check("Poisson coding", x, steps)
    chance = -torch.expm1(-require_number("rate", rate, above=0.0) * x)
    return _Draw.apply(chance, steps, draw_key(generator))  # type: ignore[no-untyped-call,no-any-return]


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


def _check(owner: str, x: Tensor, steps: int) -> None:
    require_whole("steps", steps)
    require_unit_range(owner, require_float(owner, x).detach())


class _Draw(torch.autograd.Function):
    """Independent draws with chance `x`; the gradient is that of the expectation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int, key: int) -> Tensor:
        shape = (steps, *x.shape)
        bits = _random_int16(steps * x.numel(), key).view(shape).to(x.device)
        # n = round(65,536 x) of 65,536 levels fire. Levels are signed, -32,768 .. 32,767; 16 bits have no room for
        # n = 65,536, so the two highest levels are merged and n = 65,535 stands for "always".
        limit = (x * _LEVELS).round_().clamp_(max=_LEVELS - 1).sub_(_LEVELS // 2).to(torch.int16)
        spikes = torch.empty(shape, dtype=x.dtype, device=x.device)
        torch.lt(bits, limit, out=spikes)
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].sum(0), None, None


def _random_int16(count: int, key: int) -> Tensor:
    """Return `count` numbers, uniform on -32,768..32,766 but for the highest, which is twice as likely."""
    words = numpy.random.SFC64(key).random_raw((count + 3) // 4)
    return torch.from_numpy(words.view(numpy.int16)[:count]).clamp_(max=_LEVELS // 2 - 2)
