"""Whole presentations, training and answering: called by the rule and the model of Diehl and Cook's network."""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.functional.diehl_cook.constants import (
    HELD_I,
    KIND,
    LAYER,
    LEAK_E,
    LEAST,
    MOST,
    OFFSET,
    REST_E,
    REST_I,
    REST_STEPS,
    SLOTS,
    START,
    STEPS,
    THETA_KEEP,
    WIDTH,
    ZERO,
)
from threegen.functional.diehl_cook.learning import depress, normalise, normalise_columns
from threegen.functional.diehl_cook.network_fused import (
    AWAKE,
    COUNTS,
    FIRED,
    FREE_I,
    G_E,
    G_EI,
    G_I,
    GOLDEN,
    HELD,
    LAST_POST,
    LAST_PRE,
    LIMIT,
    RATE,
    SLEPT,
    TOGETHER,
    V_I,
    Cell,
    Net,
    V,
    advance,
    advance_delayed,
    draw_input,
    fire_layer,
    fire_winner,
    hashed,
    inhibit,
    release,
    send_later,
    sort_by_step,
)
from threegen.machine.compiler import parallel, ready_numba, serial

numba = ready_numba()

Array = np.ndarray[Any, Any]

BLOCK = 8  # examples that one thread answers in one go
# Columns of an outcome, one row per example: spikes of the neurons, further presentations and the most neurons that
# fired in one step, all of the last presentation; input spikes and spikes of the neurons in all presentations.
SPIKES, REPEATS, MOST_TOGETHER, SENT, ALL_SPIKES = OUTCOME = range(5)


@serial
def make_buffers(size: int, steps: int) -> Any:
    """Return the memory for the input spikes of one presentation: three lists, and where each step's begin."""
    return np.empty((3, size), np.int32), np.empty(steps + 1, np.int64)


@serial
def draw_sorted(pixels: Array, intensity: float, key: Any, net: Net, cell: Cell, buffers: tuple[Array, Array]) -> int:
    """Draw the input spikes of one presentation in the order of steps; return how many there are."""
    spikes, starts = buffers
    many: int = draw_input(pixels, intensity, key, net, cell, spikes[0], spikes[1])
    sort_by_step(spikes[0], spikes[1], many, starts, spikes[2])
    return many


@serial
def make_cell(net: Net) -> Any:
    """Return an empty cell; `begin` resets it before each presentation."""
    inputs, count = net.weight.shape
    floats = np.zeros((7, count), net.weight.dtype)
    floats[V, :] = net.k[REST_E]
    ring = np.zeros((net.n[SLOTS], count), net.weight.dtype)
    return Cell(floats, np.zeros((8, count), np.int32), ring, np.zeros((2, inputs), np.int32), np.zeros(8, np.int64))


@serial
def _begin(net: Net, cell: Cell) -> None:
    """Reset the cell; only the potentials stay, unless the rest resets them."""
    k, floats, whole = net.k, cell.floats, cell.whole
    for j in range(floats.shape[1]):
        if net.n[REST_STEPS] == 0:
            floats[V, j] = k[REST_E]
        floats[G_E, j] = floats[G_I, j] = floats[G_EI, j] = k[ZERO]
        floats[RATE, j] = k[LEAK_E]
        floats[LIMIT, j] = net.theta[j] + k[OFFSET]
        floats[V_I, j] = k[REST_I]
        whole[FREE_I, j] = whole[SLEPT, j] = whole[COUNTS, j] = 0
        whole[LAST_POST, j] = -1
    cell.ring[:] = k[ZERO]
    cell.ends[LAST_PRE, :] = -1
    cell.marks[FIRED] = cell.marks[HELD] = cell.marks[AWAKE] = cell.marks[TOGETHER] = 0


@serial
def _is_quiet(g_e: Array, g_i: Array, zero: Any) -> bool:
    """Return whether all conductances are zero."""
    active = False
    for j in range(len(g_e)):
        active |= (g_e[j] > zero) | (g_i[j] > zero)
    return not active


@serial
def _rest(v: Array, rest: Any, still: Any) -> None:
    """Let potentials leak: the share `still` of their distance from rest remains."""
    for j in range(len(v)):
        v[j] = rest + (v[j] - rest) * still


