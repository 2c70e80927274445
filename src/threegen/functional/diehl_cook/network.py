"""The network of Diehl and Cook in plain PyTorch, step by step: the reference of the kernels.

One example at a time. Input spikes are given (`input_spikes` draws those that the kernels would); the order within a
step is that of `network_fused.py`. With `learn`, `simulate` yields each change of the weights that is due and continues
with the weights that it finds afterwards.

Shapes: T steps of a presentation, D inputs, N neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.functional.diehl_cook import constants as c
from threegen.functional.diehl_cook.network_fused import GOLDEN, Net, hashed
from threegen.functional.diehl_cook.runs import draw_sorted, make_buffers, make_cell

Array = np.ndarray[Any, Any]


def input_spikes(net: Net, pixels: Tensor, intensity: float, key: int) -> list[Tensor]:
    """Return the inputs that fire at each step of a presentation of `pixels` [F, D], ascending: T tensors."""
    buffers = make_buffers(net.weight.shape[0] * int(net.n[c.STEPS]), int(net.n[c.STEPS]))
    draw_sorted(pixels.numpy(), float(intensity), np.uint64(key), net, make_cell(net), buffers)
    (_, _, sources), starts = buffers
    return [torch.from_numpy(sources[a:b].astype(np.int64)) for a, b in pairwise(starts)]


def presentation_key(key: int, example: int, attempt: int, *, learning: bool) -> int:
    """Return the key by which the kernels draw the input of one presentation."""
    with np.errstate(over="ignore"):
        if learning:
            return int(hashed(np.uint64(key) + GOLDEN * np.uint64(example * 64 + attempt + 1)))
        own = np.uint64(hashed(np.uint64(key) + GOLDEN * np.uint64(example + 1)))
        return int(hashed(own + GOLDEN * np.uint64(attempt + 1)))


@dataclass
class Trace:
    """The record of a simulation: spikes of the neurons [T, N], potentials [T, N] before a reset, the final state."""

    spikes: list[Tensor] = field(default_factory=list)
    potentials: list[Tensor] = field(default_factory=list)
    potential: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def counts(self) -> Tensor:
        """The spikes of each neuron [N]."""
        return torch.stack(self.spikes).sum(0)

    @property
    def together(self) -> int:
        """The most neurons that fired in one step."""
        return int(torch.stack(self.spikes).sum(1).max())


class _State:
    """Vectors [N] at rest."""

    def __init__(self, net: Net, theta: Tensor, potential: Tensor) -> None:
        k, count = torch.from_numpy(net.k), len(theta)
        self.k, self.n = k, net.n
        self.v = potential.clone() if net.n[c.REST_STEPS] else torch.full_like(theta, float(k[c.REST_E]))
        self.g_e, self.g_i, self.g_ei = (torch.zeros_like(theta) for _ in range(3))
        self.v_i = torch.full_like(theta, float(k[c.REST_I]))
        self.free, self.free_i = (torch.zeros(count, dtype=torch.int64) for _ in range(2))
        self.ring = theta.new_zeros(int(net.n[c.SLOTS]), count)
        delays = torch.from_numpy(net.delays.astype(np.int64))
        self.delays = delays.repeat_interleave(int(net.n[c.WIDTH]), 1)[:, :count]
        self.last_pre = torch.full((net.weight.shape[0],), -1)
        self.last_post = torch.full((count,), -1)

    def integrate(self, t: int) -> None:
        """Move potentials and conductances by one step."""
        k, v = self.k, self.v
        drift = (k[c.REST_E] - v) + k[c.GAIN] * self.g_e * (k[c.E_EXC] - v) + self.g_i * (k[c.E_INH] - v)
        rate = torch.where(self.free <= t, k[c.LEAK_E], k[c.ZERO])
        self.v = torch.maximum(v + rate * drift, k[c.E_INH])
        self.g_e = self._fade(self.g_e, k[c.DECAY_E])
        self.g_i = self._fade(self.g_i, k[c.DECAY_I])

    def _fade(self, g: Tensor, keep: Tensor) -> Tensor:
        faded = g * keep
        return torch.where(faded > self.k[c.FLOOR], faded, self.k[c.ZERO])

    def inhibit(self, t: int) -> None:
        """Move the inhibitory neurons by one step; each one's spike reaches all neurons but its own."""
        k, moves = self.k, self.free_i <= t
        moved = self.v_i + k[c.LEAK_I] * ((k[c.REST_I] - self.v_i) + self.g_ei * (k[c.E_EXC] - self.v_i))
        self.v_i = torch.where(moves, moved, self.v_i)
        self.g_ei = self._fade(self.g_ei, k[c.DECAY_E])
        fired = moves & (self.v_i >= k[c.THRESHOLD_I])
        self.v_i = torch.where(fired, k[c.RESET_I], self.v_i)
        self.free_i = torch.where(fired, t + 1 + int(self.n[c.HELD_I]), self.free_i)
        self.g_i = torch.where(fired, self.g_i - k[c.INH_TO_EXC], self.g_i) + k[c.INH_TO_EXC] * int(fired.sum())

    def fire(self, t: int, limit: Tensor) -> Tensor:
        """Return which neurons fire [N], after their resets and the immediate effect of their spikes on the others."""
        k = self.k
        ready = (self.v >= limit) & (self.free <= t)
        if not self.n[c.LAYER] and bool(ready.any()):
            winner = int(torch.where(ready, self.v - limit, -torch.inf).argmax())
            ready = torch.zeros_like(ready)
            ready[winner] = True
            self.v = torch.full_like(self.v, float(k[c.RESET_E]))
            self.g_i = torch.where(ready, self.g_i, self.g_i + k[c.INH_TO_EXC])
        self.v = torch.where(ready, k[c.RESET_E], self.v)
        self.free = torch.where(ready, t + 1 + int(self.n[c.HELD_E]), self.free)
        if self.n[c.LAYER]:
            self.g_ei = torch.where(ready, self.g_ei + k[c.EXC_TO_INH], self.g_ei)
        return ready

    def send(self, weight: Tensor, sources: Tensor, t: int) -> None:
        """Send the spikes of the inputs `sources` and add those that are due; one after another, in order."""
        slots = len(self.ring)
        for i in sources.tolist():
            if slots:
                due = (t + self.delays[i]) % slots
                self.ring[due, torch.arange(len(due))] += weight[i]
            else:
                self.g_e = self.g_e + weight[i]
        if slots:
            self.g_e = self.g_e + self.ring[t % slots]
            self.ring[t % slots] = 0.0


