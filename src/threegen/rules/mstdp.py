"""MSTDP: spike timing makes synapses eligible, a reward sets the sign and size of their change.

    zeta[o, i](t) = P+[i] o[t] + P-[o] x[t]           P+ = a_plus trace of the input, P- = -a_minus trace of the neuron
    dw[o, i](t)   = rate r(t) zeta[o, i](t)           r(t): the reward that follows step t

Traces sum over all spikes. The reward applies only to the pairs of the same step; for later rewards see MSTDPET.

Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic plasticity", Neural
Computation 19 (2007) 1468-1502: 20 ms each, a_plus = a_minus = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from threegen.checks import require_labels, require_number
from threegen.errors import ConfigError, DataError
from threegen.functional.plasticity.plasticity import eligibility
from threegen.rules.reward import Critic
from threegen.rules.rule import NO_NEURON_HAS_FIRED
from threegen.rules.spike_timing import SpikeTimingRule, SpikingLayer, Trace


@dataclass(slots=True)
class RewardedMemory:
    """The state within one stimulus: traces, eligibility [O, I], spikes and reward so far, the label."""

    of_inputs: Trace
    of_neurons: Trace
    eligibility: Tensor
    target: Tensor
    reward: Tensor  # the sum of the rewards, 0-d
    spikes: list[Tensor] = field(default_factory=list)


class MSTDP(SpikeTimingRule):
    """Train a spiking layer by reward: `critic(spikes so far, label)` returns it after every step (see `rules.reward`).

    rate in units of weight, tau_plus and tau_minus in ms. Figures: `spikes` and `reward`, sums of the stimulus so far.
    Raises `ConfigError` for settings out of range and for a critic whose first reward comes after the stimulus has
    ended, `DataError` if there are no labels for the critic, or one of a class that it does not know.
    """

    uses_labels = True
    signs_of_life: ClassVar[Mapping[str, str]] = {
        "spikes": NO_NEURON_HAS_FIRED,
        "reward": "no reward was given; check that the critic returns values other than 0 for these spikes and labels",
    }

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
            raise DataError(f"{type(self).__name__} needs one label [B] per stimulus for its critic")
        neurons, inputs = layer.weight.shape
        return RewardedMemory(
            Trace.of(layer.weight, inputs, self.tau_plus, layer.dt, saturate=False),
            Trace.of(layer.weight, neurons, self.tau_minus, layer.dt, saturate=False),
            layer.weight.new_zeros(neurons, inputs),
            target,
            layer.weight.new_zeros(()),
        )

    def require_stimuli(self, trains: Tensor, targets: Tensor | None) -> None:
        """Raise `DataError` for a label that the critic does not know, `ConfigError` for rewards that come too late."""
        classes, first = getattr(self.critic, "classes", None), getattr(self.critic, "first_reward", 0)
        if isinstance(classes, int) and targets is not None and targets.dim() == 1:
            require_labels(targets, classes)
        if first >= len(trains):
            raise ConfigError(
                f"the first reward of {type(self.critic).__name__} follows step {first} (counted from 0), and the "
                f"stimuli end after {len(trains)} steps: nothing would be learned; give the reward earlier or present "
                f"the stimuli longer"
            )

    def figures(self, memory: RewardedMemory, spikes: Tensor) -> dict[str, Tensor]:
        """Return the neurons' spikes and the sum of the rewards in the stimulus so far."""
        return {"spikes": spikes, "reward": memory.reward}

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
        memory.reward = memory.reward + reward
        return self.rate * reward * memory.eligibility

    def eligible(self, before: Tensor, zeta: Tensor) -> Tensor:
        """Return what the reward acts on: here the pairs of this step."""
        return zeta
