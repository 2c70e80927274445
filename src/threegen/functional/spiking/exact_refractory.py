"""Leaky integrate-and-fire neurons with spike times between the steps: rates are those of continuous time.

    s[t] = k s[t-1] + (1 - k) I[t], s[1] = I[1]        the input, filtered by the synapses: k = exp(-1 / synapse), or 0
    tau du/dt = s - u        a spike and u = 0 where u reaches 1, then `refractory` steps of rest
    f_t = max(0, 1 - w[t])                                              the part of step t in which the neuron is free
    u[t] = v[t-1] + (s[t] - v[t-1]) (1 - exp(-f_t / tau))
    o[t] = 1 where u[t] >= 1        d = tau log((s[t] - 1) / (s[t] - u[t]))     the time before the end of the step
    v[t] = u[t] (1 - o[t])          w[t+1] = refractory - d after a spike, else max(0, w[t] - 1)

For one input I > 1 at every step a neuron fires once in refractory + tau log(I / (I - 1)) steps, the rate of Hunsberger
and Eliasmith, arXiv:1611.05141 (2016), if that is at least one step; without d every interval would be rounded up. The
filter, of 5 ms in the paper, smooths spikes to a nearly steady input. The surrogate is the derivative of a spike by u;
w is treated as a constant.

Shapes: T time steps, B examples, then any neuron shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from threegen.checks import require_number
from threegen.errors import ShapeError
from threegen.functional.spiking.neurons import LIFParameters, NeuronState, check_currents, check_state, spike


@dataclass(frozen=True)
class LeakyConstants:
    """Time constants in steps: of the membrane, of the refractory period, of the synapses (0: they act at once).

    Raises `ConfigError`.
    """

    tau: float = 20.0
    refractory: float = 2.0
    synapse: float = 5.0

    def __post_init__(self) -> None:
        require_number("tau", self.tau, above=0.0)
        require_number("refractory", self.refractory, least=0.0)
        require_number("synapse", self.synapse, least=0.0)


def exact_rate(currents: Tensor, tau: float, refractory: float) -> Tensor:
    """Return the spikes per step for one input at every step, of the shape of `currents`."""
    above = (currents - 1).clamp(min=0)
    rate = 1 / (refractory + tau * torch.log1p(1 / above.clamp(min=1e-30)))
    return torch.where(above > 0, rate, torch.zeros_like(rate))


def refractory_step(
    arriving: Tensor, state: NeuronState, parameters: LIFParameters, constants: LeakyConstants
) -> NeuronState:
    """Advance a layer by one time step from its input [B, ...]. Raises `ShapeError`.

    `parameters` hold threshold 1 and the surrogate; `state.countdown` is w, `state.current` s, None before the first.
    """
    check_state(state, arriving)
    tau, refractory, current = constants.tau, constants.refractory, arriving
    if constants.synapse and state.current is not None:
        kept = math.exp(-1 / constants.synapse)
        current = kept * state.current + (1 - kept) * arriving
    if state.countdown is None or state.countdown.shape != current.shape:
        raise ShapeError("the spiking state has no countdown of this layer; pass state=None to start from rest")
    fired = state.spikes.detach() if parameters.detach_reset else state.spikes
    left, waiting = state.potential * (1 - fired), state.countdown
    free = (1 - waiting).clamp(min=0)
    potential = left - (current - left) * torch.expm1(-free / tau)
    spikes = spike(potential, parameters)
    with torch.no_grad():
        tiny = torch.finfo(current.dtype).tiny
        since = tau * torch.log((current - 1).clamp(min=tiny) / (current - potential).clamp(min=tiny))
        after = torch.where(spikes > 0, refractory - since.clamp(min=0.0, max=1.0), (waiting - 1).clamp(min=0))
    return NeuronState(potential, spikes, countdown=after, current=current if constants.synapse else None)


def refractory_loop(
    currents: Tensor, state: NeuronState, parameters: LIFParameters, constants: LeakyConstants
) -> tuple[Tensor, Tensor, NeuronState]:
    """Return spikes and potentials (before the reset) [T, B, ...] and the state after the last step."""
    check_currents(currents)
    spikes, potentials = [], []
    for current in currents:
        state = refractory_step(current, state, parameters, constants)
        spikes.append(state.spikes)
        potentials.append(state.potential)
    return torch.stack(spikes), torch.stack(potentials), state
