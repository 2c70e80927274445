"""A neuron with two states, the synaptic current i and the membrane potential u: current-based LIF.

    i[t] = alpha i[t-1] + c[t]
    u[t] = beta v[t-1] + i[t]           o[t] = 1 where u[t] >= threshold, else 0

c is the summed input W x + b, v the potential after a reset, alpha = exp(-1 / tau_syn) and beta = exp(-1 / tau_mem).
Neftci, Mostafa and Zenke, "Surrogate gradient learning in spiking neural networks", IEEE Signal Processing Magazine 36
(2019). There i[t] acts on u[t+1]; here, like an input of `LIF`, within the same step. With alpha = 0 it is `LIF`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from threegen.functional.spiking.neurons import NeuronState, check_currents
from threegen.functional.spiking.synaptic import synaptic_currents
from threegen.gen3.initial_values import input_gain, response_energy
from threegen.gen3.neurons import LIF
from threegen.gen3.parts import Cost, Use, nonzero
from threegen.gen3.per_neuron import Values, as_parameters, decay_of, logits, require_fit


class SynapticLIF(LIF):
    """A layer of leaky integrate-and-fire neurons whose input charges a synaptic current, run over all steps at once.

    `synaptic_decay` in 0..1 (default 0.5) is alpha, the share of the current that remains after one step, or
    `synaptic_tau`, given instead, the time constant in steps: alpha = exp(-1 / synaptic_tau). One number, or a tensor
    with one per neuron; `learnable_synaptic_decay=True` trains it as the sigmoid of `synaptic_leak`. The other options
    are those of `LIF` except recurrent weights; `decay` is beta. Raises `ConfigError`.

        SynapticLIF(tau=10.0, synaptic_tau=5.0)
    """

    synaptic_leak: nn.Parameter | None

    def __init__(
        self,
        decay: Values | None = None,
        synaptic_decay: Values | None = None,
        threshold: Values = 0.5,
        reset: str = "hard",
        surrogate: str | Callable[[Tensor, float], Tensor] = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
        *,
        tau: Values | None = None,
        synaptic_tau: Values | None = None,
        learnable_decay: bool = False,
        learnable_synaptic_decay: bool = False,
        learnable_threshold: bool = False,
        rest: float = 0.0,
        reset_to: float = 0.0,
        kernel: Sequence[float] = (1.0,),
        refractory: int = 0,
        adaptation: float = 0.0,
        adaptation_decay: float = 0.9,
    ) -> None:
        super().__init__(
            decay,
            threshold,
            reset,
            surrogate,
            surrogate_width,
            detach_reset,
            tau=tau,
            learnable_decay=learnable_decay,
            learnable_threshold=learnable_threshold,
            rest=rest,
            reset_to=reset_to,
            kernel=kernel,
            refractory=refractory,
            adaptation=adaptation,
            adaptation_decay=adaptation_decay,
        )
        self.synaptic_constant, shares = decay_of(synaptic_decay, synaptic_tau, "synaptic_decay")
        self._synaptic_shape = () if shares is None else tuple(shares.shape)
        learnt = learnable_synaptic_decay
        free = logits("synaptic_decay", self.synaptic_constant, shares) if learnt else None
        self.synaptic_leak, self.synaptic_decays = as_parameters(free, None if learnt else shares)

    @property
    def synaptic_decay(self) -> Tensor | None:
        """The learned decay of the current, or the decays of single neurons; None if it is one constant."""
        if self.synaptic_leak is not None:
            return torch.sigmoid(self.synaptic_leak).view(self._synaptic_shape)
        return None if self.synaptic_decays is None else self.synaptic_decays.view(self._synaptic_shape)

    @property
    def alpha(self) -> Tensor:
        """The decay of the synaptic current, [] or one for each neuron."""
        own = self.synaptic_decay
        return torch.tensor(self.synaptic_constant) if own is None else own

    @property
    def beta(self) -> Tensor:
        """The decay of the membrane potential, [] or one for each neuron."""
        own = self.decay
        return torch.tensor(self.constants.decay) if own is None else own

    @property
    def uniform(self) -> bool:
        """Whether all neurons of the layer have equal constants, and none is learned."""
        return super().uniform and self.synaptic_leak is self.synaptic_decays is None

    @property
    def iterative(self) -> bool:
        """Always false: the kernels of whole nets support only one state."""
        return False

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, ...] and the state after the last step, from the summed input `currents` [T, B, ...].

        The state's `current` is i after the last step. The rest is that of `LIF`.
        """
        check_currents(currents)
        own = self.synaptic_decay
        require_fit("synaptic_decay", own, currents)
        flowing = synaptic_currents(
            currents, None if state is None else state.current, self.synaptic_constant if own is None else own
        )
        spikes, after = super().forward(flowing, state, trace)
        return spikes, after._replace(current=flowing[-1])

    def project(self) -> None:
        """Clamp fixed decays and thresholds of single neurons, which the user may have unfrozen, to their range."""
        super().project()
        with torch.no_grad():
            if self.synaptic_decays is not None and self.synaptic_decays.requires_grad:
                self.synaptic_decays.clamp_(0.0, 1.0)

    def gain(self, init: str, gain: float, steps: int) -> float:
        """Return the fluctuation of the summed input, in thresholds, with which the current fluctuates by `gain`."""
        alpha, kernel = self.synaptic_constant, self.options.kernel
        if init == "input":
            return gain / math.sqrt(response_energy(alpha, (1.0,), steps))
        answer, level = [], 0.0
        for t in range(steps):
            level = alpha * level + (kernel[t] if t < len(kernel) else 0.0)
            answer.append(level)
        return input_gain(init, gain, self.constants.decay, answer, steps)

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: that of `LIF`, and for the current one more state, leak and integration a step."""
        own = super().cost(use)
        spikes = use.output[0]
        alpha = self.alpha.detach()
        every = alpha.broadcast_to(spikes.shape[2:]) if alpha.dim() else alpha.expand(1)
        each = spikes.numel() // every.numel()
        price = dict(own.operations)
        price["leak"] += each * nonzero((every > 0.0) & (every < 1.0))
        price["integrate"] += each * nonzero(every > 0.0)
        return replace(own, operations=price, states=own.states + 1)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        own: object = self.synaptic_constant
        if self._synaptic_shape:
            own = f"{list(self._synaptic_shape)} values, mean {self.synaptic_constant:.3g}"
        if self.synaptic_leak is not None:
            own = "learnable"
        return f"synaptic_decay={own}, {super().extra_repr()}"
