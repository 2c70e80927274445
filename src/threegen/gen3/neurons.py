"""Spiking neurons as modules: thin shells over `functional.neurons` and `functional.general_neurons`, which have the
equations; docs/the-neuron.md tells them at length.

    u[t] = decay * u[t-1] * (1 - o[t-1]) + I[t]           o[t] = 1 where u[t] >= threshold, else 0

Wu et al., "Spatio-temporal backpropagation for training high-performance spiking neural networks", Frontiers in
Neuroscience 12:331 (2018). A neuron module is `(input, state) -> (spikes, state)` and keeps no state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_number, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.general_neurons import GeneralOptions, general_loop
from threegen.functional.spiking.general_neurons_fused import fused_general
from threegen.functional.spiking.learned_decay_fused import fused_decay_lif
from threegen.functional.spiking.neurons import LIFParameters, NeuronState, check_currents, lif
from threegen.functional.spiking.neurons_fused import can_fuse, fused_lif
from threegen.gen3.parts import NEURONS, Cost, Use, nonzero

DECAY = 0.5
# Recurrent weights start so small that a layer firing at 15 % adds this many thresholds of noise to its own input.
RECURRENT_GAIN, RECURRENT_RATE = 0.2, 0.15


class NeuronOptions(TypedDict, total=False):
    """The neuron options that nets hand on to every layer; see `LIF`, which has them all but `neuron`.

    `neuron` is "lif" (the default) or "if", the integrate-and-fire neuron without leak.
    """

    neuron: str
    decay: float | None
    threshold: float
    reset: str
    surrogate: str | Callable[[Tensor, float], Tensor]
    surrogate_width: float
    detach_reset: bool
    tau: float | None
    learnable_decay: bool
    rest: float
    reset_to: float
    kernel: Sequence[float]
    refractory: int
    adaptation: float
    adaptation_decay: float


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons, run over all time steps at once.

    `decay` in 0..1 (default 0.5) is the share of the potential that is left after one step; `tau`, in its place, is the
    time constant in steps: decay = exp(-1 / tau). `learnable_decay=True` trains it, one number a layer, kept within
    0..1 as the sigmoid of `leak` (Fang et al. 2021). `threshold` above 0 is where it fires, `reset` "hard" (to
    `reset_to`) or "soft" (the way from `reset_to` to the threshold is subtracted). `surrogate` is one of rectangular,
    triangular, arctan, sigmoid, superspike, with height 1/`surrogate_width` and area 1, or your own function
    of (u - threshold, width) that returns the derivative. `detach_reset=True` stops the
    gradient through the reset. `rest`, `reset_to`, `kernel`, `refractory`, `adaptation` and `adaptation_decay` are
    those of `GeneralOptions`. `recurrent` is the number of neurons of a layer whose spikes come back to it one step
    later over weights of their own (0: none), drawn from `generator`. Raises `ConfigError`.
    """

    part = NEURONS
    leak: nn.Parameter | None
    recurrent_weight: nn.Parameter | None

    def __init__(
        self,
        decay: float | None = None,
        threshold: float = 0.5,
        reset: str = "hard",
        surrogate: str | Callable[[Tensor, float], Tensor] = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
        *,
        tau: float | None = None,
        learnable_decay: bool = False,
        rest: float = 0.0,
        reset_to: float = 0.0,
        kernel: Sequence[float] = (1.0,),
        refractory: int = 0,
        adaptation: float = 0.0,
        adaptation_decay: float = 0.9,
        recurrent: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        share = decay_of(decay, tau)
        self.constants = LIFParameters(share, threshold, reset, surrogate, surrogate_width, detach_reset)
        self.options = GeneralOptions(rest, reset_to, kernel, refractory, adaptation, adaptation_decay)
        if reset_to >= threshold:
            raise ConfigError(f"reset_to must lie below the threshold {threshold}, got {reset_to}: it would never rest")
        self.leak = self.recurrent_weight = None
        if learnable_decay:
            require_number("decay to start learning from", share, above=0.0, below=1.0)
            self.leak = nn.Parameter(torch.tensor(math.log(share / (1 - share))))
        if require_whole("recurrent", recurrent, least=0):
            bound = RECURRENT_GAIN * threshold * math.sqrt(3 / (recurrent * RECURRENT_RATE))
            weight = torch.empty(recurrent, recurrent).uniform_(-bound, bound, generator=generator)
            self.recurrent_weight = nn.Parameter(weight)

    @property
    def decay(self) -> Tensor | None:
        """The learnt decay as a 0-d tensor in 0..1, or None where it is a constant."""
        return None if self.leak is None else torch.sigmoid(self.leak)

    @property
    def iterative(self) -> bool:
        """Whether this is the iterative form, and no decay is being learnt: what the kernels of whole nets know."""
        learns = self.leak is not None and self.leak.requires_grad and torch.is_grad_enabled()
        return self.options.iterative and self.recurrent_weight is None and self._known_surrogate and not learns

    @property
    def _known_surrogate(self) -> bool:
        """Whether the kernels know the surrogate: a function of the user's own has none."""
        return isinstance(self.constants.surrogate, str)

    def constants_now(self) -> LIFParameters:
        """Return the constants of the neurons, with a learnt decay as it is at present."""
        decay = self.decay
        return self.constants if decay is None else replace(self.constants, decay=float(decay.detach()))

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, ...] and the state after the last step, from the summed input `currents` [T, B, ...].

        `state=None` starts from rest. A list given as `trace` receives the potentials [T, B, ...] before the reset.
        Raises `ShapeError` for input without a time axis, or a state of another batch or layer.
        """
        check_currents(currents)
        if self.options.iterative and self.recurrent_weight is None:
            spikes, potentials = self._iterate(currents, state)
            after = NeuronState(potentials[-1], spikes[-1])
        elif self.recurrent_weight is None and self._known_surrogate and can_fuse(currents):
            spikes, potentials, after = fused_general(currents, state, self.constants, self.options, self.decay)
        else:
            feedback = None if self.recurrent_weight is None else self._feedback
            spikes, potentials, after = general_loop(
                currents, state, self.constants, self.options, self.decay, feedback
            )
        if trace is not None:
            trace.append(potentials)
        return spikes, after

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: a leak, an integration, a comparison a neuron and step, a reset a spike.

        Recurrent weights cost one addition a spike and neuron, a window of several steps one multiply-accumulate a
        neuron, step and earlier step; an adaptive threshold is a second potential. A resting potential other than zero
        costs nothing: it is a shift of all potentials.
        """
        own, spikes = self.options, use.output[0]
        sites, emitted = spikes.numel(), nonzero(spikes)
        decay, window = self.constants_now().decay, len(own.kernel) - 1
        price = {
            "leak": sites * (0.0 < decay < 1.0),
            "integrate": sites * (decay > 0.0),
            "threshold": sites,
            "reset": emitted,
        }
        if window:
            price |= {"mac": sites * window, "mac_nonzero": sites * window}
        if self.recurrent_weight is not None:
            price["ac"] = nonzero(spikes[:-1]) * len(self.recurrent_weight)
        if own.adaptation:
            price["leak"] += sites
            price["add"] = sites + emitted
        if own.refractory:
            price["compare"] = sites
        states = 1 + window + bool(own.adaptation) + bool(own.refractory)
        return Cost(self.part, price, spikes, "spikes", spikes=spikes, states=states, takes_input=True)

    def _iterate(self, currents: Tensor, state: NeuronState | None) -> tuple[Tensor, Tensor]:
        """Run the iterative form by the fastest loop that there is for it."""
        fusible, decay = self._known_surrogate and can_fuse(currents), self.decay
        if decay is None:
            return (fused_lif if fusible else lif)(currents, state, self.constants)
        if fusible:
            return fused_decay_lif(currents, state, self.constants, decay)
        if not torch.is_grad_enabled():
            return lif(currents, state, self.constants_now())
        return general_loop(currents, state, self.constants, self.options, decay)[:2]

    def _feedback(self, spikes: Tensor) -> Tensor:
        """Return what the spikes [B, N] of the last step add to the summed input."""
        weight = self.recurrent_weight
        if weight is None or spikes.shape[1:] != weight.shape[1:]:
            size = 0 if weight is None else len(weight)
            raise ShapeError(f"recurrent weights are for {size} neurons, the input has {list(spikes.shape[1:])}")
        return F.linear(spikes, weight)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        own = self.constants
        decay = "learnable" if self.leak is not None else own.decay
        shown = f"decay={decay}, threshold={own.threshold}, reset={own.reset}, surrogate={own.surrogate}"
        if self.recurrent_weight is not None:
            shown += f", recurrent={len(self.recurrent_weight)}"
        return shown if self.options.iterative else f"{shown}, {self.options}"


