"""The older, space-only gradient of a spiking net: it flows only through aggregated spike counts.

    a_l = 1/T sum_t o_l[t]        I_l = W_l a_{l-1} + b_l        h_l = 1/T sum_t h(u_l[t] - threshold)
    da_l/dI_l := h_l              dL/dW_l = (dL/da_l * h_l) a_{l-1}^T

Leak and reset, the effects over time, are left out of the backward pass: a layer is a map from mean spikes to mean
spikes, with the mean surrogate as its slope. This is the spatial-domain back-propagation with which Wu et al.
(Frontiers in Neuroscience 12:331, 2018) compare their own; it needs one backward pass per batch for any T.

Shapes: T time steps, B examples, then any neuron shape.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from threegen.functional.spiking.neurons import LIFParameters


def aggregated(mean_input: Tensor, spikes: Tensor, potentials: Tensor, parameters: LIFParameters) -> Tensor:
    """Return the mean spikes [B, ...] of a layer, as a function of its mean input [B, ...] with slope h_l.

    `spikes` and `potentials` [T, B, ...] are those of the layer.
    """
    slope = torch.zeros_like(mean_input)
    for potential in potentials:  # one step at a time: no second tensor of the size of T steps
        slope += parameters.derivative(potential)
    return _Aggregated.apply(mean_input, spikes.mean(0), slope / len(potentials))  # type: ignore[no-untyped-call,no-any-return]


class _Aggregated(torch.autograd.Function):
    """The measured mean spikes, with the mean surrogate as their slope by the mean input."""

    @staticmethod
    def forward(ctx: Any, mean_input: Tensor, rate: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return rate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None
