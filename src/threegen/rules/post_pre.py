"""Post-pre STDP: nearest-neighbour pairs, with a separate rate for each side.

    at a spike of the input    w -= pre_rate  e^(-(t - last spike of the neuron)/tau_post)
    at a spike of the neuron   w += post_rate e^(-(t - last spike of the input)/tau_pre)

Traces are set to 1 by a spike, so that only the last one counts: the symmetric nearest-neighbour scheme of Morrison,
Diesmann and Gerstner, "Phenomenological models of synaptic plasticity based on spike timing", Biological Cybernetics 98
(2008) 459-478.
"""

from __future__ import annotations

from threegen.rules.pair_stdp import PairSTDP


class PostPre(PairSTDP):
    """Train a spiking layer by nearest pairs of spikes; time constants in ms, rates in units of weight.

    `backend`: see `PairwiseRule`. Raises `ConfigError` for rates below 0 and time constants that are not above 0.
    """

    saturate = True

    def __init__(
        self,
        pre_rate: float = 1e-4,
        post_rate: float = 1e-2,
        *,
        tau_pre: float = 20.0,
        tau_post: float = 20.0,
        backend: str = "auto",
    ) -> None:
        super().__init__(post_rate, pre_rate, tau_plus=tau_pre, tau_minus=tau_post, backend=backend)
