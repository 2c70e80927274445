"""Exponential STDP: only the neuron's spikes change weights; large weights grow slowly and shrink quickly.

    at a spike of the neuron   w += rate (x e^(-beta w) - target e^(-beta (w_max - w)))

x is the trace of the input, set to 1 by a spike.

Diehl and Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity", Frontiers in
Computational Neuroscience 9:99 (2015), section 2.3; defaults are the constants left in the authors' published script.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity.plasticity import exponential_change
from threegen.rules.spike_timing import NeuronTimedRule


class ExponentialSTDP(NeuronTimedRule):
    """Train a spiking layer at its neurons' spikes, with exponential dependence on the weight.

    rate in units of weight, target a trace (0..1), beta how strong the dependence is, tau in ms. Raises `ConfigError`.
    """

    def __init__(
        self, rate: float = 1e-2, *, target: float = 0.4, beta: float = 1.0, w_max: float = 1.0, tau: float = 20.0
    ) -> None:
        super().__init__(rate, target, w_max, tau)
        self.beta = require_number("beta", beta, least=0.0)

    def at_spikes(self, weight: Tensor, post: Tensor, x: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        return exponential_change(weight, post, x, self.rate, self.target, self.w_max, self.beta)
