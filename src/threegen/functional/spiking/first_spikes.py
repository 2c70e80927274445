"""The time of a neuron's first spike, with a gradient.

    t = sum_s prod_(r <= s) (1 - o[r])       the number of silent steps before the first spike; T if there is none

The sum is linear in each o[s], so its derivative by o[s] is exactly the difference that a spike at s makes:

    dt/do[s] = t with a spike at s - t without one       -(t - s) before the first spike; 0 behind it

and dt/do at the first spike is minus the steps by which the second one comes later. A neuron that never fires is pulled
to fire by all its steps, the early ones most. Behind o, the surrogate of the neuron takes over.

Shapes: T time steps, then any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor


def first_spike_times(spikes: Tensor) -> Tensor:
    """Return after how many silent steps each neuron fired first, from spikes [T, ...], 0 or 1; T where it never did.

    Example:
        >>> first_spike_times(torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
        tensor([1., 0., 3.])
    """
    return torch.cumprod(1 - spikes, 0).sum(0)
