"""Learning by spike timing as pure formulas: the weight change at the moment of a spike.

A synapse from input i to neuron o stores spikes as traces, which decay with e^(-dt/tau) between spikes. At a spike of
the input the neuron's trace changes the weight, at a spike of the neuron the input's trace:

    pair          pre  -a_minus x_post[o]                          post  +a_plus x_pre[i]
    triplet       pre  -x_post[o] (A2- + A3- x_slow_pre[i])        post  +x_pre[i] (A2+ + A3+ x_slow_post[o])
    power law                                                      post  rate (x_pre[i] - target) (w_max - w)^mu
    exponential                                                    post  rate (x_pre[i] e^(-beta w)
                                                                               - target e^(-beta (w_max - w)))
    symmetric     pre  -pre_rate x_post[o] w^mu                    post  rate (x_pre[i] - target) (w_max - w)^mu
    order         once per stimulus, for each winner: (a_plus where t_pre <= t_post, else a_minus) (w - low) (high - w)
    MSTDP         eligibility  post[o] x_pre[i] - pre[i] x_post[o];  dw = rate reward eligibility

Order within one time step: traces decay; spikes of the inputs are added to x_pre; then both kinds of changes are
computed; then spikes of the neurons are added to x_post. So an input spike in the same step as the neuron's (dt = 0)
counts as earlier. Traces that saturate are set to 1 by a spike (nearest neighbours); the others are increased by 1 (all
pairs).

Shapes: inputs [..., I], neurons [..., O], weights and changes [..., O, I]; leading axes broadcast. Spikes hold 0 and 1.
Every function returns the change without applying it. Changes are exact at a spike: both kinds in one step are added.

Sources: pair Song, Miller and Abbott, Nature Neuroscience 3 (2000); nearest neighbours Morrison, Diesmann and Gerstner,
Biological Cybernetics 98 (2008); triplet Pfister and Gerstner, J. Neuroscience 26 (2006) 9673-9682; power law,
exponential and pre-and-post ("symmetric") Diehl and Cook, Frontiers in Computational Neuroscience 9:99 (2015); order
Kheradpisheh et al., Neural Networks 99 (2018) 56-67; MSTDP Florian, Neural Computation 19 (2007) 1468-1502.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from threegen.checks import require_number

# -- traces ----------------------------------------------------------------------------------------------------


def trace_decay(tau: float, dt: float = 1.0) -> float:
    """Return e^(-dt/tau), the share of a trace that remains after `dt`; `tau` in the same unit. Raises
    `ConfigError`."""
    return math.exp(-require_number("dt", dt, above=0.0) / require_number("tau", tau, above=0.0))


def mark_spikes(trace: Tensor, spikes: Tensor, saturate: bool) -> Tensor:
    """Return `trace` with `spikes` (of its shape) added: set to 1 with `saturate`, else increased by 1."""
    if saturate:
        return trace + (1 - trace) * spikes
    return trace + spikes


def update_trace(trace: Tensor, spikes: Tensor, decay: float, *, saturate: bool = True) -> Tensor:
    """Return `trace` after one step: decayed by `decay` (see `trace_decay`), then marked by `spikes`."""
    return mark_spikes(trace * decay, spikes, saturate)


# -- the two sides of a synapse -------------------------------------------------------------------------------


def at_inputs(pre: Tensor, post_side: Tensor) -> Tensor:
    """Return [..., O, I]: `post_side` [..., O] in the columns whose input spikes in `pre` [..., I], else 0."""
    return post_side.unsqueeze(-1) * pre.unsqueeze(-2)


def at_neurons(post: Tensor, pre_side: Tensor) -> Tensor:
    """Return [..., O, I]: `pre_side` [..., I] in the rows whose neuron spikes in `post` [..., O], else 0."""
    return post.unsqueeze(-1) * pre_side.unsqueeze(-2)


# -- pairs and triplets ---------------------------------------------------------------------------------------


def pair_change(pre: Tensor, post: Tensor, x_pre: Tensor, x_post: Tensor, a_plus: float, a_minus: float) -> Tensor:
    """Return the pair rule's change: +a_plus x_pre at neurons that spike, -a_minus x_post at inputs that spike.

    `x_pre` includes this step's spikes, `x_post` does not. With saturating traces this is post-pre learning over
    nearest neighbours, with growing ones the sum over all pairs.
    """
    return at_neurons(post, a_plus * x_pre) - at_inputs(pre, a_minus * x_post)


def triplet_change(
    pre: Tensor,
    post: Tensor,
    fast: tuple[Tensor, Tensor],
    slow: tuple[Tensor, Tensor],
    plus: tuple[float, float],
    minus: tuple[float, float],
) -> Tensor:
    """Return the triplet rule's change; each tuple is (inputs', neurons') or (pair term A2, triplet term A3).

    `fast` = (r1, o1) and `slow` = (r2, o2) of Pfister and Gerstner, equations 3 and 4: r1 with this step's spikes,
    o1, r2 and o2 before them. Diehl and Cook's rule is `plus=(0, 1e-2)`, `minus=(1e-4, 0)` over saturating traces.
    """
    (r1, o1), (r2, o2) = fast, slow
    up = at_neurons(post * (plus[0] + plus[1] * o2), r1)
    down = at_inputs(pre * (minus[0] + minus[1] * r2), o1)
    return up - down


# -- weight-dependent rules of Diehl and Cook ------------------------------------------------------------------


def power_law_change(
    weight: Tensor, post: Tensor, x_pre: Tensor, rate: float, target: float, w_max: float = 1.0, mu: float = 0.2
) -> Tensor:
    """Return rate (x_pre - target) (w_max - w)^mu at neurons that spike: recently silent inputs lose weight.

    `weight` [O, I] at most `w_max`; `target` is the trace without a change.
    """
    room = (w_max - weight).clamp(min=0.0).pow(mu)
    return at_neurons(post, rate * (x_pre - target)) * room


def exponential_change(
    weight: Tensor, post: Tensor, x_pre: Tensor, rate: float, target: float, w_max: float = 1.0, beta: float = 1.0
) -> Tensor:
    """Return rate (x_pre e^(-beta w) - target e^(-beta (w_max - w))) at neurons that spike."""
    up = x_pre.unsqueeze(-2) * torch.exp(-beta * weight)
    return rate * post.unsqueeze(-1) * (up - target * torch.exp(-beta * (w_max - weight)))


def symmetric_change(
    weight: Tensor,
    pre: Tensor,
    post: Tensor,
    x_pre: Tensor,
    x_post: Tensor,
    pre_rate: float,
    rate: float,
    target: float,
    w_max: float = 1.0,
    mu: float = 0.2,
) -> Tensor:
    """Return the pre-and-post rule's change: the power law at neurons, -pre_rate x_post w^mu at inputs that spike."""
    down = at_inputs(pre, pre_rate * x_post) * weight.clamp(min=0.0).pow(mu)
    return power_law_change(weight, post, x_pre, rate, target, w_max, mu) - down


