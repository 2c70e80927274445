"""LeNet of 1989, one example at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen2.lenet_1989 import LeNet1989
from threegen.registry.entry import Entry, Plan
from threegen.rules.online_backprop import OnlineBackprop
from threegen.training.schedules import EpochSteps

RATES = {epoch: 0.03 * 0.95**epoch for epoch in range(23)}


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if tuple(shape) != (1, 28, 28):
        raise ConfigError(f"lenet-1989 takes grey images of 28 x 28, the data have {list(shape)}; choose mlp")
    return LeNet1989(classes, generator=generator, **options)


ENTRY = Entry(
    name="lenet-1989",
    title="LeNet 1989",
    generation=2,
    year=1989,
    paper="LeCun, Boser, Denker, Henderson, Howard, Hubbard and Jackel, Backpropagation applied to handwritten zip "
    "code recognition, Neural Computation 1 (1989) 541-551",
    about="The first net with trained small windows: one kernel slides over the whole picture, its weights are shared.",
    equations="16 x 16 - 12@8x8 - 12@4x4 - 30 - 10, windows of 5 x 5 at every second place, one bias per unit;\n"
    "x = 1.7159 tanh(2/3 u);  E = mean of (x - t)^2, t = +1 and -1;  9,760 parameters, 64,660 connections.",
    rule_name="back-propagation of the squared error, one example at a time",
    build=_build,
    rule=OnlineBackprop,
    plans={
        "quick": Plan(epochs=1, seconds=18, batch_size=100, schedule=EpochSteps("rate", {0: 0.03}), shuffle=False),
        "full": Plan(epochs=23, seconds=180, batch_size=100, schedule=EpochSteps("rate", RATES), shuffle=False),
    },
)
