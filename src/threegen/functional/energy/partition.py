"""The partition function of a net of two layers: exactly, or by annealed importance sampling.

    Z = sum over v of exp(-F(v)) = sum over h of exp(-E0(h) + b . h + A_v(a + W^T h))        exact, 2^H terms

Annealed importance sampling walks from a net without weights, whose Z is known, to the real one:

    log p*_t(v) = -E0(v) + ((1 - t) a0 + t a) . v + A_h(t (b + W v))        t from 0 to 1
    log w       = sum over k of log p*_k+1(v_k) - log p*_k(v_k),            v_k+1 from a Gibbs step that keeps p*_k+1
    Z           = mean(w) Z_0,                                              log Z_0 = A_v(a0) + A_h(0)

The mean of w is unbiased, its logarithm is not: log Z tends to be estimated too low, log-probabilities too high. The
error bar is three standard errors of the mean of w, as in the paper. It is itself estimated from the weights: if few
runs have nearly all the weight, both the estimate and its bar are unreliable. The effective number of runs shows this,

    n = (sum w)^2 / sum w^2          R if all weights are equal, 1 if a single run has all of the weight.

Salakhutdinov and Murray, "On the quantitative analysis of deep belief networks", ICML 2008; Neal, "Annealed
importance sampling", Statistics and Computing 11 (2001) 125-139.

Shapes: R runs, V visible units, H hidden units.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_whole
from threegen.errors import ConfigError, warn_user
from threegen.functional.energy.units import Units, are_plain_binary

MOST_ENUMERATED = 25  # units; 2^25 terms take about a minute for small nets
_BLOCK = 1 << 13  # states at a time
# Effective runs below which the bar is not reliable: on RBMs trained on digits, whose log Z is known exactly, it
# covered the exact value in 31 of 87 estimates with fewer and in 53 of 57 with more (docs/energy-rbm.md).
FEWEST_EFFECTIVE = 10.0


@dataclass(frozen=True)
class LogPartition:
    """log Z in nats, with the ends `low` and `high` of its error bar; both are `value` if it is exact.

    For an estimate, `runs` is the number of runs and `effective` the effective sample size of their weights. The bar is
    reliable only if that is not small. Both are 0 for an exact sum.
    """

    value: float
    low: float
    high: float
    method: str
    runs: int = 0
    effective: float = 0.0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        if not self.runs:
            return f"log Z = {self.value:.4f} nats ({self.method})"
        return (
            f"log Z = {self.value:.2f} nats ({self.low:.2f} to {self.high:.2f}, three standard errors; "
            f"{self.method}, {self.effective:.1f} of {self.runs} runs count)"
        )


@dataclass(frozen=True)
class Net:
    """A net of two layers: its kinds of units and its parameters W [H, V], a [V], b [H]."""

    visible: Units
    hidden: Units
    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor


def all_states(units: int, start: int = 0, stop: int | None = None) -> Tensor:
    """Return the binary states number `start` to `stop` of `units` units [S, units], float64; all by default."""
    numbers = torch.arange(start, 2**units if stop is None else stop)
    return ((numbers.unsqueeze(1) >> torch.arange(units - 1, -1, -1)) & 1).double()


@torch.no_grad()
def exact_log_partition(net: Net) -> LogPartition:
    """Return log Z, summed over all states of the smaller binary layer, in float64.

    Raises `ConfigError` if neither layer is binary with at most 25 units.
    """
    weight = net.weight.double()
    layers = [
        (net.hidden, net.visible, weight, net.hidden_bias.double(), net.visible_bias.double()),
        (net.visible, net.hidden, weight.T, net.visible_bias.double(), net.hidden_bias.double()),
    ]
    able = [layer for layer in layers if are_plain_binary(layer[0]) and layer[0].size <= MOST_ENUMERATED]
    if not able:
        raise ConfigError(
            f"exact enumeration needs a layer of at most {MOST_ENUMERATED} binary units, there are {net.visible.size} "
            f'visible and {net.hidden.size} hidden units; use method="ais"'
        )
    own, other, matrix, own_bias, other_bias = min(able, key=lambda layer: layer[0].size)
    sums = []
    for start in range(0, 2**own.size, _BLOCK):
        states = all_states(own.size, start, min(start + _BLOCK, 2**own.size))
        sums.append((states @ own_bias + other.log_sum(other_bias + states @ matrix)).logsumexp(0))
    value = float(torch.stack(sums).logsumexp(0))
    return LogPartition(value, value, value, "exact")


def paper_schedule(steps: int) -> list[float]:
    """Return inverse temperatures from 0 to 1, spaced as in the paper: 500 to .5, 4,000 to .9, 10,000 to 1.

    `steps` is their total number; the three parts keep their proportions.
    """
    require_whole("steps", steps, least=3)
    ends, shares = (0.0, 0.5, 0.9, 1.0), (500, 4_000, 10_000)
    counts = [max(1, round(steps * share / sum(shares))) for share in shares]
    found = [0.0]
    for low, high, count in zip(ends, ends[1:], counts, strict=False):
        found += [low + (high - low) * (k + 1) / count for k in range(count)]
    return found


@torch.no_grad()
def annealed_log_partition(
    net: Net,
    base_bias: Tensor,
    *,
    steps: int = 14_500,
    runs: int = 100,
    temperatures: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> LogPartition:
    """Return the estimate of log Z from `runs` walks over `steps` intermediate distributions, with its error bar.

    `base_bias` a0 [V] is that of the net without weights; biases that give the data's means make the walk short.
    `temperatures`, if given, are the inverse temperatures t themselves, rising from 0 to 1. Warns if the effective
    number of runs is too small for a reliable bar.
    """
    require_whole("runs", runs, least=2)
    betas = paper_schedule(steps) if temperatures is None else list(temperatures)
    if betas[0] != 0.0 or betas[-1] != 1.0 or sorted(betas) != betas:
        raise ConfigError("temperatures must rise from 0 to 1")
    v = net.visible.draw(net.visible.mean(base_bias.expand(runs, -1)), generator)
    log_weight = torch.zeros(runs, dtype=torch.float64, device=v.device)
    shift = net.visible_bias - base_bias
    for before, now in itertools.pairwise(betas):
        x = F.linear(v, net.weight, net.hidden_bias)
        log_weight += (now - before) * (v @ shift).double() + log_sum_rise(net.hidden, x, before, now)
        h = net.hidden.draw(net.hidden.mean(now * x), generator)
        total = torch.addmm((1 - now) * base_bias + now * net.visible_bias, h, net.weight, alpha=now)
        v = net.visible.draw(net.visible.mean(total), generator)
    start = float(net.visible.log_sum(base_bias.double())) + float(net.hidden.log_sum(_zeros(net)))
    found = _summarised(log_weight, start)
    if found.effective < min(FEWEST_EFFECTIVE, runs / 2):
        based = bool((base_bias != 0).any())
        advice = "take more steps" if based else "start from the data's means (base=data), or take more steps"
        warn_user(
            f"annealed importance sampling: only {found.effective:.1f} of {runs} runs count (effective sample size); "
            f"log Z = {found.value:.2f} may be off by more than its error bar, {found.low:.2f} to {found.high:.2f}; "
            f"{advice} (there were {len(betas) - 1})",
        )
    return found


def _zeros(net: Net) -> Tensor:
    return torch.zeros(net.hidden.size, dtype=torch.float64, device=net.weight.device)


def log_sum_rise(hidden: Units, x: Tensor, before: float, now: float) -> Tensor:
    """Return A(now x) - A(before x) [R], float64.

    A' is the mean, so the difference is the integral of x . mean(t x) over t; for the small steps of a long walk the
    midpoint gives it to the third order of the step, and is free of the cancellation of two large numbers.
    """
    if now - before > 1e-3:
        return (hidden.log_sum(now * x.double()) - hidden.log_sum(before * x.double())).double()
    middle = hidden.mean((before + now) / 2 * x)
    return (now - before) * (x * middle).sum(-1).double()


def _summarised(log_weight: Tensor, start: float) -> LogPartition:
    """Return log Z_0 + log mean(w) and three standard errors of mean(w) around it."""
    runs = len(log_weight)
    log_mean = float(log_weight.logsumexp(0)) - math.log(runs)
    relative = (log_weight - log_mean).exp()
    error = 3 * float(relative.std()) / math.sqrt(runs)
    low = math.log1p(-error) if error < 1 else -math.inf
    value = start + log_mean
    effective = 1.0 / float((2 * (log_weight - log_weight.logsumexp(0))).exp().sum())
    return LogPartition(value, value + low, value + math.log1p(error), "ais", runs, effective)