def simulate(
    net: Net, weight: Tensor, theta: Tensor, potential: Tensor, raster: Sequence[Tensor], trace: Trace, learn: bool
) -> Iterator[Tensor]:
    """Present `raster` (see `input_spikes`) and rest; yield changes [D, N] of `weight`, which must then be made.

    `theta` [N] changes in place if the network learns. `trace` records the simulation.
    """
    state = _State(net, theta, potential)
    nothing = torch.empty(0, dtype=torch.int64)
    for t in range(int(net.n[c.STEPS]) + int(net.n[c.REST_STEPS])):
        state.integrate(t)
        state.inhibit(t)
        limit = theta + state.k[c.OFFSET]
        trace.potentials.append(state.v)
        fired = state.fire(t, limit)
        trace.spikes.append(fired)
        if bool(fired.any()) and learn:
            theta += torch.where(fired, state.k[c.THETA_PLUS], state.k[c.ZERO])
            yield potentiation(net, weight, state, fired, t)
        state.last_post = torch.where(fired, t, state.last_post)
        sources = raster[t] if t < len(raster) else nothing
        state.send(weight, sources, t)
        if learn and len(sources):
            yield depression(net, weight, state, sources, t)
            state.last_pre[sources] = t
    trace.potential = state.v


def _decay(table: Array, last: Tensor, t: int) -> Tensor:
    """Return the trace of the last spike (-1: none) at step t."""
    return torch.from_numpy(table)[t - last.clamp(min=0)] * (last >= 0)


def potentiation(net: Net, weight: Tensor, state: _State, fired: Tensor, t: int) -> Tensor:
    """Return the change of the weights [D, N] when the neurons `fired` fire at step t."""
    k, kind = state.k, int(net.n[c.KIND])
    x_pre = _decay(net.tables[0], state.last_pre, t)[:, None]
    if kind in (c.TRIPLET, c.PAIR):
        eta = k[c.ETA_POST] * _decay(net.tables[2], state.last_post, t) if kind == c.TRIPLET else k[c.ETA_POST]
        change = (eta * x_pre).expand_as(weight)
    elif kind == c.EXPONENTIAL:
        up, down = torch.exp(-k[c.BETA] * weight), torch.exp(-k[c.BETA] * (k[c.LARGEST] - weight))
        change = k[c.ETA_POST] * (x_pre * up - k[c.TARGET] * down)
    else:
        change = k[c.ETA_POST] * (x_pre - k[c.TARGET]) * (k[c.LARGEST] - weight) ** k[c.EXPONENT]
    return torch.where(fired, change, k[c.ZERO])


def depression(net: Net, weight: Tensor, state: _State, sources: Tensor, t: int) -> Tensor:
    """Return the change of the weights [D, N] when the inputs `sources` fire at step t."""
    k, kind, change = state.k, int(net.n[c.KIND]), torch.zeros_like(weight)
    if kind in (c.TRIPLET, c.PAIR, c.SYMMETRIC):
        rows = (k[c.ETA_PRE] * _decay(net.tables[1], state.last_post, t)).expand(len(sources), -1)
        change[sources] = -(rows * weight[sources] ** k[c.EXPONENT] if kind == c.SYMMETRIC else rows)
    return change


def normalisation(net: Net, weight: Tensor) -> Tensor:
    """Return the change of the weights [D, N] after which each neuron's sum is the norm; a sum of zero stays."""
    sums = weight.double().sum(0)
    scale = torch.where(sums > 0, float(net.k[c.NORM]) / sums, 1.0)
    return (weight.double() * scale).to(weight.dtype) - weight
