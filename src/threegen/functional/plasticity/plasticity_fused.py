"""Learning by pairs and triplets of spikes as one compiled loop over stimuli that computes only for spikes.

The rule is `plasticity.triplet_change`, the neurons are `plastic_neurons.layer_step`; this is the fast version of both:

- an input spike adds one contiguous row of W (weights are stored as [I, O]), no spike costs nothing;
- traces are not decayed: each stores its value at its last spike and the step of that spike; a table holds e^(-k
  dt/tau);
- an input spike lowers only the weights to neurons that have fired in this stimulus, a neuron's spike changes only the
  weights from inputs that have;
- only neurons that fired are normalised after a stimulus.

One core, stimuli in order: a parallel launch inside the time loop would cost more than the step.
Shapes: T steps, B stimuli, I inputs, O neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.functional.plasticity.plastic_neurons import LayerConstants
from threegen.functional.spiking.event_lists import list_events
from threegen.machine.compiler import serial

Array = np.ndarray[Any, Any]


def learn_triplets(
    weight: Tensor,
    theta: Tensor,
    trains: Tensor,
    own: LayerConstants,
    taus: Sequence[float],
    plus: tuple[float, float],
    minus: tuple[float, float],
    saturate: bool,
) -> Tensor:
    """Present `trains` [T, B, I] one after another, changing `weight` [O, I] and `theta` [O] in place; return the
    spikes.

    `taus` are the time constants of r1, o1, r2, o2 in steps, `plus` and `minus` the (pair, triplet) rates as in
    `triplet_change`, at least 0. Returns spikes [B, T, O] (uint8). Weights must be in 0..w_max, on the CPU; they are
    changed in place if stored as [I, O], else copied in and out.
    """
    steps, stimuli, inputs = trains.shape
    events = list_events(trains.reshape(steps * stimuli, inputs))
    tables = np.exp(-np.arange(steps + 1) / np.asarray(taus, np.float64)[:, None])
    rows = weight.detach().t()
    lying = rows if rows.is_contiguous() else rows.contiguous()
    spikes = np.zeros((stimuli, steps, len(weight)), np.uint8)
    places = (events.begin.reshape(steps, stimuli), events.end.reshape(steps, stimuli), events.index)
    rates = np.array([*plus, *minus], np.float64)
    for stimulus in range(stimuli):
        _learn_one(
            lying.numpy(),
            theta.numpy(),
            *places,
            stimulus,
            _numbers(own),
            _wholes(own),
            tables,
            rates,
            saturate,
            spikes[stimulus],
        )
    if lying is not rows:
        weight.detach().copy_(lying.t())
    return torch.from_numpy(spikes)


def _numbers(own: LayerConstants) -> Array:
    return np.array(
        [own.decay, own.threshold, own.inhibition, own.theta_plus, own.theta_decay, own.w_max, own.norm], np.float64
    )


def _wholes(own: LayerConstants) -> Array:
    return np.array([own.refractory, own.winners], np.int64)


@serial
def _learn_one(
    weight: Array,
    theta: Array,
    begin: Array,
    end: Array,
    index: Array,
    stimulus: int,
    numbers: Array,
    wholes: Array,
    tables: Array,
    rates: Array,
    saturate: bool,
    spikes: Array,
) -> None:
    """Present one stimulus: run its steps, then normalise the neurons that fired."""
    inputs, neurons = weight.shape
    potentials = np.zeros(neurons, weight.dtype)
    drive = np.zeros(neurons, weight.dtype)
    waiting = np.zeros(neurons, np.int64)
    # traces: value at the last spike and its step; row 0 the fast one, row 1 the slow one
    of_input, of_neuron = np.zeros((2, inputs)), np.zeros((2, neurons))
    input_last, neuron_last = np.full(inputs, -1), np.full(neurons, -1)
    seen, active = np.empty(inputs, np.int64), np.empty(neurons, np.int64)
    seen_count = active_count = 0
    fired = np.empty(neurons, np.int64)
    fired_count = 0
    now = np.zeros(inputs, weight.dtype)  # the decrease by each input that spikes in this step, per unit of o1
    for t in range(len(spikes)):
        here = index[begin[t, stimulus] : end[t, stimulus]]
        drive[:] = 0
        for i in here:
            drive += weight[i]
        fired_count = _advance(potentials, drive, waiting, theta, fired, fired_count, numbers, wholes)
        for n in range(fired_count):
            spikes[t, fired[n]] = 1
        for i in here:
            past = of_input[1, i] * tables[2, t - input_last[i]] if input_last[i] >= 0 else 0.0
            now[i] = rates[2] + rates[3] * past
            if input_last[i] < 0:
                seen[seen_count] = i
                seen_count += 1
            _mark(of_input, input_last, i, t, tables[0], tables[2], saturate)
        _depress(weight, here, now, active, active_count, of_neuron, neuron_last, spikes[t], t, tables[1])
        for n in range(fired_count):
            o = fired[n]
            _potentiate(
                weight,
                o,
                t,
                seen,
                seen_count,
                now,
                of_input,
                input_last,
                of_neuron,
                neuron_last,
                tables,
                rates,
                numbers,
            )
            if neuron_last[o] < 0:
                active[active_count] = o
                active_count += 1
            _mark(of_neuron, neuron_last, o, t, tables[1], tables[3], saturate)
        for i in here:
            now[i] = 0.0
    if numbers[6] > 0:
        _normalise(weight, active[:active_count], numbers[6], numbers[5])


@serial
def _advance(
    potentials: Array,
    drive: Array,
    waiting: Array,
    theta: Array,
    fired: Array,
    before: int,
    numbers: Array,
    wholes: Array,
) -> int:
    """Advance the neurons by one step; write the firing ones into `fired` and return their number. `before` fired in
    the last step."""
    decay, threshold, inhibition = numbers[0], numbers[1], numbers[2]
    neurons = len(potentials)
    if inhibition > 0 and before > 0:
        drive -= inhibition * before
        for n in range(before):
            drive[fired[n]] += inhibition
    many = 0
    for o in range(neurons):
        potentials[o] = 0.0 if waiting[o] > 0 else decay * potentials[o] + drive[o]
        fired[many] = o
        many += waiting[o] == 0 and potentials[o] >= threshold + theta[o]
    if wholes[1] > 0:
        many = _best(potentials, theta, fired, many, wholes[1])
    for o in range(neurons):
        waiting[o] = max(0, waiting[o] - 1)
        theta[o] *= numbers[4]
    for n in range(many):
        o = fired[n]
        potentials[o] = 0.0
        waiting[o] = wholes[0]
        theta[o] += numbers[3]
    return many


@serial
def _best(potentials: Array, theta: Array, fired: Array, many: int, winners: int) -> int:
    """Move the `winners` furthest above threshold to the front of `fired`, among equals the first; return their
    number."""
    kept = min(many, winners)
    for place in range(kept):
        best = place
        for n in range(place + 1, many):
            ahead = potentials[fired[n]] - theta[fired[n]] - (potentials[fired[best]] - theta[fired[best]])
            if ahead > 0 or (ahead == 0 and fired[n] < fired[best]):
                best = n
        fired[place], fired[best] = fired[best], fired[place]
    return kept


@serial
def _mark(trace: Array, last: Array, i: int, t: int, fast: Array, slow: Array, saturate: bool) -> None:
    """Add a spike of unit `i` at step `t` to its two traces."""
    if saturate or last[i] < 0:
        trace[0, i] = trace[1, i] = 1.0
    else:
        trace[0, i] = trace[0, i] * fast[t - last[i]] + 1.0
        trace[1, i] = trace[1, i] * slow[t - last[i]] + 1.0
    last[i] = t


@serial
def _depress(
    weight: Array,
    here: Array,
    now: Array,
    active: Array,
    count: int,
    of_neuron: Array,
    neuron_last: Array,
    spikes: Array,
    t: int,
    table: Array,
) -> None:
    """Lower the weights from inputs that spike to neurons that fired before, except those that fire now too."""
    if len(here) == 0:
        return
    for n in range(count):
        o = active[n]
        if spikes[o]:
            continue  # both kinds of change are summed before the bounds, in `_potentiate`
        trace = of_neuron[0, o] * table[t - neuron_last[o]]
        for i in here:
            weight[i, o] = max(0.0, weight[i, o] - now[i] * trace)


@serial
def _potentiate(
    weight: Array,
    o: int,
    t: int,
    seen: Array,
    count: int,
    now: Array,
    of_input: Array,
    input_last: Array,
    of_neuron: Array,
    neuron_last: Array,
    tables: Array,
    rates: Array,
    numbers: Array,
) -> None:
    """Change the weights to neuron `o`, which fires, from every input that has spiked in this stimulus."""
    fast = slow = 0.0
    if neuron_last[o] >= 0:
        fast = of_neuron[0, o] * tables[1, t - neuron_last[o]]
        slow = of_neuron[1, o] * tables[3, t - neuron_last[o]]
    up = rates[0] + rates[1] * slow
    for n in range(count):
        i = seen[n]
        moved = weight[i, o] + up * of_input[0, i] * tables[0, t - input_last[i]] - now[i] * fast
        weight[i, o] = min(numbers[5], max(0.0, moved))


@serial
def _normalise(weight: Array, neurons: Array, norm: float, w_max: float) -> None:
    """Scale the columns of `neurons` to the sum `norm`, at most `w_max` each; a column of zeros stays."""
    for o in neurons:
        total = weight[:, o].sum()
        if total > 0:
            for i in range(len(weight)):
                weight[i, o] = min(w_max, weight[i, o] * (norm / total))
