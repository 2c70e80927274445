"""The time loop of a layer of neurons as one compiled pass forward and one backward: the fast version of `lif_loop`.

    u[t] = decay * k[t-1] + I[t]        k = u (1 - o), hard reset, or u - threshold * o, soft        o = u >= threshold
    g[t] = G_u[t] + G_o[t] h[t] + g[t+1] c[t]
    c[t] = decay (1 - r o[t] - p u[t] h[t] - q h[t])

with h the surrogate, r = 1 for the hard reset, p = 1 if the gradient also flows through it (q = threshold for the soft
one), else 0. Neurons are independent, so each block of them runs through all time steps while it stays in the
first-level cache; inner loops have no branches, so that the compiler vectorises them. Only potentials are stored.

Shapes: T time steps, M neurons of all examples in one row. Spikes are bytes or the type of the potentials.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.functional.spiking.neurons import (
    SURROGATES,
    LIFParameters,
    NeuronState,
    check_currents,
    check_state,
    initial_gradients,
)
from threegen.machine.compiler import parallel, ready_numba, serial

numba = ready_numba()

Array = np.ndarray[Any, Any]

BLOCK = 1024  # neurons: a row of potentials, of spikes and of gradients fits the first-level cache together
KINDS = {name: number for number, name in enumerate(SURROGATES)}
# Places in the array of constants: numba treats 1 and 1.0 as 64-bit numbers, so each is passed in the type of the data.
ZERO, ONE, DECAY, THRESHOLD, RESETS, THROUGH, SOFT, HALF, INVERSE, STEEP, PI = range(11)


def constants_of(parameters: LIFParameters, dtype: torch.dtype) -> Array:
    """Return the constants for the kernels, in the type of the potentials."""
    hard, through, width = parameters.reset == "hard", not parameters.detach_reset, parameters.surrogate_width
    values = {
        ZERO: 0.0,
        ONE: 1.0,
        DECAY: parameters.decay,
        THRESHOLD: parameters.threshold,
        RESETS: float(hard),
        THROUGH: float(hard and through),
        SOFT: parameters.threshold if through and not hard else 0.0,
        HALF: width / 2,
        INVERSE: 1 / width,
        STEEP: {"sigmoid": 4 / width, "superspike": 2 / width}.get(parameters.surrogate, 1 / width),
        PI: np.pi / width,
    }
    return np.array([values[place] for place in sorted(values)], dtype=np.float32 if dtype == torch.float32 else float)


@serial
def step(before: Array, potential: Array, spikes: Array, k: Array, hard: bool) -> None:
    """One time step of a block; `potential` holds the currents and becomes the potentials."""
    zero, decay, threshold = k[ZERO], k[DECAY], k[THRESHOLD]
    if hard:
        for i in range(len(potential)):
            kept = zero if before[i] >= threshold else before[i]
            potential[i] += decay * kept
            spikes[i] = potential[i] >= threshold
    else:
        for i in range(len(potential)):
            kept = before[i] - (threshold if before[i] >= threshold else zero)
            potential[i] += decay * kept
            spikes[i] = potential[i] >= threshold


@serial
def first_step(start: Array, potential: Array, spikes: Array, k: Array) -> None:
    """The first step of a block; `start` is the remainder of an earlier potential."""
    threshold = k[THRESHOLD]
    for i in range(len(potential)):
        potential[i] += start[i]
        spikes[i] = potential[i] >= threshold


@serial
def rest_of_step(potential: Array, rest: Array, k: Array, hard: bool) -> None:
    """Fill `rest` with decay times the potential after the reset."""
    zero, decay, threshold = k[ZERO], k[DECAY], k[THRESHOLD]
    for i in range(len(potential)):
        lost = (potential[i] if hard else threshold) if potential[i] >= threshold else zero
        rest[i] = decay * (potential[i] - lost)


@parallel
def forward_loop(potentials: Array, spikes: Array, rest: Array, k: Array) -> None:
    """Turn currents into potentials and fill spikes, all [T, M].

    `rest` [M], decay times the potential after the previous step, is replaced by that of the last step here.
    """
    steps, count = potentials.shape
    hard = k[RESETS] > 0
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min((block + 1) * BLOCK, count)
        first_step(rest[low:high], potentials[0, low:high], spikes[0, low:high], k)
        for t in range(1, steps):
            step(potentials[t - 1, low:high], potentials[t, low:high], spikes[t, low:high], k, hard)
        rest_of_step(potentials[steps - 1, low:high], rest[low:high], k, hard)


@serial
def slopes(potential: Array, slope: Array, k: Array, kind: int) -> None:
    """Fill `slope` with the surrogate of a block; the order of kinds is that of `SURROGATES`."""
    zero, one, threshold = k[ZERO], k[ONE], k[THRESHOLD]
    half, inverse, steep, pi = k[HALF], k[INVERSE], k[STEEP], k[PI]
    if kind == 0:
        for i in range(len(potential)):
            slope[i] = inverse if abs(potential[i] - threshold) < half else zero
    elif kind == 1:
        for i in range(len(potential)):
            slope[i] = max(zero, one - abs(potential[i] - threshold) * inverse) * inverse
    elif kind == 2:
        for i in range(len(potential)):
            distance = (potential[i] - threshold) * pi
            slope[i] = inverse / (one + distance * distance)
    elif kind == 3:
        for i in range(len(potential)):
            s = one / (one + np.exp((threshold - potential[i]) * steep))
            slope[i] = s * (one - s) * steep
    else:
        for i in range(len(potential)):
            distance = one + abs(potential[i] - threshold) * steep
            slope[i] = inverse / (distance * distance)


@serial
def step_back(potential: Array, slope: Array, by_spikes: Array, later: Array, result: Array, k: Array) -> None:
    """Gradient of one step's input from that of the step after it; `result` and `later` may be the same memory."""
    zero, one, decay, threshold = k[ZERO], k[ONE], k[DECAY], k[THRESHOLD]
    resets, through, soft = k[RESETS], k[THROUGH], k[SOFT]
    for i in range(len(potential)):
        fired = resets if potential[i] >= threshold else zero
        kept = decay * (one - fired - slope[i] * (through * potential[i] + soft))
        result[i] = by_spikes[i] * slope[i] + later[i] * kept


