"""One step of a layer of leaky integrate-and-fire neurons that compete and adapt: the definition, for any device.

    u[t] = decay u[t-1] (1 - o[t-1]) + W x[t] - inhibition sum over others of o[t-1]      0 while refractory
    o[t] = 1 where u[t] >= threshold + theta, of these only the `winners` furthest above it theta <- theta_decay theta +
    theta_plus o[t] homeostasis, while learning

Shapes: B stimuli in parallel, O neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from threegen.functional.plasticity.competition import keep_winners, lateral_inhibition


@dataclass(frozen=True, slots=True)
class LayerConstants:
    """The constants of a layer; times in steps. With `winners=0` all neurons that reach the threshold fire."""

    decay: float
    threshold: float
    refractory: int = 0
    inhibition: float = 0.0
    winners: int = 0
    theta_plus: float = 0.0
    theta_decay: float = 1.0
    w_max: float = 1.0
    norm: float = 0.0  # the sum of a neuron's weights after each stimulus in which it fired; 0 for none


@dataclass(frozen=True, slots=True)
class LayerState:
    """Potentials after the reset, refractory steps left (int64) and the last spikes, each [B, O]."""

    potentials: Tensor
    waiting: Tensor
    spikes: Tensor


def at_rest(like: Tensor, stimuli: int, neurons: int) -> LayerState:
    """Return the state before a stimulus, in the type and on the device of `like`."""
    zeros = like.new_zeros(stimuli, neurons)
    return LayerState(zeros, zeros.long(), zeros)


def layer_step(currents: Tensor, state: LayerState, theta: Tensor, own: LayerConstants) -> tuple[Tensor, LayerState]:
    """Return spikes [B, O] and the state after one step of summed input `currents` [B, O]; `theta` [O] does not
    change."""
    potentials = own.decay * state.potentials + currents
    if own.inhibition:
        potentials = potentials - lateral_inhibition(state.spikes, own.inhibition)
    resting = state.waiting > 0
    potentials = potentials.masked_fill(resting, 0.0)
    limit = own.threshold + theta
    fired = (potentials >= limit) & ~resting
    if own.winners:
        fired = keep_winners(fired, potentials - limit, own.winners)
    waiting = torch.where(fired, own.refractory, (state.waiting - 1).clamp(min=0))
    spikes = fired.to(potentials.dtype)
    return spikes, LayerState(potentials.masked_fill(fired, 0.0), waiting, spikes)


def adapted(theta: Tensor, spikes: Tensor, own: LayerConstants) -> Tensor:
    """Return `theta` [O] after one step in which the neurons sent `spikes` [O] (or [B, O], summed)."""
    own_spikes = spikes.sum(0) if spikes.dim() > 1 else spikes
    return theta * own.theta_decay + own.theta_plus * own_spikes
