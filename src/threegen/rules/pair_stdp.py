"""Pair STDP, additive, over all pairs: an input that fires before the neuron is strengthened, one that fires after it
is weakened.

    dw = +a_plus  e^(-(t_post - t_pre)/tau_plus)     for every pair with t_pre <= t_post
    dw = -a_minus e^(-(t_pre - t_post)/tau_minus)    for every pair with t_pre >  t_post

Song, Miller and Abbott, "Competitive Hebbian learning through spike-timing-dependent synaptic plasticity", Nature
Neuroscience 3 (2000) 919-926: a_plus = .005 and a_minus = 1.05 a_plus of the largest weight, 20 ms each.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity.plasticity import pair_change
from threegen.rules.spike_timing import PairwiseRule, SpikingLayer, Trace


class PairSTDP(PairwiseRule):
    """Train a spiking layer by all pairs of spikes; time constants in ms, rates in units of weight.

    `backend`: see `PairwiseRule`. Raises `ConfigError` for rates below 0 and time constants that are not above 0.
    """

    saturate = False

    def __init__(
        self,
        a_plus: float = 0.005,
        a_minus: float = 0.00525,
        *,
        tau_plus: float = 20.0,
        tau_minus: float = 20.0,
        backend: str = "auto",
    ) -> None:
        self.plus = (require_number("a_plus", a_plus, least=0.0), 0.0)
        self.minus = (require_number("a_minus", a_minus, least=0.0), 0.0)
        self.taus = (
            require_number("tau_plus", tau_plus, above=0.0),
            require_number("tau_minus", tau_minus, above=0.0),
            1.0,  # the slow traces are not used
            1.0,
        )
        self._settle(backend)

    def start(self, layer: SpikingLayer, target: Tensor | None) -> tuple[Trace, Trace]:
        """Return the traces of inputs and neurons, at 0."""
        neurons, inputs = layer.weight.shape
        return (
            Trace.of(layer.weight, inputs, self.taus[0], layer.dt, self.saturate),
            Trace.of(layer.weight, neurons, self.taus[1], layer.dt, self.saturate),
        )

    def change(self, memory: tuple[Trace, Trace], weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        of_inputs, of_neurons = memory
        of_inputs.fade()
        of_neurons.fade()
        of_inputs.mark(pre)
        dw = pair_change(pre, post, of_inputs.values, of_neurons.values, self.plus[0], self.minus[0])
        of_neurons.mark(post)
        return dw