@serial
def _add(values: Array, result: Array) -> None:
    for i in range(len(result)):
        result[i] += values[i]


@serial
def sum_up(values: Array, totals: Array, first: bool) -> None:
    """Add `values` to `totals`, which start with the `first` ones."""
    if first:
        totals[:] = values
    else:
        _add(values, totals)


@parallel
def backward_loop(
    potentials: Array,
    by_spikes: Array,
    by_potentials: Array,
    later: Array,
    result: Array,
    totals: Array,
    k: Array,
    kind: int,
) -> None:
    """Fill `result` [T, M] with the gradient of the currents and `totals` [M], or [0], with its sums over time.

    `by_spikes` is [T, M], or [1, M] if it is the same at every step; `by_potentials` is [T, M], or [0, M] for none;
    `later` [M] is the gradient of the step after the last.
    """
    steps, count = potentials.shape
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min((block + 1) * BLOCK, count)
        slope = np.empty(high - low, potentials.dtype)
        for back in range(steps):
            t = steps - 1 - back
            after = later[low:high] if back == 0 else result[t + 1, low:high]
            given = by_spikes[min(t, len(by_spikes) - 1), low:high]
            slopes(potentials[t, low:high], slope, k, kind)
            step_back(potentials[t, low:high], slope, given, after, result[t, low:high], k)
            if len(by_potentials) > 0:
                _add(by_potentials[t, low:high], result[t, low:high])
            if len(totals) > 0:
                sum_up(result[t, low:high], totals[low:high], back == 0)


