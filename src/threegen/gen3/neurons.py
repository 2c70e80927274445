"""Spiking neurons as modules around `functional.neurons` and `functional.general_neurons`, which contain the equations;
docs/the-neuron.md explains them in detail.

    u[t] = decay * u[t-1] * (1 - o[t-1]) + I[t]           o[t] = 1 where u[t] >= threshold, else 0

Wu et al., "Spatio-temporal backpropagation for training high-performance spiking neural networks", Frontiers in
Neuroscience 12:331 (2018). A neuron module is `(input, state) -> (spikes, state)` and stores no state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.general_neurons import GeneralOptions, general_loop
from threegen.functional.spiking.general_neurons_fused import fused_general
from threegen.functional.spiking.learned_decay_fused import fused_decay_lif
from threegen.functional.spiking.neurons import LIFParameters, NeuronState, check_currents, lif
from threegen.functional.spiking.neurons_fused import can_fuse, fused_lif
from threegen.gen3.initial_values import input_gain
from threegen.gen3.parts import NEURONS, Cost, Use, nonzero
from threegen.gen3.per_neuron import (
    Values,
    as_parameters,
    decay_of,
    logits,
    require_fit,
    values_of,
)

# Recurrent weights start so small that a layer firing at 15 % adds this many thresholds of noise to its own input.
RECURRENT_GAIN, RECURRENT_RATE = 0.2, 0.15


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons, run over all time steps at once.

    `decay` in 0..1 (default 0.5) is the share of the potential that remains after one step; `tau`, given instead, is
    the time constant in steps: decay = exp(-1 / tau). A neuron fires at its `threshold`, above 0. Each is one number,
    or a tensor with one per neuron, [N], or per channel, [C, 1, 1], of the layer. `learnable_decay=True` and
    `learnable_threshold=True` train them: decay = sigmoid(`leak`) stays within 0..1 (Fang et al. 2021), threshold =
    exp(`log_threshold`) above 0. `reset` is "hard" (to `reset_to`) or "soft" (the difference between threshold and
    `reset_to` is subtracted). `surrogate` is one of rectangular, triangular, arctan, sigmoid, superspike, with height
    1/`surrogate_width` and area 1, or your own function of (u - threshold, width) that returns the derivative.
    `detach_reset=True` stops the gradient through the reset. `rest`, `reset_to`, `kernel`, `refractory`, `adaptation`
    and `adaptation_decay` are those of `GeneralOptions`. `recurrent` is the number of neurons of a layer with recurrent
    weights, through which its spikes return one step later (0: none); the weights are drawn from `generator`. Raises
    `ConfigError`.

        LIF(threshold=torch.full((100,), 0.5), learnable_threshold=True)       # 100 neurons, each learns its own
    """

    part = NEURONS
    leak: nn.Parameter | None
    log_threshold: nn.Parameter | None
    recurrent_weight: nn.Parameter | None

    def __init__(
        self,
        decay: Values | None = None,
        threshold: Values = 0.5,
        reset: str = "hard",
        surrogate: str | Callable[[Tensor, float], Tensor] = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
        *,
        tau: Values | None = None,
        learnable_decay: bool = False,
        learnable_threshold: bool = False,
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
        share, shares = decay_of(decay, tau)
        level, levels = values_of("threshold", threshold, above=0.0)
        self.constants = LIFParameters(share, level, reset, surrogate, surrogate_width, detach_reset)
        self.options = GeneralOptions(rest, reset_to, kernel, refractory, adaptation, adaptation_decay)
        lowest = level if levels is None else float(levels.min())
        if reset_to >= lowest:
            raise ConfigError(
                f"reset_to must be below the threshold {lowest}, got {reset_to}: the neuron would fire at every step"
            )
        self._decay_shape = () if shares is None else tuple(shares.shape)
        self._threshold_shape = () if levels is None else tuple(levels.shape)
        free = logits("decay", share, shares) if learnable_decay else None
        self.leak, self.decays = as_parameters(free, None if learnable_decay else shares)
        free = torch.log(torch.tensor(level) if levels is None else levels) if learnable_threshold else None
        self.log_threshold, self.thresholds = as_parameters(free, None if learnable_threshold else levels)
        self.recurrent_weight = None
        if require_whole("recurrent", recurrent, least=0):
            bound = RECURRENT_GAIN * level * math.sqrt(3 / (recurrent * RECURRENT_RATE))
            weight = torch.empty(recurrent, recurrent).uniform_(-bound, bound, generator=generator)
            self.recurrent_weight = nn.Parameter(weight)

    @property
    def decay(self) -> Tensor | None:
        """The learned decay, or the decays of single neurons, in 0..1; None if it is one constant."""
        if self.leak is not None:
            return torch.sigmoid(self.leak).view(self._decay_shape)
        return None if self.decays is None else self.decays.view(self._decay_shape)

    @property
    def threshold(self) -> Tensor | None:
        """The learned threshold, or the thresholds of single neurons, above 0; None if it is one constant."""
        if self.log_threshold is not None:
            return torch.exp(self.log_threshold).view(self._threshold_shape)
        return None if self.thresholds is None else self.thresholds.view(self._threshold_shape)

    @property
    def uniform(self) -> bool:
        """Whether all neurons of the layer have equal constants, and only recurrent weights are learned."""
        return self.leak is self.decays is self.log_threshold is self.thresholds is None

    @property
    def iterative(self) -> bool:
        """Whether this is the iterative form with equal, fixed constants: the form that the kernels of whole nets
        support."""
        plain = self.options.iterative and self.recurrent_weight is None and self._known_surrogate
        if self.uniform:
            return plain
        single = all(own is None or own.dim() == 0 for own in (self.decay, self.threshold))
        return plain and single and not any(_learns(own) for own in (self.leak, self.log_threshold))

    @property
    def _known_surrogate(self) -> bool:
        """Whether the kernels know the surrogate: a user's own function has no kernel."""
        return isinstance(self.constants.surrogate, str)

    def constants_now(self) -> LIFParameters:
        """Return the current constants of the neurons, learned ones included; means if neurons differ."""
        now = self.constants
        if (decay := self.decay) is not None:
            now = replace(now, decay=float(decay.detach().mean()))
        if (threshold := self.threshold) is not None:
            now = replace(now, threshold=float(threshold.detach().mean()))
        return now

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, ...] and the state after the last step, from the summed input `currents` [T, B, ...].

        `state=None` starts from rest. A list given as `trace` receives the potentials [T, B, ...] before the reset.
        Raises `ShapeError` for input without a time axis, or a state of another batch or layer.
        """
        check_currents(currents)
        constants, decay, threshold = self.constants, self.decay, self.threshold
        require_fit("decay", decay, currents)
        require_fit("threshold", threshold, currents)
        if threshold is not None and threshold.dim() == 0 and not _learns(self.log_threshold):
            constants, threshold = replace(constants, threshold=float(threshold.detach())), None
        alike = threshold is None and (decay is None or decay.dim() == 0) and self.recurrent_weight is None
        if alike and self.options.iterative:
            spikes, potentials = self._iterate(currents, state, constants, decay)
            after = NeuronState(potentials[-1], spikes[-1])
        elif alike and self._known_surrogate and can_fuse(currents):
            spikes, potentials, after = fused_general(currents, state, constants, self.options, decay)
        else:
            feedback = None if self.recurrent_weight is None else self._feedback
            spikes, potentials, after = general_loop(
                currents, state, constants, self.options, decay, feedback, threshold
            )
        if trace is not None:
            trace.append(potentials)
        return spikes, after

    def gain(self, init: str, gain: float, steps: int) -> float:
        """Return the initial fluctuation of the summed input, in thresholds (see `initial_values`)."""
        return input_gain(init, gain, self.constants.decay, self.options.kernel, steps)

    def project(self) -> None:
        """Clamp fixed decays and thresholds of single neurons, which the user may have unfrozen, to their range."""
        with torch.no_grad():
            if self.decays is not None and self.decays.requires_grad:
                self.decays.clamp_(0.0, 1.0)
            if self.thresholds is not None and self.thresholds.requires_grad:
                self.thresholds.clamp_(min=torch.finfo(self.thresholds.dtype).tiny)

    def cost(self, use: Use) -> Cost:
        """Return the cost of a call: a leak, an integration and a comparison per neuron and step, a reset per spike.

        Recurrent weights cost one addition per spike and neuron, a window of several steps one multiply-accumulate a
        neuron, step and earlier step; an adaptive threshold is a second potential. A resting potential other than zero
        costs nothing: it is a shift of all potentials.
        """
        own, spikes = self.options, use.output[0]
        sites, emitted = spikes.numel(), nonzero(spikes)
        decay, window = self.decay, len(own.kernel) - 1
        share = torch.tensor(self.constants.decay) if decay is None else decay.detach()
        share = share.broadcast_to(spikes.shape[2:]) if share.dim() else share.expand(1)
        each = sites // share.numel()
        price = {
            "leak": each * nonzero((share > 0.0) & (share < 1.0)),
            "integrate": each * nonzero(share > 0.0),
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

    def _iterate(
        self, currents: Tensor, state: NeuronState | None, constants: LIFParameters, decay: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run the iterative form by the fastest available loop."""
        fusible = self._known_surrogate and can_fuse(currents)
        if decay is None:
            return (fused_lif if fusible else lif)(currents, state, constants)
        if fusible:
            return fused_decay_lif(currents, state, constants, decay)
        if not torch.is_grad_enabled():
            return lif(currents, state, replace(constants, decay=float(decay.detach())))
        return general_loop(currents, state, constants, self.options, decay)[:2]

    def _feedback(self, spikes: Tensor) -> Tensor:
        """Return the contribution of the last step's spikes [B, N] to the summed input."""
        weight = self.recurrent_weight
        if weight is None or spikes.shape[1:] != weight.shape[1:]:
            size = 0 if weight is None else len(weight)
            raise ShapeError(f"recurrent weights are for {size} neurons, the input has {list(spikes.shape[1:])}")
        return F.linear(spikes, weight)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        own = self.constants
        decay = _described(own.decay, self._decay_shape, self.leak)
        threshold = _described(own.threshold, self._threshold_shape, self.log_threshold)
        shown = f"decay={decay}, threshold={threshold}, reset={own.reset}, surrogate={own.surrogate}"
        if self.recurrent_weight is not None:
            shown += f", recurrent={len(self.recurrent_weight)}"
        return shown if self.options.iterative else f"{shown}, {self.options}"


