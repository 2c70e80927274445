"""The nets of `spiking_training.py` as a tutorial writes them: a Python loop over time steps, PyTorch alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from worker import serve

kind, steps = sys.argv[-1].split()
T, batch = int(steps), {"mlp": 128, "conv": 64}[kind]


class Spike(torch.autograd.Function):
    """1 where u >= .5; its slope is 1 where |u - .5| < .5."""

    @staticmethod
    def forward(ctx, u):  # noqa: D102
        ctx.save_for_backward(u)
        return (u >= 0.5).float()

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        (u,) = ctx.saved_tensors
        return gradient * ((u - 0.5).abs() < 0.5).float()


if kind == "mlp":
    layers = [nn.Linear(784, 800), nn.Linear(800, 10)]
else:
    layers = [
        nn.Conv2d(1, 15, 5),
        nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(15, 40, 5)),
        nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(640, 300)),
        nn.Linear(300, 10),
    ]
net = nn.ModuleList(layers)
spikes = (torch.rand(T, batch, *((784,) if kind == "mlp" else (1, 28, 28))) < 0.127).float()
targets = F.one_hot(torch.arange(batch) % 10, 10).float()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-9, fused=True)


def forward() -> Tensor:
    """Return the rates [B, 10]."""
    potentials: list[Tensor | None] = [None] * len(net)
    fired: list[Tensor | None] = [None] * len(net)
    total = torch.zeros(batch, 10)
    for x in spikes:
        for number, layer in enumerate(net):
            u, o = potentials[number], fired[number]
            current = layer(x)
            u = current if u is None else 0.5 * u * (1 - o.detach()) + current
            x = Spike.apply(u)
            potentials[number], fired[number] = u, x
        total = total + x
    return total / T


def work(quick: bool) -> float:
    """Return milliseconds an update, the best of some."""
    times = []
    for number in range(7 if quick else 22):
        begun = time.perf_counter()
        optimizer.zero_grad()
        F.mse_loss(forward(), targets).backward()
        optimizer.step()
        if number >= 2:
            times.append(time.perf_counter() - begun)
    return 1e3 * min(times)


serve(work, ("torch",))