@serial
def present(net: Net, cell: Cell, buffers: tuple[Array, Array], learn: bool) -> int:
    """Present sorted input spikes to the network and let it rest; return the spikes of its neurons."""
    _begin(net, cell)
    spikes_of, starts = buffers
    sources = spikes_of[2]
    weight, k, n, floats, whole, ring, marks = net.weight, net.k, net.n, cell.floats, cell.whole, cell.ring, cell.marks
    steps, slots, spikes = n[STEPS], n[SLOTS], 0
    end, first, last = steps + n[REST_STEPS], 0, 0
    for t in range(end):
        if marks[HELD] > 0:
            release(floats, whole, marks, t, k[LEAK_E])
        if slots > 0:
            crossed = advance_delayed(floats, k, ring[(t - 1) % slots])
        else:
            crossed = advance(floats, k, weight, sources, first, last)
        if learn:
            for place in range(first, last):  # spikes of the step before, after they were sent
                depress(weight, k, n[KIND], net.tables, whole, marks[FIRED], cell.ends, sources[place], t - 1)
        if marks[AWAKE] > 0:
            inhibit(floats, whole, marks, k, n[HELD_I], t)
        if crossed:
            many = fire_layer(net, cell, t, learn) if n[LAYER] else fire_winner(net, cell, t, learn)
            marks[TOGETHER] = max(marks[TOGETHER], many)
            spikes += many
        first, last = (starts[t], starts[t + 1]) if t < steps else (0, 0)
        if slots > 0 and first < last:
            send_later(weight, net.delays, ring, sources[first:last], t % slots, n[WIDTH])
        settled = t >= steps + slots and t % 8 == 0 and marks[HELD] + marks[AWAKE] == 0
        if settled and _is_quiet(floats[G_E], floats[G_I], k[ZERO]):
            _rest(floats[V], k[REST_E], (k[START] - k[LEAK_E]) ** (end - 1 - t))
            break
    if learn:
        for place in range(first, last):
            depress(weight, k, n[KIND], net.tables, whole, marks[FIRED], cell.ends, sources[place], end - 1)
    return spikes


@serial
def _forget(theta: Array, keep: Any) -> None:
    for j in range(len(theta)):
        theta[j] *= keep


@serial
def train_images(
    net: Net, potential: Array, pixels: Array, key: Any, intensity: Array, outcome: Array, wins: Array
) -> None:
    """Train on pixels [B, F, D] in order; `net.weight`, `net.theta` and `potential` [N] change.

    `intensity` holds the first one and the increment of each further presentation. `outcome` [B, 5] gets one row per
    example (see `OUTCOME`); each neuron's spikes are added to `wins` [N].
    """
    examples, size = len(pixels), pixels.shape[2] * net.n[STEPS]
    buffers = make_buffers(size, net.n[STEPS])
    cell = make_cell(net)
    cell.floats[V, :] = potential
    sums = np.empty(len(potential), np.float64)
    normalise(net, sums)
    for b in range(examples):
        tries, strength = 0, intensity[0]
        outcome[b] = 0
        while True:
            normalise_columns(net, cell.whole[FIRED, : cell.marks[FIRED]], sums)
            own = hashed(key + GOLDEN * np.uint64(b * 64 + tries + 1))
            many = draw_sorted(pixels[b], strength, own, net, cell, buffers)
            spikes = present(net, cell, buffers, True)
            _forget(net.theta, net.k[THETA_KEEP])
            outcome[b, SENT] += many
            outcome[b, ALL_SPIKES] += spikes
            if spikes >= net.n[LEAST] or tries >= net.n[MOST] or many == 0:
                break
            tries += 1
            strength += intensity[1]
        outcome[b, SPIKES], outcome[b, REPEATS], outcome[b, MOST_TOGETHER] = spikes, tries, cell.marks[TOGETHER]
        for j in range(len(wins)):
            wins[j] += cell.whole[COUNTS, j]
    normalise_columns(net, cell.whole[FIRED, : cell.marks[FIRED]], sums)
    potential[:] = cell.floats[V]


@parallel
def count_spikes(net: Net, pixels: Array, key: Any, intensity: Array, counts: Array, outcome: Array) -> None:
    """Answer pixels [B, F, D] without learning, each from rest: `counts` [B, N] gets the spikes of each neuron.

    `outcome` is that of `train_images`. The network does not change, and no example depends on another.
    """
    examples, size = len(pixels), pixels.shape[2] * net.n[STEPS]
    for block in numba.prange((examples + BLOCK - 1) // BLOCK):
        buffers = make_buffers(size, net.n[STEPS])
        cell = make_cell(net)
        for b in range(block * BLOCK, min((block + 1) * BLOCK, examples)):
            own = hashed(key + GOLDEN * np.uint64(b + 1))
            _answer(net, cell, pixels[b], own, intensity, outcome[b], buffers)
            for j in range(counts.shape[1]):
                counts[b, j] = cell.whole[COUNTS, j]


@serial
def _answer(
    net: Net, cell: Cell, pixels: Array, key: Any, intensity: Array, outcome: Array, buffers: tuple[Array, Array]
) -> None:
    """Present one example until the network answers; the cell holds the spikes."""
    tries, strength = 0, intensity[0]
    outcome[:] = 0
    while True:
        cell.floats[V, :] = net.k[REST_E]
        many = draw_sorted(pixels, strength, hashed(key + GOLDEN * np.uint64(tries + 1)), net, cell, buffers)
        spikes = present(net, cell, buffers, False)
        outcome[SENT] += many
        outcome[ALL_SPIKES] += spikes
        if spikes >= net.n[LEAST] or tries >= net.n[MOST] or many == 0:
            break
        tries += 1
        strength += intensity[1]
    outcome[SPIKES], outcome[REPEATS], outcome[MOST_TOGETHER] = spikes, tries, cell.marks[TOGETHER]
