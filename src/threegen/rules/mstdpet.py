"""MSTDPET: MSTDP with an eligibility trace, so that a reward may come later than the spikes that it refers to.

    z(t)  = z(t-1) e^(-dt/tau_z) + zeta(t) dt/tau_z           zeta: the pairs of step t, as in MSTDP
    dw(t) = rate r(t) z(t)                                    r(t): the reward that follows step t

Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic plasticity", Neural
Computation 19 (2007) 1468-1502: tau_z = 25 ms. The trace starts each stimulus at 0.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity.plasticity import trace_decay, update_eligibility
from threegen.rules.mstdp import MSTDP, RewardedMemory
from threegen.rules.reward import Critic
from threegen.rules.spike_timing import SpikingLayer


class MSTDPET(MSTDP):
    """Train a spiking layer by reward that may be delayed, by about `tau_z` (ms). Otherwise as `MSTDP`."""

    def __init__(
        self,
        critic: Critic,
        rate: float = 1e-1,
        *,
        tau_z: float = 25.0,
        a_plus: float = 1.0,
        a_minus: float = 1.0,
        tau_plus: float = 20.0,
        tau_minus: float = 20.0,
    ) -> None:
        super().__init__(critic, rate, a_plus=a_plus, a_minus=a_minus, tau_plus=tau_plus, tau_minus=tau_minus)
        self.tau_z = require_number("tau_z", tau_z, above=0.0)
        self._steps = self.tau_z  # tau_z in steps of the layer, set when a stimulus starts

    def start(self, layer: SpikingLayer, target: Tensor | None) -> RewardedMemory:
        """Return traces at 0 and the label of the stimulus."""
        self._steps = self.tau_z / layer.dt
        return super().start(layer, target)

    def eligible(self, before: Tensor, zeta: Tensor) -> Tensor:
        """Return the eligibility trace after this step's pairs."""
        return update_eligibility(before, zeta, trace_decay(self._steps), self._steps)
