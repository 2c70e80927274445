"""The nets of `spiking_training.py` in Norse: `LIFBoxCell` in a `SequentialState`, the state passed on by the user.

Norse halves the input (u' = u + (i - u) / 2), so its potentials, thresholds and slopes are half of ours. It has no
rectangular surrogate; its threshold function is replaced by one.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import norse.torch as norse
import norse.torch.functional.lif_box as lif_box
import torch
from torch import Tensor
from torch_spiking_net import Rectangle, synapses, training
from worker import serve

lif_box.threshold = lambda x, method, alpha: Rectangle.apply(x, 0.5)


def reset(z: Tensor, v: Tensor, value: Tensor, threshold: Tensor) -> Tensor:
    """Norse's own `reset_value`, without a gradient through the reset."""
    return (1 - z.detach()) * v + z.detach() * value


half = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.25), reset_method=reset)
net = norse.SequentialState(*(one for layer in synapses() for one in (layer, norse.LIFBoxCell(half))))


def rates(spikes: Tensor) -> Tensor:
    """Return the rates [B, 10]."""
    state = None
    fired = []
    for x in spikes:
        z, state = net(x, state)
        fired.append(z)
    return torch.stack(fired).mean(0)


serve(training(net, rates), ("norse", "torch"))
