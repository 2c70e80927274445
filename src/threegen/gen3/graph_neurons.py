"""The layers of a `SpikingGraph`: neurons that start from a given potential, pooling by the highest count, sums.

    StartedIF    u[0] = u_0     u[t] = u[t-1] - o[t-1] + I[t]     o[t] = 1 where u[t] >= 1        (reset by subtraction)
    StartedLIF   leaky, of threshold 1, silent for some time after each spike (see `exact_refractory`)
    MaxGate      n_j[t] = spikes of neuron j so far     o[t] = max_j n_j[t] - max_j n_j[t-1]      (j under a window)
    Sum          u[t] = u[t-1] + I[t]                                                             (never fires)

Rueckauer, Lungu, Hu, Pfeiffer and Liu, "Conversion of continuous-valued deep networks to efficient event-driven
networks for image classification", Frontiers in Neuroscience 11:682 (2017): reset by subtraction, maximum pooling by
the highest running rate; here the gate passes a spike when the highest count grows, so that its output is exactly that
count. With half a threshold as the initial potential the number of spikes is rounded to nearest instead of down.

Shapes: T time steps, B examples, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from threegen.checks import require_number, require_whole
from threegen.functional.spiking.exact_refractory import LeakyConstants, refractory_loop
from threegen.functional.spiking.neurons import LIFParameters, NeuronState, check_currents
from threegen.gen3.neurons import IF
from threegen.gen3.parts import NEURONS, Cost, Use, nonzero
from threegen.gen3.wires import MAXIMA, window


class StartedIF(IF):
    """Integrate-and-fire neurons of threshold 1 whose potential starts at `initial`, one value per channel (axis 2).

    `channels` is their number, `initial` the start of all of them, `reset` "soft" (subtraction) or "hard" (to zero).
    The initial potentials are a buffer, so they are saved with the net. Raises `ConfigError`.
    """

    initial: Tensor

    def __init__(self, channels: int, *, initial: float = 0.5, reset: str = "soft") -> None:
        super().__init__(1.0, reset)
        size, start = require_whole("channels", channels), require_number("initial", initial, below=1.0)
        self.register_buffer("initial", torch.full((size,), start))

    def start(self, currents: Tensor) -> NeuronState:
        """Return the state before the first step of `currents` [T, B, C, ...]."""
        shape = [1, -1] + [1] * (currents.dim() - 3)
        potential = self.initial.to(currents.dtype).view(shape).expand_as(currents[0]).contiguous()
        return NeuronState(potential, torch.zeros_like(potential))

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, C, ...] and the state after the last step; see `LIF.forward`. Raises `ShapeError`."""
        check_currents(currents)
        return super().forward(currents, self.start(currents) if state is None else state, trace)

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: an integration and a comparison a neuron and step, a reset a spike."""
        return super().cost(use)


class StartedLIF(nn.Module):
    """Leaky integrate-and-fire neurons of threshold 1 with a refractory time, whose potential starts at `initial`.

    `channels` is their number (axis 2); `tau`, `refractory` and `synapse`, the time constant of a filter of their input
    (0: none), are in time steps. Their rate for a steady input is that
    of continuous time (see `exact_refractory`), with which `SoftLIF` is trained. The initial potentials are a buffer,
    one per channel. Spikes have the surrogate of the other neurons, so the net can be trained further. Raises
    `ConfigError`.
    """

    part = NEURONS
    initial: Tensor

    def __init__(
        self,
        channels: int,
        *,
        tau: float = 20.0,
        refractory: float = 2.0,
        synapse: float = 5.0,
        initial: float = 0.5,
        surrogate: str = "rectangular",
        surrogate_width: float = 1.0,
    ) -> None:
        super().__init__()
        self.leaky = LeakyConstants(tau, refractory, synapse)
        size, start = require_whole("channels", channels), require_number("initial", initial, below=1.0)
        self.constants = LIFParameters(math.exp(-1 / tau), 1.0, "hard", surrogate, surrogate_width)
        self.register_buffer("initial", torch.full((size,), start))

    def start(self, currents: Tensor) -> NeuronState:
        """Return the state before the first step of `currents` [T, B, C, ...]."""
        shape = [1, -1] + [1] * (currents.dim() - 3)
        potential = self.initial.to(currents.dtype).view(shape).expand_as(currents[0]).contiguous()
        silent = torch.zeros_like(potential)
        return NeuronState(potential, silent, countdown=silent)

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, C, ...] and the state after the last step; see `LIF.forward`. Raises `ShapeError`."""
        check_currents(currents)
        begun = self.start(currents) if state is None else state
        spikes, potentials, after = refractory_loop(currents, begun, self.constants, self.leaky)
        if trace is not None:
            trace.append(potentials)
        return spikes, after

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: a leak, an integration, two comparisons per neuron and step, a reset a spike.

        A filtered input is a second leaky potential.
        """
        spikes = use.output[0]
        sites, emitted = spikes.numel(), nonzero(spikes)
        twice = 2 if self.leaky.synapse else 1
        work = {
            "leak": twice * sites,
            "integrate": twice * sites,
            "threshold": sites,
            "compare": sites,
            "reset": emitted,
        }
        work["function"] = emitted  # the logarithm for the time within the step
        return Cost(self.part, work, spikes, "spikes", spikes=spikes, states=1 + twice, takes_input=True)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        own = self.leaky
        times = f"tau={own.tau:g}, refractory={own.refractory:g}, synapse={own.synapse:g}"
        return f"channels={len(self.initial)}, {times}"


class MaxGate(nn.Module):
    """Maximum pooling of spikes: a window sends a spike at each step in which its highest spike count grows.

    After every step a window has sent as many spikes as its most active neuron. `kernel`, `stride` and `padding` hold
    one number a dimension. It keeps one count per neuron, which is its state.
    """

    part = NEURONS

    def __init__(
        self, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], ceil: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding, self.ceil = tuple(kernel), tuple(stride), tuple(padding), ceil

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return spikes [T, B, C, ...] of the windows and the counts so far; `currents` are spikes, 0 or 1."""
        check_currents(currents)
        before = torch.zeros_like(currents[0]) if state is None else state.potential
        counts = currents.cumsum(0) + before
        highest = self._pool(torch.cat([before[None], counts]))
        spikes = highest.diff(dim=0)
        if trace is not None:
            trace.append(highest[1:])
        return spikes, NeuronState(counts[-1], currents[-1])

    def _pool(self, counts: Tensor) -> Tensor:
        pooled = MAXIMA[len(self.kernel)](
            counts.flatten(0, 1), self.kernel, self.stride, self.padding, ceil_mode=self.ceil
        )
        return pooled.reshape(*counts.shape[:2], *pooled.shape[1:])

    def cost(self, use: Use) -> Cost:
        """Return the cost of a call: one count per arriving spike, and the comparisons of every window at every
        step."""
        spikes = use.output[0]
        work = {"ac": nonzero(use.inputs[0]), "compare": spikes.numel() * window(self.kernel)}
        states = -(-use.inputs[0][0, 0].numel() // max(spikes[0, 0].numel(), 1))
        return Cost(self.part, work, spikes, "spikes", spikes=spikes, states=states)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"kernel={list(self.kernel)}, stride={list(self.stride)}"


class Sum(nn.Module):
    """A layer that adds up its input and never fires: the last one, if its summed input is read out."""

    part = NEURONS

    def forward(
        self, currents: Tensor, state: NeuronState | None = None, trace: list[Tensor] | None = None
    ) -> tuple[Tensor, NeuronState]:
        """Return no spikes (zeros, [T, B, K]) and the sums so far."""
        check_currents(currents)
        before = torch.zeros_like(currents[0]) if state is None else state.potential
        if trace is not None:
            trace.append(currents.cumsum(0) + before)
        silent = torch.zeros_like(currents[0])
        return silent.expand(currents.shape), NeuronState(before + currents.sum(0), silent)

    def cost(self, use: Use) -> list[Cost]:
        """Return no row: the read-out is billed the sums."""
        return []
