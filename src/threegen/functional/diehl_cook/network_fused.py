"""The network of Diehl and Cook, event by event, in compiled kernels: training on one core, answering over images.

    tau dv/dt = (v_rest - v) + g_e (E_exc - v) + g_i (E_inh - v)      dg_e/dt = -g_e / tau_e      dg_i/dt = -g_i / tau_i

One step of Euler, in this order: v moves by the conductances of the step before; conductances decay; neurons at or
above their threshold fire and potentiate their inputs; the step's input spikes are sent (their synapses depress) and
those that are due arrive, for the next step. Constants are defined in `constants.py`; `network.py` is a step-by-step
version in plain PyTorch, with the same spikes.

Reasons for its speed: weights are stored as [inputs, neurons], so that an input spike adds one row; input spikes are
drawn by skipping from spike to spike over non-zero pixels only; traces are looked up by the time since the last spike;
only the columns of neurons that fired are changed and normalised again; the rest period is stepped until all
conductances are zero and computed in closed form from there. Conductances below a floor are set to zero, which also
avoids denormal numbers.

Shapes: B examples, F frames of each (images have one), D inputs, N neurons, G groups of neurons with a common delay.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from threegen.functional.diehl_cook.constants import (
    CHANCE,
    DECAY_E,
    DECAY_I,
    E_EXC,
    E_INH,
    EXC_TO_INH,
    FLOOR,
    GAIN,
    HELD_E,
    INH_TO_EXC,
    LEAK_I,
    OFFSET,
    RESET_E,
    RESET_I,
    REST_E,
    REST_I,
    START,
    STEPS,
    THETA_PLUS,
    THRESHOLD_I,
    ZERO,
)
from threegen.functional.diehl_cook.learning import potentiate
from threegen.machine.compiler import serial
from threegen.machine.simd.vector_kernels import LANES, add_sixteen

Array = np.ndarray[Any, Any]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_ELEVEN, _TWO_53 = np.uint64(11), 2.0**-53
TILE = 1024  # neurons
# Rows of `Cell.floats` and of `Cell.whole`; places in `Cell.marks`, which holds the lengths of the lists.
V, G_E, G_I, RATE, LIMIT, V_I, G_EI = range(7)
FREE, FREE_I, SLEPT, LAST_POST, COUNTS, FIRED, HELD, AWAKE = range(8)
LAST_PRE, LIT, TOGETHER = 0, 1, 2


class Net(NamedTuple):
    """A network for the kernels: weights [D, N], theta [N], delays in steps [D, G], constants and tables.

    `tables` [3, steps + 1] are the decays of the input's trace and of the neuron's two traces since the last spike.
    """

    weight: Any
    theta: Any
    delays: Any
    k: Any
    n: Any
    tables: Any


class Cell(NamedTuple):
    """The state of one simulation.

    `floats` [7, N]: the potential, both conductances, the rate (dt / tau, or 0 while a neuron is refractory), the
    threshold; the inhibitory neuron's potential and conductance. `whole` [8, N]: the steps at which the two
    neurons are free again, at which the inhibitory one became inactive (-1 while it is active) and at which the
    excitatory one fired last (-1 for never); its spikes; three lists of neurons. `ring` [slots, N] holds later
    arrivals. `ends` [2, D]: the step of each input's last spike, and the list of inputs that may fire.
    """

    floats: Any
    whole: Any
    ring: Any
    ends: Any
    marks: Any


@serial
def hashed(z: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = (z ^ (z >> _SHIFTS[0])) * _FACTORS[0]
    z = (z ^ (z >> _SHIFTS[1])) * _FACTORS[1]
    return z ^ (z >> _SHIFTS[2])


@serial
def draw_input(pixels: Array, intensity: float, key: Any, net: Net, cell: Cell, when: Array, which: Array) -> int:
    """Draw the input spikes of one presentation; return their number: steps go into `when`, inputs into `which`,
    unsorted.

    `pixels` [F, D] share the presentation's steps evenly. Each step a pixel x fires with the chance x * intensity *
    255 / 8 Hz * dt, at most one; the gap to its next spike is geometric and drawn at once by a hash of the key and a
    counter. `cell.ends[LIT]` gets the inputs that may fire.
    """
    frames, inputs = pixels.shape
    steps, lit, many = net.n[STEPS], 0, 0
    chance, listed = float(net.k[CHANCE]) * intensity, cell.ends[LIT]
    for i in range(inputs):
        listed[lit] = i
        seen = False
        counter = hashed(key + GOLDEN * np.uint64(i + 1))
        for f in range(frames):
            p = min(1.0, pixels[f, i] * chance)
            if p > 0.0:
                seen = True
                scale = 1.0 / math.log1p(-p) if p < 1.0 else 0.0
                step, end = (f * steps) // frames - 1, ((f + 1) * steps) // frames
                while True:
                    counter += GOLDEN
                    u = (float(hashed(counter) >> _ELEVEN) + 1.0) * _TWO_53
                    gap = math.log(u) * scale
                    if gap >= end - step - 1:
                        break
                    step += 1 + int(gap)
                    when[many] = step
                    which[many] = i
                    many += 1
        lit += seen
    cell.marks[LIT] = lit
    return many


@serial
def sort_by_step(when: Array, which: Array, many: int, starts: Array, sources: Array) -> None:
    """Put the inputs into the order of steps: those of step t are `sources[starts[t] : starts[t + 1]]`, ascending."""
    starts[:] = 0
    for s in range(many):
        starts[when[s] + 1] += 1
    for t in range(1, len(starts)):
        starts[t] += starts[t - 1]
    for s in range(many):
        t = when[s]
        sources[starts[t]] = which[s]
        starts[t] += 1
    for t in range(len(starts) - 1, 0, -1):
        starts[t] = starts[t - 1]
    starts[0] = 0


@serial
def _move(v: Array, g_e: Array, g_i: Array, rate: Array, limit: Array, k: Array, due: Array | None) -> Any:
    """Move potentials and conductances by one step; return whether any potential reaches its threshold.

    Conductances decay; those below the floor are zero. Input that is `due` arrives before, and its slot is cleared.
    """
    rest, gain, e_exc, e_inh = k[REST_E], k[GAIN], k[E_EXC], k[E_INH]
    keep_e, keep_i, floor, zero = k[DECAY_E], k[DECAY_I], k[FLOOR], k[ZERO]
    crossed = False
    for j in range(len(v)):
        e, i = g_e[j], g_i[j]
        if due is not None:  # resolved at compile time
            e += due[j]
            due[j] = zero
        u = v[j] + rate[j] * ((rest - v[j]) + gain * e * (e_exc - v[j]) + i * (e_inh - v[j]))
        u = max(u, e_inh)  # if Euler's step is too long for simultaneous inhibition by many neurons
        v[j] = u
        crossed |= u >= limit[j]
        e, i = e * keep_e, i * keep_i
        g_e[j] = e if e > floor else zero
        g_i[j] = i if i > floor else zero
    return crossed


@serial
def _add(row: Array, total: Array) -> None:
    for j in range(len(total)):
        total[j] += row[j]


@serial
def _add_three(first: Array, second: Array, third: Array, total: Array) -> None:
    """Add three rows in one pass over `total`, one after another as `_add` would."""
    for j in range(len(total)):
        total[j] = ((total[j] + first[j]) + second[j]) + third[j]


@serial
def advance(floats: Array, k: Array, weight: Array, sources: Array, first: int, last: int) -> Any:
    """Add the rows `sources[first:last]`, then advance all by one step; return whether any reaches its threshold.

    Tile by tile: a tile's state stays in the first-level cache.
    """
    crossed, count = False, floats.shape[1]
    for low in range(0, count, TILE):
        high = min(low + TILE, count)
        g_e, g_i = floats[G_E, low:high], floats[G_I, low:high]
        place = first
        while place + 3 <= last:
            a, b, c = sources[place], sources[place + 1], sources[place + 2]
            _add_three(weight[a, low:high], weight[b, low:high], weight[c, low:high], g_e)
            place += 3
        while place < last:
            _add(weight[sources[place], low:high], g_e)
            place += 1
        crossed |= _move(floats[V, low:high], g_e, g_i, floats[RATE, low:high], floats[LIMIT, low:high], k, None)
    return crossed


@serial
def _send_sixteens(weight: Array, delays: Array, ring: Array, sources: Array, slot: int) -> None:
    slots, count = ring.shape
    for place in range(len(sources)):
        i = np.uintp(sources[place])  # unsigned, so that no negative index is possible
        own = sources[place] * count
        for g in range(count // LANES):
            due = slot + delays[i, np.uintp(g)]
            due -= slots if due >= slots else 0
            add_sixteen(ring, due * count + LANES * g, weight, own + LANES * g)


@serial
def _send_last(weight: Array, delays: Array, ring: Array, sources: Array, slot: int) -> None:
    """Send to the neurons of the last, incomplete group."""
    slots, count = ring.shape
    for i in sources:
        due = slot + delays[i, delays.shape[1] - 1]
        due -= slots if due >= slots else 0
        for j in range(count - count % LANES, count):
            ring[due, j] += weight[i, j]


@serial
def _send_singly(weight: Array, delays: Array, ring: Array, sources: Array, slot: int) -> None:
    slots = np.uintp(ring.shape[0])
    for place in range(len(sources)):
        i = np.uintp(sources[place])
        for number in range(ring.shape[1]):
            j = np.uintp(number)
            due = np.uintp(slot) + np.uintp(delays[i, j])
            due -= slots if due >= slots else np.uintp(0)
            ring[due, j] += weight[i, j]


@serial
def send_later(weight: Array, delays: Array, ring: Array, sources: Array, slot: int, width: int) -> None:
    """Send spikes of the inputs `sources` to each group of `width` (16 or 1) neurons, with the groups' delays.

    `slot` is the current index in `ring`.
    """
    if width == 1:
        _send_singly(weight, delays, ring, sources, slot)
        return
    _send_sixteens(weight, delays, ring, sources, slot)
    if ring.shape[1] % LANES:
        _send_last(weight, delays, ring, sources, slot)


@serial
def advance_delayed(floats: Array, k: Array, due: Array) -> Any:
    """Add the input that is `due` [N] and clear its slot, then advance all by one step; return as `advance` does."""
    return _move(floats[V], floats[G_E], floats[G_I], floats[RATE], floats[LIMIT], k, due)


@serial
def release(floats: Array, whole: Array, marks: Array, t: int, leak: Any) -> None:
    """Release the neurons whose refractory period ends at step t."""
    place = 0
    while place < marks[HELD]:
        j = whole[HELD, place]
        if whole[FREE, j] <= t:
            floats[RATE, j] = leak
            marks[HELD] -= 1
            whole[HELD, place] = whole[HELD, marks[HELD]]
        else:
            place += 1


@serial
def _spike(net: Net, cell: Cell, j: int, t: int, learn: bool) -> None:
    """Neuron j fires at step t."""
    floats, whole, marks, k = cell.floats, cell.whole, cell.marks, net.k
    floats[V, j] = k[RESET_E]
    floats[RATE, j] = k[ZERO]
    whole[FREE, j] = t + 1 + net.n[HELD_E]
    whole[HELD, marks[HELD]] = j
    marks[HELD] += 1
    whole[COUNTS, j] += 1
    if learn:
        net.theta[j] += k[THETA_PLUS]
        floats[LIMIT, j] = net.theta[j] + k[OFFSET]
        potentiate(net, cell, j, t)
    if whole[LAST_POST, j] < 0:
        whole[FIRED, marks[FIRED]] = j
        marks[FIRED] += 1
    whole[LAST_POST, j] = t


@serial
def fire_layer(net: Net, cell: Cell, t: int, learn: bool) -> int:
    """Let every neuron at its threshold fire and activate its inhibitory neuron; return how many fired."""
    floats, whole, marks, k, many = cell.floats, cell.whole, cell.marks, net.k, 0
    for j in range(floats.shape[1]):
        if floats[V, j] >= floats[LIMIT, j] and floats[RATE, j] > k[ZERO]:
            _spike(net, cell, j, t, learn)
            many += 1
            if whole[SLEPT, j] >= 0:
                still = (k[START] - k[LEAK_I]) ** (t - whole[SLEPT, j])
                floats[V_I, j] = k[REST_I] + (floats[V_I, j] - k[REST_I]) * still
                whole[SLEPT, j] = -1
                whole[AWAKE, marks[AWAKE]] = j
                marks[AWAKE] += 1
            floats[G_EI, j] += k[EXC_TO_INH]
    return many


@serial
def fire_winner(net: Net, cell: Cell, t: int, learn: bool) -> int:
    """Let the neuron furthest above its threshold fire; the others are reset and inhibited at once."""
    floats, k, best = cell.floats, net.k, -1
    most = k[ZERO]
    for j in range(floats.shape[1]):
        above = floats[V, j] - floats[LIMIT, j]
        if above >= k[ZERO] and floats[RATE, j] > k[ZERO] and (best < 0 or above > most):
            best, most = j, above
    if best < 0:
        return 0
    own = floats[G_I, best]
    for j in range(floats.shape[1]):
        floats[V, j] = k[RESET_E]
        floats[G_I, j] += k[INH_TO_EXC]
    floats[G_I, best] = own
    _spike(net, cell, best, t, learn)
    return 1


@serial
def inhibit(floats: Array, whole: Array, marks: Array, k: Array, held: int, t: int) -> None:
    """One step of the active inhibitory neurons; each one's spike reaches all neurons but its own."""
    place, many = 0, 0
    while place < marks[AWAKE]:
        i = whole[AWAKE, place]
        moves = whole[FREE_I, i] <= t
        if moves:
            v, g = floats[V_I, i], floats[G_EI, i]
            floats[V_I, i] = v + k[LEAK_I] * ((k[REST_I] - v) + g * (k[E_EXC] - v))
        kept = floats[G_EI, i] * k[DECAY_E]
        floats[G_EI, i] = kept if kept > k[FLOOR] else k[ZERO]
        if moves and floats[V_I, i] >= k[THRESHOLD_I]:
            floats[V_I, i] = k[RESET_I]
            whole[FREE_I, i] = t + 1 + held
            floats[G_I, i] -= k[INH_TO_EXC]
            many += 1
        if floats[G_EI, i] == k[ZERO] and whole[FREE_I, i] <= t:
            whole[SLEPT, i] = t
            marks[AWAKE] -= 1
            whole[AWAKE, place] = whole[AWAKE, marks[AWAKE]]
        else:
            place += 1
    if many > 0:
        strength = k[INH_TO_EXC] * many
        for j in range(floats.shape[1]):
            floats[G_I, j] += strength
