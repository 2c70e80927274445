"""The time of a neuron's first spike, with a gradient.

    t = sum_s prod_(r <= s) (1 - o[r])       the number of silent steps before the first spike; T if there is none

The sum is linear in each o[s], so its derivative by o[s] is exactly the difference that a spike at s makes:

    dt/do[s] = t with a spike at s - t without one -(t - s) before the first spike; 0 after it

and dt/do at the first spike is minus the number of steps between it and the second one. A neuron that never fires gets
a gradient towards firing at all steps, largest at the early ones. From o on, the surrogate of the neuron gives the
gradient.

Shapes: T time steps, then any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor


def first_spike_times(spikes: Tensor) -> Tensor:
    """Return the number of silent steps before each neuron's first spike, from spikes [T, ...], 0 or 1; T if there is
    none.

    Example:
        >>> first_spike_times(torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
        tensor([1., 0., 3.])
    """
    return torch.cumprod(1 - spikes, 0).sum(0)
