"""AlexNet at a size that a laptop can train."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.datasets.augmentation import Augmentation
from threegen.errors import ConfigError
from threegen.gen2.alexnet import AlexNet
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer
from threegen.training.schedules import Plateau

_SMALLEST = 67


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ConfigError(f"alexnet takes square images [C, S, S], the data have {list(shape)}; choose mlp")
    sizes = {"channels": shape[0], "picture": shape[1], "size": max(_SMALLEST, shape[1])}
    return AlexNet(classes, generator=generator, **{**sizes, **options})


ENTRY = Entry(
    name="alexnet",
    title="AlexNet",
    generation=2,
    year=2012,
    paper="Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, "
    "NIPS 25 (2012)",
    about="Five layers of windows and three full ones: the net with which deep learning won. Here it is narrower.",
    equations="96@11 - N - P - 256@5 - N - P - 384@3 - 384@3 - 256@3 - P - 4096 - 4096 - classes;  relu, dropout;\n"
    "N: b = a / (2 + 1e-4 sum of a^2 over 5 planes)^.75;  P: maximum over 3 x 3, every second place.\n"
    "60,965,224 parameters at full width (options width=1, size=227); the plans quick and full take a part of\n"
    "them. Plan paper: momentum .9, decay .0005, the rate divided by 10 when the validation error stops falling.",
    rule_name="back-propagation of the cross-entropy with dropout",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(epochs=1, seconds=60, optimizer=optimizer("adam", lr=1e-3), options={"width": 0.125}),
        "full": Plan(
            epochs=10,
            seconds=1800,
            optimizer=optimizer("adam", lr=1e-3),
            schedule="cosine",
            options={"width": 0.25},
        ),
        "paper": Plan(
            epochs=90,
            seconds=90 * 3600 * 1000,  # ImageNet, on two cores
            optimizer=optimizer("momentum", lr=0.01, weight_decay=5e-4),
            schedule=Plateau(),
            transform=Augmentation(colour=0.1),
            held_out=0.04,
        ),
    },
    lineage=False,
    picture=227,
)