class IF(LIF):
    """A layer of integrate-and-fire neurons: `LIF` with decay 1, nothing leaks. Options and errors are its own."""

    def __init__(
        self,
        threshold: float = 0.5,
        reset: str = "hard",
        surrogate: str | Callable[[Tensor, float], Tensor] = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
        *,
        reset_to: float = 0.0,
        kernel: Sequence[float] = (1.0,),
        refractory: int = 0,
        adaptation: float = 0.0,
        adaptation_decay: float = 0.9,
        recurrent: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            1.0,
            threshold,
            reset,
            surrogate,
            surrogate_width,
            detach_reset,
            reset_to=reset_to,
            kernel=kernel,
            refractory=refractory,
            adaptation=adaptation,
            adaptation_decay=adaptation_decay,
            recurrent=recurrent,
            generator=generator,
        )


class LeakyIntegrator(nn.Module):
    """A layer that integrates and leaks but never fires: u[t] = decay * u[t-1] + I[t], a neuron for reading out.

    `decay` and `tau` are those of `LIF`. It is `(input, state) -> (potentials, state)`. Raises `ConfigError`.
    """

    def __init__(self, decay: float | None = None, *, tau: float | None = None) -> None:
        super().__init__()
        self.decay = require_number("decay", decay_of(decay, tau), least=0.0, most=1.0)

    def forward(self, currents: Tensor, state: NeuronState | None = None) -> tuple[Tensor, NeuronState]:
        """Return potentials [T, B, ...] and the state after the last step; raises `ShapeError`."""
        check_currents(currents)
        potential = torch.zeros_like(currents[0]) if state is None else state.potential
        potentials = []
        for current in currents:
            potential = self.decay * potential + current
            potentials.append(potential)
        return torch.stack(potentials), NeuronState(potential, torch.zeros_like(potential))

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"decay={self.decay}"


def decay_of(decay: float | None, tau: float | None) -> float:
    """Return the decay of a step from a decay or a time constant in steps; raises `ConfigError` for both at once."""
    if tau is None:
        return DECAY if decay is None else decay
    if decay is not None:
        raise ConfigError(f"give decay or tau, not both: decay = exp(-1 / tau), got decay={decay!r} and tau={tau!r}")
    return math.exp(-1 / require_number("tau", tau, above=0.0))


def make_neurons(options: NeuronOptions, *, recurrent: int = 0, generator: torch.Generator | None = None) -> LIF:
    """Return a layer of the neurons that `options` describe; raises `ConfigError`."""
    own = dict(options)
    kind = require_choice("neuron", own.pop("neuron", "lif"), ("lif", "if"))
    if kind == "lif":
        return LIF(**own, recurrent=recurrent, generator=generator)  # type: ignore[arg-type]
    odd = [
        name for name in ("decay", "tau", "learnable_decay", "rest") if own.pop(name, None) not in (None, False, 0.0)
    ]
    if odd:
        raise ConfigError(f'neuron="if" has no leak, so no {" or ".join(odd)}; use neuron="lif"')
    return IF(**own, recurrent=recurrent, generator=generator)  # type: ignore[arg-type]
