"""LeNet-5 in its most common modern form."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen2.lenet import LeNet5Modern
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if tuple(shape) != (1, 28, 28):
        raise ConfigError(f"lenet-5-modern takes grey images of 28 x 28, the data have {list(shape)}; choose mlp")
    return LeNet5Modern(classes, generator=generator, **options)


ENTRY = Entry(
    name="lenet-5-modern",
    title="LeNet-5, the widespread form",
    generation=2,
    year=1998,
    paper="after LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, "
    "Proceedings of the IEEE 86 (1998)",
    about="Small windows slide over the picture with shared weights, so a stroke is found at any position.",
    equations="conv 6@5x5 - relu - pool 2 - conv 16@5x5 - relu - pool 2 - 120 - 84 - 10;  61,706 parameters.\n"
    "The paper's own connection table, sub-sampling and radial-basis outputs are not in this form.",
    rule_name="back-propagation of the cross-entropy",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(epochs=4, seconds=27, optimizer=optimizer("adam", lr=3e-3), schedule="one-cycle"),
        "full": Plan(epochs=15, seconds=240, optimizer=optimizer("adam", lr=3e-3), schedule="one-cycle"),
    },
)
