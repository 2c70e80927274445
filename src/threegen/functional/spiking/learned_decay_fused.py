"""The compiled time loop with a learned decay: the gradient of the decay follows from values that backward has anyway.

    u[t] = decay * v[t-1] + I[t]        dL/d decay = sum_t g[t] v[t-1]        g[t] = dL/du[t]

v is u after the reset by a spike. One number per layer, as in Fang et al., "Incorporating learnable membrane time
constant to enhance learning of spiking neural networks", ICCV 2021.

Shapes: T time steps, B examples, then any neuron shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.functional.spiking.neurons import (
    LIFParameters,
    NeuronState,
    check_currents,
    check_state,
    initial_gradients,
)
from threegen.functional.spiking.neurons_fused import (
    BLOCK,
    KINDS,
    RESETS,
    THRESHOLD,
    ZERO,
    backward_loop,
    constants_of,
    forward_loop,
    rest_of,
    rows,
    shared_rows,
)
from threegen.machine.compiler import parallel, ready_numba

numba = ready_numba()

Array = np.ndarray[Any, Any]


def fused_decay_lif(
    currents: Tensor, state: NeuronState | None, parameters: LIFParameters, decay: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (spikes, potentials) [T, B, ...] as `general_loop` does with a 0-d tensor `decay`; CPU only.

    Gradients go to the currents, the state and `decay`. Raises `ShapeError`.
    """
    check_currents(currents)
    if state is None:
        return _FusedDecay.apply(currents, decay, None, None, parameters)  # type: ignore[no-untyped-call,no-any-return]
    check_state(state, currents[0])
    return _FusedDecay.apply(  # type: ignore[no-untyped-call,no-any-return]
        currents, decay, state.potential, state.spikes, parameters
    )


class _FusedDecay(torch.autograd.Function):
    """The loops of `fused_neurons`, with the decay as an input."""

    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        decay: Tensor,
        potential: Tensor | None,
        fired: Tensor | None,
        parameters: LIFParameters,
    ) -> tuple[Tensor, Tensor]:
        now = replace(parameters, decay=float(decay))
        potentials = currents.clone(memory_format=torch.contiguous_format)
        spikes = torch.empty_like(potentials)
        rest = torch.zeros_like(potentials[0])
        if potential is not None and fired is not None:
            rest = rest_of(NeuronState(potential, fired), now).contiguous()
        forward_loop(rows(potentials), rows(spikes), rows(rest[None])[0], constants_of(now, currents.dtype))
        ctx.save_for_backward(potentials, potential, fired, decay)
        ctx.parameters = now
        ctx.set_materialize_grads(False)
        return spikes, potentials

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        by_spikes, by_potentials = gradients
        potentials, potential, fired, decay = ctx.saved_tensors
        now: LIFParameters = ctx.parameters
        if by_spikes is None and by_potentials is None:
            return None, None, None, None, None
        result, none = torch.empty_like(potentials), torch.zeros_like(potentials[:1])
        backward_loop(
            rows(potentials),
            rows(none) if by_spikes is None else shared_rows(by_spikes),
            rows(potentials[:0] if by_potentials is None else by_potentials.contiguous()),
            rows(none)[0],
            rows(result),
            rows(none[:0]).reshape(-1),
            constants_of(now, potentials.dtype),
            KINDS[now.surrogate],
        )
        sums = torch.zeros_like(none)
        _sum_products(rows(potentials), rows(result), rows(sums)[0], constants_of(now, potentials.dtype))
        if potential is None:
            return result, decay.new_tensor(_total(sums)), None, None, None
        total = _total(sums) + _total(result[0] * _left(potential, fired, now))
        return result, decay.new_tensor(total), *initial_gradients(result[0], potential, fired, now), None


def _left(potentials: Tensor, fired: Tensor, parameters: LIFParameters) -> Tensor:
    if parameters.reset == "hard":
        return potentials * (1 - fired)
    return potentials - parameters.threshold * fired


def _total(products: Tensor) -> float:
    """Return the sum, in numpy's single-thread order, which does not depend on the number of cores."""
    return float(products.numpy().sum(dtype=np.float64))


@parallel
def _sum_products(potentials: Array, gradient: Array, sums: Array, k: Array) -> None:
    """Fill `sums` [M] with sum_t g[t] v[t-1] of each neuron; v are the potentials [T, M] after the reset."""
    steps, count = potentials.shape
    zero, threshold, hard = k[ZERO], k[THRESHOLD], k[RESETS] > 0
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min((block + 1) * BLOCK, count)
        total = sums[low:high]
        for t in range(1, steps):
            before, now = potentials[t - 1, low:high], gradient[t, low:high]
            for i in range(high - low):
                lost = (before[i] if hard else threshold) if before[i] >= threshold else zero
                total[i] += now[i] * (before[i] - lost)
