"""Exponential STDP: only the neuron's spikes change weights; large weights grow slowly and shrink fast.

    at a spike of the neuron   w += rate (x e^(-beta w) - target e^(-beta (w_max - w)))

x is the trace of the input, set to 1 by a spike.

Diehl and Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity", Frontiers in
Computational Neuroscience 9:99 (2015), section 2.3; defaults are the constants left in the authors' published script.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity import exponential_change
from threegen.rules.spike_timing import SpikeTimingRule, SpikingLayer, Trace


class ExponentialSTDP(SpikeTimingRule):
    """Train a spiking layer at its neurons' spikes, with exponential dependence on the weight.

    rate in units of weight, target a trace (0..1), beta how strong the dependence is, tau in ms. Raises `ConfigError`.
    """

    def __init__(
        self, rate: float = 1e-2, *, target: float = 0.4, beta: float = 1.0, w_max: float = 1.0, tau: float = 20.0
    ) -> None:
        self.rate = require_number("rate", rate, least=0.0)
        self.target = require_number("target", target, least=0.0, most=1.0)
        self.beta = require_number("beta", beta, least=0.0)
        self.w_max = require_number("w_max", w_max, above=0.0)
        self.tau = require_number("tau", tau, above=0.0)

    def start(self, layer: SpikingLayer, target: Tensor | None) -> Trace:
        """Return the inputs' trace, at 0."""
        return Trace.of(layer.weight, layer.weight.shape[1], self.tau, layer.dt, saturate=True)

    def change(self, memory: Trace, weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        memory.fade()
        memory.mark(pre)
        return exponential_change(weight, post, memory.values, self.rate, self.target, self.w_max, self.beta)
