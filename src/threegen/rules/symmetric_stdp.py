"""Symmetric ("pre-and-post") STDP: the power law at the neuron's spikes, depression at the input's.

    at a spike of the input    w -= pre_rate y w^mu
    at a spike of the neuron   w += rate (x - target) (w_max - w)^mu

x is the trace of the input, y that of the neuron, both set to 1 by a spike.

Diehl and Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity", Frontiers in
Computational Neuroscience 9:99 (2015), section 2.3; defaults are the constants left in the authors' published script.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity.plasticity import symmetric_change
from threegen.rules.spike_timing import NeuronTimedRule, SpikingLayer, Trace


class SymmetricSTDP(NeuronTimedRule):
    """Train a spiking layer at the spikes of both sides.

    pre_rate (at an input's spike) and rate (at a neuron's) in units of weight, target a trace (0..1), w_max the largest
    weight (the layer's), tau in ms. Raises `ConfigError`.
    """

    def __init__(
        self,
        pre_rate: float = 1e-4,
        rate: float = 1e-2,
        *,
        target: float = 0.4,
        mu: float = 0.2,
        w_max: float = 1.0,
        tau: float = 20.0,
    ) -> None:
        super().__init__(rate, target, w_max, tau)
        self.pre_rate = require_number("pre_rate", pre_rate, least=0.0)
        self.mu = require_number("mu", mu, least=0.0)

    def start(self, layer: SpikingLayer, target: Tensor | None) -> tuple[Trace, Trace]:
        """Return the traces of inputs and neurons, at 0."""
        neurons, inputs = layer.weight.shape
        return (
            Trace.of(layer.weight, inputs, self.tau, layer.dt, saturate=True),
            Trace.of(layer.weight, neurons, self.tau, layer.dt, saturate=True),
        )

    def change(self, memory: tuple[Trace, Trace], weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        x, y = memory
        x.fade()
        y.fade()
        x.mark(pre)
        dw = symmetric_change(
            weight, pre, post, x.values, y.values, self.pre_rate, self.rate, self.target, self.w_max, self.mu
        )
        y.mark(post)
        return dw
