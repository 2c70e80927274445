"""A residual net for small pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.datasets.augmentation import Augmentation
from threegen.errors import ConfigError
from threegen.gen2.resnet import ResNet
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) != 3:
        raise ConfigError(f"resnet-small takes pictures [C, H, W], the data have {list(shape)}; choose mlp")
    return ResNet(classes, shape=shape, generator=generator, **{"blocks": 1, "width": 2.0, **options})


ENTRY = Entry(
    name="resnet-small",
    title="Residual net for small pictures",
    generation=2,
    year=2016,
    paper="He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR (2016), section 4.2; "
    "twice as wide after Zagoruyko and Komodakis, Wide residual networks, BMVC (2016)",
    about="Each block adds a learned change to its input, so that many layers can be trained.",
    equations="32@3 - 3 groups of n blocks, 32, 64 and 128 planes - mean of each plane - classes;\n"
    "block: x <- relu(x + norm(W2 * relu(norm(W1 * x)))).  n = 1: 298,026 parameters for 10 classes in colour;\n"
    "options blocks=3, width=1: ResNet-20 of the paper, 269,722.",
    rule_name="back-propagation of the cross-entropy, batch normalisation",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(
            epochs=1,
            seconds=60,
            optimizer=optimizer("momentum", lr=0.1, weight_decay=5e-4),
            schedule="one-cycle",
            options={"width": 0.5},
        ),
        "full": Plan(
            epochs=18,
            seconds=3600,
            optimizer=optimizer("momentum", lr=0.1, weight_decay=5e-4),
            schedule="one-cycle",
            transform=Augmentation(shift=2),
        ),
    },
    lineage=False,
    picture=32,
)
