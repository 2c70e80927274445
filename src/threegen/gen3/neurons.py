"""Spiking neurons as modules: thin shells over `functional.neurons`, which has the equations.

    u[t] = decay * u[t-1] * (1 - o[t-1]) + I[t]           o[t] = 1 where u[t] >= threshold, else 0

Wu et al., "Spatio-temporal backpropagation for training high-performance spiking neural networks", Frontiers in
Neuroscience 12:331 (2018). A neuron module is `(input, state) -> (spikes, state)` and keeps no state of its own.
"""

from __future__ import annotations

from torch import Tensor, nn

from threegen.functional.fused_neurons import can_fuse, fused_lif
from threegen.functional.neurons import LIFParameters, NeuronState, check_currents, lif


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons, run over all time steps at once.

    `decay` in 0..1 is the share of the potential that is left after one step, `threshold` above 0 where it fires.
    `reset` is "hard" (to zero) or "soft" (the threshold is subtracted). `surrogate` is one of rectangular, triangular,
    arctan, sigmoid, superspike, with height 1/`surrogate_width` and area 1. `detach_reset=True` stops the gradient
    through the reset. Raises `ConfigError`.
    """

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 0.5,
        reset: str = "hard",
        surrogate: str = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
    ) -> None:
        super().__init__()
        self.constants = LIFParameters(decay, threshold, reset, surrogate, surrogate_width, detach_reset)

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, ...] and the state after the last step, from the summed input `currents` [T, B, ...].

        `state=None` starts from rest. A list given as `trace` receives the potentials [T, B, ...] before the reset.
        Raises `ShapeError` for input without a time axis, or a state of another batch or layer.
        """
        check_currents(currents)
        run = fused_lif if can_fuse(currents) else lif
        spikes, potentials = run(currents, state, self.constants)
        if trace is not None:
            trace.append(potentials)
        return spikes, NeuronState(potentials[-1], spikes[-1])

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        own = self.constants
        return f"decay={own.decay}, threshold={own.threshold}, reset={own.reset}, surrogate={own.surrogate}"
