"""The synaptic current of two-state neurons: input does not act at once, but charges a decaying current.

    i[t] = alpha i[t-1] + c[t]          c[t] the summed input W x[t] + b of step t, alpha = exp(-1 / tau_syn)

Neftci, Mostafa and Zenke, "Surrogate gradient learning in spiking neural networks", IEEE Signal Processing Magazine 36
(2019), with the input of a step included in the current of that step.

Shapes: T time steps, B examples, then any neuron shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from threegen.errors import ShapeError


def synaptic_currents(currents: Tensor, before: Tensor | None, alpha: float | Tensor) -> Tensor:
    """Return i [T, B, ...] of all steps from the summed input `currents` [T, B, ...].

    Args:
        before: the synaptic current [B, ...] at the end of an earlier call; None: no current.
        alpha: the share of a current that remains after one step, a number or a tensor with one for each neuron.

    Raises `ShapeError` if `before` is of another batch or layer.

    Example:
        >>> synaptic_currents(torch.tensor([[1.0], [0.0], [2.0]]), None, 0.5).flatten().tolist()
        [1.0, 0.5, 2.25]
    """
    if before is not None and before.shape != currents.shape[1:]:
        raise ShapeError(
            f"the spiking state (current) is for a batch and layer of shape {list(before.shape)}, the input has "
            f"{list(currents.shape[1:])}; pass state=None to start from rest"
        )
    flowing, all_steps = before, []
    for arriving in currents:
        flowing = arriving if flowing is None else alpha * flowing + arriving
        all_steps.append(flowing)
    return torch.stack(all_steps)