class IF(LIF):
    """A layer of integrate-and-fire neurons: `LIF` with decay 1, without a leak. Options and errors are those of
    `LIF`."""

    def __init__(
        self,
        threshold: Values = 0.5,
        reset: str = "hard",
        surrogate: str | Callable[[Tensor, float], Tensor] = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
        *,
        learnable_threshold: bool = False,
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
            learnable_threshold=learnable_threshold,
            reset_to=reset_to,
            kernel=kernel,
            refractory=refractory,
            adaptation=adaptation,
            adaptation_decay=adaptation_decay,
            recurrent=recurrent,
            generator=generator,
        )


class LeakyIntegrator(nn.Module):
    """A layer that integrates and leaks but never fires: u[t] = decay * u[t-1] + I[t], a neuron for read-outs.

    `decay` and `tau` are those of `LIF`. It is `(input, state) -> (potentials, state)`. Raises `ConfigError`.
    """

    def __init__(self, decay: float | None = None, *, tau: float | None = None) -> None:
        super().__init__()
        share, shares = decay_of(decay, tau)
        if shares is not None:
            raise ConfigError("LeakyIntegrator has one decay for all neurons; give a number")
        self.decay = share

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


def _learns(parameter: nn.Parameter | None) -> bool:
    """Return whether a gradient of a parameter will be needed."""
    return parameter is not None and parameter.requires_grad and torch.is_grad_enabled()


def _described(value: float, shape: tuple[int, ...], learnt: nn.Parameter | None) -> str:
    """Return a decay or threshold as `print(model)` shows it."""
    each = "" if not shape else f"{list(shape)} values, mean {value:.3g}"
    if learnt is None:
        return each or str(value)
    return f"learnable ({each})" if each else "learnable"
