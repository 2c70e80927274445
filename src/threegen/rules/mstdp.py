"""MSTDP: spike timing says which synapses took part, a reward says whether that was good.

    zeta[o, i](t) = P+[i] o[t] + P-[o] x[t]           P+ = a_plus trace of the input, P- = -a_minus trace of the neuron
    dw[o, i](t)   = rate r(t) zeta[o, i](t)           r(t): the reward that follows step t

Traces sum over all spikes. The reward counts for the pairs of the same step only: where it comes later, see MSTDPET.

Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic plasticity", Neural
Computation 19 (2007) 1468-1502: 20 ms each, a_plus = a_minus = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from threegen.checks import require_number
from threegen.errors import ConfigError, DataError
from threegen.functional.plasticity.plasticity import eligibility
from threegen.rules.reward import Critic
from threegen.rules.spike_timing import SpikeTimingRule, SpikingLayer, Trace


@dataclass(slots=True)
class RewardedMemory:
    """What happens within one stimulus: traces, eligibility [O, I], all spikes so far, and what is to be answered."""

    of_inputs: Trace
    of_neurons: Trace
    eligibility: Tensor
    target: Tensor
    spikes: list[Tensor] = field(default_factory=list)


class MSTDP(SpikeTimingRule):
    """Train a spiking layer by reward: `critic(spikes so far, label)` gives it after every step (see `rules.reward`).

    rate in units of weight, tau_plus and tau_minus in ms. Raises `ConfigError` for settings out of range, `DataError`
    where there are no labels for the critic to judge by.
    """

    uses_labels = True

    def __init__(
        self,
        critic: Critic,
        rate: float = 1e-2,
        *,
        a_plus: float = 1.0,
        a_minus: float = 1.0,
        tau_plus: float = 20.0,
        tau_minus: float = 20.0,
    ) -> None:
        if not callable(critic):
            raise ConfigError(f"critic must be callable as critic(spikes, target), got {critic!r}")
        self.critic = critic
        self.rate = require_number("rate", rate, least=0.0)
        self.a_plus, self.a_minus = (
            require_number("a_plus", a_plus, least=0.0),
            require_number("a_minus", a_minus, least=0.0),
        )
        self.tau_plus = require_number("tau_plus", tau_plus, above=0.0)
        self.tau_minus = require_number("tau_minus", tau_minus, above=0.0)

    def start(self, layer: SpikingLayer, target: Tensor | None) -> RewardedMemory:
        """Return traces at 0 and the label of the stimulus."""
        if target is None or target.dim():
            raise DataError(f"{type(self).__name__} needs one label [B] a stimulus for its critic to judge by")
        neurons, inputs = layer.weight.shape
        return RewardedMemory(
            Trace.of(layer.weight, inputs, self.tau_plus, layer.dt, saturate=False),
            Trace.of(layer.weight, neurons, self.tau_minus, layer.dt, saturate=False),
            layer.weight.new_zeros(neurons, inputs),
            target,
        )

    def change(self, memory: RewardedMemory, weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        x, y = memory.of_inputs, memory.of_neurons
        x.fade()
        y.fade()
        x.mark(pre)
        zeta = eligibility(pre, post, self.a_plus * x.values, -self.a_minus * y.values)
        memory.eligibility = self.eligible(memory.eligibility, zeta)
        y.mark(post)
        memory.spikes.append(post)
        reward = self.critic(torch.stack(memory.spikes), memory.target)
        return self.rate * reward * memory.eligibility

    def eligible(self, before: Tensor, zeta: Tensor) -> Tensor:
        """Return what the reward acts on: here the pairs of this step."""
        return zeta
