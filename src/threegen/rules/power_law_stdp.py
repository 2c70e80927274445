"""Power-law STDP: only the neuron's spikes change weights, by a power of the distance to the bound.

    at a spike of the neuron   w += rate (x - target) (w_max - w)^mu

x is the trace of the input, set to 1 by a spike. Inputs that were silent before the neuron's spike have x < target and
lose weight: depression does not need their spikes. The larger `target`, the fewer inputs a neuron keeps.

Diehl and Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity", Frontiers in
Computational Neuroscience 9:99 (2015), section 2.3; defaults are the constants left in the authors' published script.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity.plasticity import power_law_change
from threegen.rules.spike_timing import NeuronTimedRule


class PowerLawSTDP(NeuronTimedRule):
    """Train a spiking layer at its neurons' spikes, by a power of the weight's distance to its bound.

    rate in units of weight, target a trace (0..1), w_max the largest weight (the layer's), tau in ms.
    Raises `ConfigError`.
    """

    def __init__(
        self, rate: float = 1e-2, *, target: float = 0.4, mu: float = 0.2, w_max: float = 1.0, tau: float = 20.0
    ) -> None:
        super().__init__(rate, target, w_max, tau)
        self.mu = require_number("mu", mu, least=0.0)

    def at_spikes(self, weight: Tensor, post: Tensor, x: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        return power_law_change(weight, post, x, self.rate, self.target, self.w_max, self.mu)
