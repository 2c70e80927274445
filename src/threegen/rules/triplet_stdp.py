"""Triplet STDP: the effect of a pair of spikes depends on the previous spike of the same side.

    at a spike of the input    w -= o1 (a2_minus + a3_minus r2)
    at a spike of the neuron   w += r1 (a2_plus  + a3_plus  o2)

r1, r2 are traces of the input (tau_plus, tau_x), o1, o2 of the neuron (tau_minus, tau_y); r2 and o2 have their values
just before the spike. So higher firing rates give more potentiation, which pairs alone cannot model.

Pfister and Gerstner, "Triplets of spikes in a model of spike timing-dependent plasticity", J. Neuroscience 26 (2006)
9673-9682, equations 3 and 4. Defaults: the rule of Diehl and Cook's published script for digits (2015), which keeps
only one triplet term and one pair term and whose traces are set to 1 by a spike.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_number
from threegen.functional.plasticity.plasticity import triplet_change
from threegen.rules.spike_timing import PairwiseRule, SpikingLayer, Trace

Traces = tuple[Trace, Trace, Trace, Trace]


class TripletSTDP(PairwiseRule):
    """Train a spiking layer by pairs and triplets of spikes; time constants in ms, rates in units of weight.

    `saturate=True` lets only the last spike of each side count (nearest neighbours), False all. `visual_cortex` builds
    the rule with constants fitted to measurements. `backend`: see `PairwiseRule`. Raises `ConfigError` for rates below
    0 and time constants that are not above 0.
    """

    def __init__(
        self,
        a2_plus: float = 0.0,
        a3_plus: float = 1e-2,
        a2_minus: float = 1e-4,
        a3_minus: float = 0.0,
        *,
        tau_plus: float = 20.0,
        tau_minus: float = 20.0,
        tau_x: float = 40.0,
        tau_y: float = 40.0,
        saturate: bool = True,
        backend: str = "auto",
    ) -> None:
        rates = {"a2_plus": a2_plus, "a3_plus": a3_plus, "a2_minus": a2_minus, "a3_minus": a3_minus}
        taus = {"tau_plus": tau_plus, "tau_minus": tau_minus, "tau_x": tau_x, "tau_y": tau_y}
        checked = [require_number(name, rate, least=0.0) for name, rate in rates.items()]
        self.plus, self.minus = (checked[0], checked[1]), (checked[2], checked[3])
        times = [require_number(name, tau, above=0.0) for name, tau in taus.items()]
        self.taus = (times[0], times[1], times[2], times[3])
        self.saturate = bool(saturate)
        self._settle(backend)

    @classmethod
    def visual_cortex(cls, scale: float = 1.0, backend: str = "auto") -> TripletSTDP:
        """Return Pfister and Gerstner's minimal all-to-all model of visual cortex, rates times `scale`."""
        require_number("scale", scale, above=0.0)
        return cls(
            0.0,
            6.5e-3 * scale,
            7.1e-3 * scale,
            0.0,
            tau_plus=16.8,
            tau_minus=33.7,
            tau_y=114.0,
            saturate=False,
            backend=backend,
        )

    def start(self, layer: SpikingLayer, target: Tensor | None) -> Traces:
        """Return r1, o1, r2 and o2, at 0."""
        neurons, inputs = layer.weight.shape
        r1, o1, r2, o2 = (
            Trace.of(layer.weight, units, tau, layer.dt, self.saturate)
            for units, tau in zip((inputs, neurons, inputs, neurons), self.taus, strict=True)
        )
        return r1, o1, r2, o2

    def change(self, memory: Traces, weight: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Return dW [O, I] of one step."""
        for trace in memory:
            trace.fade()
        r1, o1, r2, o2 = memory
        r1.mark(pre)
        fast, slow = (r1.values, o1.values), (r2.values, o2.values)
        dw = triplet_change(pre, post, fast, slow, self.plus, self.minus)
        r2.mark(pre)
        o1.mark(post)
        o2.mark(post)
        return dw
