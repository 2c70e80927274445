"""A layer of spiking neurons that learns by spike timing, with the parts that make such learning stable.

    u[t]  = decay u[t-1] (1 - o[t-1]) + W x[t] - inhibition sum over others of o[t-1]     decay = e^(-dt/tau)
    o[t]  = 1 where u[t] >= threshold + theta, only the `winners` furthest above it
    theta <- theta e^(-dt/theta_tau) + theta_plus o[t]                                    only while a rule learns
    W     in 0..w_max; after a stimulus the weights of each neuron that fired sum to `norm`

Leaky integrate-and-fire neurons with an adaptive threshold, lateral inhibition and weight normalisation as in Diehl
and Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity", Frontiers in
Computational Neuroscience 9:99 (2015), but with currents instead of conductances and inhibition without a separate
layer: a simple layer for studying the rules of `rules/`. A part whose setting is 0 is left out.

Shapes: T steps, B stimuli, I inputs, O neurons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from threegen.checks import require_float, require_number, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.plasticity.competition import normalise_rows
from threegen.functional.plasticity.plastic_neurons import LayerConstants, LayerState, adapted, at_rest, layer_step
from threegen.gen3.encoders import Encoder
from threegen.gen3.trains import is_train


class PlasticLayer(nn.Module):
    """`neurons` spiking neurons over `inputs` (a number or a shape such as [2, 34, 34]), fully connected.

    `encoder` turns intensities [B, ...] in 0..1 into spikes over `steps` steps (`Poisson(rate)`, `Latency()`, ...).
    `encoder=None` takes spike trains or event frames [B, T, ...] directly; any value above 0 is a spike. `dt`, `tau`,
    `refractory` and `theta_tau` are in ms; with `theta_tau=0` theta never decays. `winners=0` lets all neurons fire
    that reach the threshold. Weights start uniform in 0..`w_start`, drawn from `generator`, and are normalised if
    `norm` is above 0. They are stored as [I, O] in memory. Raises `ConfigError`.
    """

    classifies = False  # `forward` returns no class scores; evaluate rejects it

    weight: nn.Parameter  # [O, I]
    theta: Tensor  # [O]

    def __init__(
        self,
        inputs: int | Sequence[int],
        neurons: int,
        *,
        encoder: Encoder | None = None,
        steps: int = 100,
        dt: float = 1.0,
        tau: float = 100.0,
        threshold: float = 1.0,
        refractory: float = 0.0,
        inhibition: float = 0.0,
        winners: int = 0,
        theta_plus: float = 0.0,
        theta_tau: float = 0.0,
        norm: float = 0.0,
        w_max: float = 1.0,
        w_start: float = 0.3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if encoder is not None and not isinstance(encoder, nn.Module):
            raise ConfigError(f"encoder must be a module such as Poisson(0.1), or None for spikes, got {encoder!r}")
        sizes = [inputs] if isinstance(inputs, int) else list(inputs)
        for size in sizes:
            require_whole("inputs", size)
        self.inputs, self.neurons = math.prod(sizes), require_whole("neurons", neurons)
        self.encoder, self.steps = encoder, require_whole("steps", steps)
        self.dt = require_number("dt", dt, above=0.0)
        fade = require_number("theta_tau", theta_tau, least=0.0)
        self.constants = LayerConstants(
            decay=math.exp(-dt / require_number("tau", tau, above=0.0)),
            threshold=require_number("threshold", threshold, above=0.0),
            refractory=round(require_number("refractory", refractory, least=0.0) / dt),
            inhibition=require_number("inhibition", inhibition, least=0.0),
            winners=require_whole("winners", winners, least=0),
            theta_plus=require_number("theta_plus", theta_plus, least=0.0),
            theta_decay=math.exp(-dt / fade) if fade else 1.0,
            w_max=require_number("w_max", w_max, above=0.0),
            norm=require_number("norm", norm, least=0.0, most=w_max * self.inputs),
        )
        require_number("w_start", w_start, above=0.0, most=w_max)
        drawn = w_start * torch.rand(self.inputs, self.neurons, generator=generator)
        self.weight = nn.Parameter(drawn.t().contiguous())
        self.register_buffer("theta", torch.zeros(self.neurons))
        self._learning = False
        self._touched: Tensor | None = None
        self.project()

    def input_major(self) -> list[Tensor]:
        """Return the weights that `fit` stores by inputs, so that a kernel adds one row for each spike."""
        return [self.weight]

    # -- called by rules and users ----------------------------------------------------------------------------------

    def input_spikes(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return spikes [T, B, I] of `inputs`: encoded images or vectors, or trains [B, T, ...] unchanged.

        Raises `ShapeError` if they do not fit, and what the encoder raises.
        """
        require_float(type(self).__name__, inputs, self.weight)
        if self.encoder is not None and not is_train(inputs, (self.inputs,)):
            flat = inputs.flatten(1) if inputs.dim() > 1 else inputs
            if flat.dim() != 2 or flat.shape[1] != self.inputs:
                raise ShapeError(f"PlasticLayer expects {self.inputs} inputs [B, ...], got {list(inputs.shape)}")
            spikes: Tensor = self.encoder(flat, self.steps, generator)
            return spikes
        if inputs.dim() < 3 or math.prod(inputs.shape[2:]) != self.inputs:
            raise ShapeError(
                f"PlasticLayer expects spike trains or frames [B, T, ...] of {self.inputs} inputs, "
                f"got {list(inputs.shape)}; give an encoder for images"
            )
        return (inputs.flatten(2).transpose(0, 1) > 0).to(inputs.dtype)

    def step(self, spikes: Tensor, state: LayerState | None = None, adapt: bool = False) -> tuple[Tensor, LayerState]:
        """Return the neurons' spikes [B, O] and the state after one step of input spikes [B, I].

        `state=None` starts from rest. `adapt=True`, for rules, raises theta and notes which neurons fired.
        """
        if state is None:
            state = at_rest(self.weight, len(spikes), self.neurons)
        fired, state = layer_step(spikes @ self.weight.t(), state, self.theta, self.constants)
        if adapt:
            self.theta.copy_(adapted(self.theta, fired, self.constants))
            if self._touched is not None:
                self._touched |= fired.any(0) if fired.dim() > 1 else fired > 0
        return fired, state

    @torch.no_grad()
    def run(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the neurons' spikes [T, B, O] on inputs `x`; nothing learns or adapts."""
        state, fired = None, []
        for spikes in self.input_spikes(x, generator):
            now, state = self.step(spikes, state)
            fired.append(now)
        return torch.stack(fired)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the number of spikes of each neuron [B, O] on inputs `x`. Raises like `input_spikes`."""
        return self.run(x, generator).sum(0)

    # -- constraints --------------------------------------------------------------------------------------------------

    def begin_stimulus(self) -> None:
        """Start noting which neurons fire; until `end_stimulus` weights are only kept within their bounds."""
        self._learning = True
        self._touched = torch.zeros_like(self.theta, dtype=torch.bool)

    def end_stimulus(self) -> None:
        """Let the next `project` normalise the neurons that fired since `begin_stimulus`."""
        self._learning = False

    @torch.no_grad()
    def project(self) -> None:
        """Clamp the weights to 0..w_max; outside a stimulus also scale rows to the sum `norm`.

        After a stimulus these are the rows of the neurons that fired in it, at any other time all.
        """
        own = self.constants
        self.weight.clamp_(0.0, own.w_max)
        if self._learning:
            return
        if own.norm:
            scaled = normalise_rows(self.weight, own.norm).clamp_(max=own.w_max)
            if self._touched is not None:
                scaled = torch.where(self._touched.unsqueeze(1), scaled, self.weight)
            self.weight.copy_(scaled)
        self._touched = None

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"{self.inputs}, {self.neurons}, steps={self.steps}, dt={self.dt}"