@parallel
def pooled_backward_loop(
    potentials: Array,
    by_counts: Array,
    windows: Array,
    later: Array,
    result: Array,
    totals: Array,
    k: Array,
    kind: int,
) -> None:
    """`backward_loop` before a pooling layer, with the gradient of each window's count instead of each spike's.

    `by_counts` is [T, B, N], or [1, B, N] if it is the same at every step; `windows` [P], unsigned, is the window
    0..N-1 of each neuron of an example, N for none. `potentials` and `result` are [T, B P], `later` is [B P] and
    `totals` [B P] or [0].
    """
    steps, count = potentials.shape
    zero, places, whole = k[ZERO], len(windows), np.uintp(by_counts.shape[2])
    blocks = (places + BLOCK - 1) // BLOCK
    for job in numba.prange(count // places * blocks):
        example, first = job // blocks, job % blocks * BLOCK
        window = windows[first : min(first + BLOCK, places)]
        low = example * places + first
        high = low + len(window)
        slope, given = np.empty(len(window), potentials.dtype), np.empty(len(window), potentials.dtype)
        for back in range(steps):
            t = steps - 1 - back
            after = later[low:high] if back == 0 else result[t + 1, low:high]
            source = by_counts[min(t, len(by_counts) - 1), example]
            for i in range(len(window)):
                given[i] = source[window[i]] if window[i] < whole else zero
            slopes(potentials[t, low:high], slope, k, kind)
            step_back(potentials[t, low:high], slope, given, after, result[t, low:high], k)
            if len(totals) > 0:
                sum_up(result[t, low:high], totals[low:high], back == 0)


def can_fuse(currents: Tensor) -> bool:
    """Return whether the compiled loops take `currents`: float32 or float64 on the CPU."""
    return currents.device.type == "cpu" and currents.dtype in (torch.float32, torch.float64) and currents.numel() > 0


def rest_of(state: NeuronState, parameters: LIFParameters) -> Tensor:
    """Return decay times the potential after the reset, [B, ...]."""
    if parameters.reset == "hard":
        return parameters.decay * (state.potential * (1 - state.spikes))
    return parameters.decay * (state.potential - parameters.threshold * state.spikes)


def rows(tensor: Tensor) -> Array:
    """Return a contiguous tensor [T, ...] as an array [T, M] over the same memory."""
    array: Array = tensor.detach().numpy()
    return array.reshape(len(tensor), math.prod(tensor.shape[1:]))


def shared_rows(tensor: Tensor) -> Array:
    """Return a gradient [T, ...] as an array [T, M], or [1, M] if all steps share the same memory."""
    return rows((tensor[:1] if tensor.stride(0) == 0 else tensor).contiguous())


def fused_lif(currents: Tensor, state: NeuronState | None, parameters: LIFParameters) -> tuple[Tensor, Tensor]:
    """Return (spikes, potentials) [T, B, ...] of a layer over all time steps, as `lif_loop` does; CPU only.

    Spikes and potentials are bit-equal to the elementary loop's, gradients to rounding. Raises `ShapeError`.
    """
    check_currents(currents)
    if state is None:
        return _FusedLIF.apply(currents, None, None, parameters)  # type: ignore[no-untyped-call,no-any-return]
    check_state(state, currents[0])
    return _FusedLIF.apply(  # type: ignore[no-untyped-call,no-any-return]
        currents, state.potential, state.spikes, parameters
    )


class _FusedLIF(torch.autograd.Function):
    """The compiled loops, with the gradients of the currents and of the initial state."""

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, potential: Tensor | None, fired: Tensor | None, parameters: LIFParameters
    ) -> tuple[Tensor, Tensor]:
        potentials = currents.clone(memory_format=torch.contiguous_format)
        spikes = torch.empty_like(potentials)
        if potential is None or fired is None:
            rest = torch.zeros_like(potentials[0])
        else:
            rest = rest_of(NeuronState(potential, fired), parameters).contiguous()
        forward_loop(rows(potentials), rows(spikes), rows(rest[None])[0], constants_of(parameters, currents.dtype))
        ctx.save_for_backward(potentials, potential, fired)
        ctx.parameters = parameters
        ctx.set_materialize_grads(False)
        return spikes, potentials

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        by_spikes, by_potentials = gradients
        potentials, potential, fired = ctx.saved_tensors
        parameters: LIFParameters = ctx.parameters
        if by_spikes is None and by_potentials is None:
            return None, None, None, None
        result, none = torch.empty_like(potentials), torch.zeros_like(potentials[:1])
        backward_loop(
            rows(potentials),
            rows(none) if by_spikes is None else shared_rows(by_spikes),
            rows(potentials[:0] if by_potentials is None else by_potentials.contiguous()),
            rows(none)[0],
            rows(result),
            rows(none[:0]).reshape(-1),
            constants_of(parameters, potentials.dtype),
            KINDS[parameters.surrogate],
        )
        if potential is None:
            return result, None, None, None
        return result, *initial_gradients(result[0], potential, fired, parameters), None