# -- order of first spikes, reward ----------------------------------------------------------------------------


def order_change(
    weight: Tensor, not_later: Tensor, a_plus: float, a_minus: float, bounds: tuple[float, float] | None = (0.0, 1.0)
) -> Tensor:
    """Return a_plus where `not_later` (the input fired, and not after the neuron), else a_minus, for every synapse.

    `a_minus` is below 0. Multiplied by the stabiliser (w - low) (high - w) unless `bounds` is None. For punishment use
    opposite signs (Mozafari et al., Pattern Recognition 94 (2019) 87-95).
    """
    change = torch.where(not_later, a_plus, a_minus).to(weight.dtype)
    if bounds is None:
        return change
    low, high = bounds
    return change * (weight - low) * (high - weight)


def eligibility(pre: Tensor, post: Tensor, p_plus: Tensor, p_minus: Tensor) -> Tensor:
    """Return Florian's zeta [..., O, I] = P+ at neurons that spike + P- at inputs that spike.

    P+ [..., I] are growing traces of the inputs times A+, P- [..., O] those of the neurons times A- (below 0).
    """
    return at_neurons(post, p_plus) + at_inputs(pre, p_minus)


def update_eligibility(z: Tensor, zeta: Tensor, decay: float, tau: float) -> Tensor:
    """Return the eligibility trace after one step: decay z + zeta / tau (Florian 2007, MSTDPET); `tau` in steps."""
    return z * decay + zeta / tau
