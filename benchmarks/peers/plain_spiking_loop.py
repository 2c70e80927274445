"""The nets of `spiking_training.py` as in a tutorial: a Python loop over time steps, in plain PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from torch import Tensor, nn
from torch_spiking_net import Rectangle, synapses, training
from worker import serve

net = nn.ModuleList(synapses())


def rates(spikes: Tensor) -> Tensor:
    """Return the rates [B, 10]."""
    potentials: list[Tensor | None] = [None] * len(net)
    fired: list[Tensor | None] = [None] * len(net)
    counts = []
    for x in spikes:
        for number, layer in enumerate(net):
            u, o = potentials[number], fired[number]
            current = layer(x)
            u = current if u is None or o is None else 0.5 * u * (1 - o.detach()) + current
            x = Rectangle.apply(u - 0.5)
            potentials[number], fired[number] = u, x
        counts.append(x)
    return torch.stack(counts).mean(0)


serve(training(net, rates), ("torch",))
