"""The time loop of general neurons as one compiled pass forward and one backward: the fast version of `general_loop`.

    u[t] = q + decay (v[t-1] - q) + I[t]        held at v[t-1] while refractory          q = u_r1, r = u_r2
    o[t] = u[t] >= threshold + a[t-1], not refractory        a[t] = rho a[t-1] + beta o[t]
    v[t] = u + o (r - u) hard, u - o (threshold - r) soft

With A and B the gradients of a[t] and v[t], h the surrogate at u - a, n = 1 if the neuron is not refractory:

    G[t] = G_o[t] + beta A[t] + p B[t] (r - u[t]) hard, - p B[t] (threshold - r) soft       p = 0: reset detached
    g[t] = G_u[t] + B[t] (1 - o[t]) hard, B[t] soft + n h G[t]
    A[t-1] = rho A[t] - n h G[t]        B[t-1] = g[t] (decay where n, else 1)        dL/dI[t] = n g[t]

The kernel K is convolved with the currents before the loop. Each block of neurons runs through all steps while it stays
in the cache, without branches.

Shapes: T time steps, M neurons of all examples in one row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.functional.spiking.general_neurons import (
    GeneralOptions,
    after_reset,
    after_window,
    require_state,
    resting_state,
)
from threegen.functional.spiking.neurons import LIFParameters, NeuronState, check_currents
from threegen.functional.spiking.neurons_fused import BLOCK, KINDS, constants_of, rows, shared_rows, slopes
from threegen.machine.compiler import parallel, ready_numba, serial

numba = ready_numba()

Array = np.ndarray[Any, Any]

# Places in the array of constants, which has the type of the data.
ZERO, ONE, DECAY, LIMIT, REST, TO, WAY, HARD, THROUGH, PERIOD, BETA, RHO = range(12)


def general_constants(parameters: LIFParameters, options: GeneralOptions, dtype: torch.dtype) -> Array:
    """Return the constants for the kernels, in the type of the potentials."""
    values = [0.0, 1.0, parameters.decay, parameters.threshold, options.rest, options.reset_to]
    values += [parameters.threshold - options.reset_to]
    values += [float(parameters.reset == "hard"), float(not parameters.detach_reset)]
    values += [float(options.refractory), options.adaptation, options.adaptation_decay]
    return np.array(values, dtype=np.float32 if dtype == torch.float32 else float)


@serial
def _ahead(
    u: Array, spikes: Array, lifted: Array, active: Array, left: Array, raised: Array, wait: Array, k: Array
) -> None:
    """One step of a block; `u` holds the currents and becomes the potentials, `left`, `raised`, `wait` are carried."""
    zero, one, decay, limit, rest, to = k[ZERO], k[ONE], k[DECAY], k[LIMIT], k[REST], k[TO]
    way, hard, period, beta, rho = k[WAY], k[HARD], k[PERIOD], k[BETA], k[RHO]
    for i in range(len(u)):
        free = wait[i] <= zero
        moved = rest + decay * (left[i] - rest) + u[i]
        now = moved if free else left[i]
        lifted[i] = raised[i]
        fired = one if free and now - raised[i] >= limit else zero
        u[i], spikes[i], active[i] = now, fired, free
        wait[i] = period if fired > zero else max(zero, wait[i] - one)
        raised[i] = rho * raised[i] + beta * fired
        reset = now * (one - fired) + to * fired
        lowered = now - way * fired
        left[i] = reset if hard > zero else lowered


@parallel
def general_forward(
    potentials: Array,
    spikes: Array,
    lifted: Array,
    active: Array,
    left: Array,
    raised: Array,
    wait: Array,
    k: Array,
) -> None:
    """Turn currents into potentials, all [T, M], and fill the arrays that backward needs; the states [M] become the
    last ones."""
    steps, count = potentials.shape
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min((block + 1) * BLOCK, count)
        for t in range(steps):
            _ahead(
                potentials[t, low:high],
                spikes[t, low:high],
                lifted[t, low:high],
                active[t, low:high],
                left[low:high],
                raised[low:high],
                wait[low:high],
                k,
            )


@serial
def _back(
    u: Array,
    slope: Array,
    lifted: Array,
    active: Array,
    by_spikes: Array,
    by_potentials: Array,
    by_left: Array,
    by_raised: Array,
    result: Array,
    k: Array,
) -> None:
    """One step of a block backwards; `by_left` and `by_raised` are B and A, and change from step t to step t - 1."""
    zero, one, decay, limit, to, way = k[ZERO], k[ONE], k[DECAY], k[LIMIT], k[TO], k[WAY]
    hard, through, beta, rho = k[HARD], k[THROUGH], k[BETA], k[RHO]
    for i in range(len(u)):
        free = one if active[i] else zero
        fired = free if u[i] - lifted[i] >= limit else zero
        by_reset = by_left[i] * (to - u[i]) if hard > zero else -by_left[i] * way
        arriving = by_spikes[i] + beta * by_raised[i] + through * by_reset
        kept = one - fired if hard > zero else one
        felt = free * slope[i] * arriving
        gradient = by_potentials[i] + by_left[i] * kept + felt
        by_raised[i] = rho * by_raised[i] - felt
        result[i] = free * gradient
        by_left[i] = gradient * (decay if active[i] else one)


@parallel
def general_backward(
    potentials: Array,
    lifted: Array,
    active: Array,
    by_spikes: Array,
    by_potentials: Array,
    by_left: Array,
    by_raised: Array,
    result: Array,
    k: Array,
    neuron: Array,
    kind: int,
) -> None:
    """Fill `result` [T, M] with the gradient of the summed input; `by_left`, `by_raised` [M] become the state's.

    `by_spikes` and `by_potentials` are [T, M], or [1, M] if they are the same at every step.
    """
    steps, count = potentials.shape
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min((block + 1) * BLOCK, count)
        slope = np.empty(high - low, potentials.dtype)
        lowered = np.empty(high - low, potentials.dtype)
        for back in range(steps):
            t = steps - 1 - back
            for i in range(high - low):
                lowered[i] = potentials[t, low + i] - lifted[t, low + i]
            slopes(lowered, slope, neuron, kind)
            _back(
                potentials[t, low:high],
                slope,
                lifted[t, low:high],
                active[t, low:high],
                by_spikes[min(t, len(by_spikes) - 1), low:high],
                by_potentials[min(t, len(by_potentials) - 1), low:high],
                by_left[low:high],
                by_raised[low:high],
                result[t, low:high],
                k,
            )


def fused_general(
    currents: Tensor,
    state: NeuronState | None,
    parameters: LIFParameters,
    options: GeneralOptions,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, NeuronState]:
    """Return spikes, potentials [T, B, ...] and the last state, as `general_loop` does without feedback; CPU only.

    Spikes and potentials are bit-equal to the elementary loop's, gradients to rounding. Raises `ShapeError`.
    """
    check_currents(currents)
    start = resting_state(currents[0], options) if state is None else state
    require_state(start, currents[0], options)
    arriving, recent = after_window(currents, start.recent, options.kernel)
    left = after_reset(start, parameters, options)
    silent = torch.zeros_like(left)
    raised = start.adaptation if start.adaptation is not None else silent
    wait = start.countdown if start.countdown is not None else silent
    spikes, potentials, lifted, waiting = _FusedGeneral.apply(  # type: ignore[no-untyped-call]
        arriving, left, raised, wait, decay, parameters, options
    )
    after = NeuronState(
        potentials[-1],
        spikes[-1],
        lifted if options.adaptation else None,
        waiting if options.refractory else None,
        recent,
    )
    return spikes, potentials, after


class _FusedGeneral(torch.autograd.Function):
    """The compiled loops; gradients go to the input, the potential left, the threshold's lift and the decay."""

    @staticmethod
    def forward(
        ctx: Any,
        arriving: Tensor,
        left: Tensor,
        raised: Tensor,
        wait: Tensor,
        decay: Tensor | None,
        parameters: LIFParameters,
        options: GeneralOptions,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        now = parameters if decay is None else replace(parameters, decay=float(decay))
        potentials = arriving.clone(memory_format=torch.contiguous_format)
        spikes, lifted = torch.empty_like(potentials), torch.empty_like(potentials)
        active = torch.empty(potentials.shape, dtype=torch.bool)
        state = [one.detach().clone(memory_format=torch.contiguous_format)[None] for one in (left, raised, wait)]
        k = general_constants(now, options, arriving.dtype)
        general_forward(rows(potentials), rows(spikes), rows(lifted), rows(active), *(rows(one)[0] for one in state), k)
        ctx.save_for_backward(potentials, lifted, active, left, decay)
        ctx.parameters, ctx.options = now, options
        ctx.mark_non_differentiable(state[2][0])
        ctx.set_materialize_grads(False)
        return spikes, potentials, state[1][0], state[2][0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        by_spikes, by_potentials, by_last, _ = gradients
        potentials, lifted, active, left, decay = ctx.saved_tensors
        now, options = ctx.parameters, ctx.options
        result, none = torch.empty_like(potentials), torch.zeros_like(potentials[:1])
        by_left = torch.zeros_like(none)
        by_raised = none.clone() if by_last is None else by_last.clone(memory_format=torch.contiguous_format)[None]
        general_backward(
            rows(potentials),
            rows(lifted),
            rows(active),
            rows(none) if by_spikes is None else shared_rows(by_spikes),
            rows(none) if by_potentials is None else shared_rows(by_potentials),
            rows(by_left)[0],
            rows(by_raised)[0],
            rows(result),
            general_constants(now, options, potentials.dtype),
            constants_of(now, potentials.dtype),
            KINDS[now.surrogate],
        )
        by_decay = None
        if decay is not None:
            fired = (active[:-1] & (potentials[:-1] - lifted[:-1] >= now.threshold)).to(result.dtype)
            before = after_reset(NeuronState(potentials[:-1], fired), now, options)
            total = (result[1:] * (before - options.rest)).numpy().sum()  # in one fixed order on any number of cores
            by_decay = decay.new_tensor(float(total + (result[0] * (left - options.rest)).numpy().sum()))
        return result, by_left[0], by_raised[0], None, by_decay, None, None
