"""AlexNet for pictures of about 32 x 32, at a quarter of its width."""

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

_WIDTH = 0.25


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ConfigError(f"alexnet-small takes square pictures [C, S, S], the data have {list(shape)}; choose mlp")
    sizes = {"channels": shape[0], "size": shape[1], "variant": "small", "width": _WIDTH}
    return AlexNet(classes, generator=generator, **{**sizes, **options})


ENTRY = Entry(
    name="alexnet-small",
    title="AlexNet for small pictures",
    generation=2,
    year=2012,
    paper="Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, "
    "NIPS 25 (2012); first kernel of 5 x 5 and a quarter of the width",
    about="The net of 2012 for pictures of 32 x 32: two groups, normalised responses, overlapping pooling, dropout.",
    equations="24@5 - N - P - 64@5 - N - P - 96@3 - 96@3 - 64@3 - P - 1024 - 1024 - classes;  relu, dropout;\n"
    "N: b = a / (2 + 1e-4 sum of a^2 over 5 planes)^.75;  P: maximum over 3 x 3, every second place.\n"
    "1,796,458 parameters for ten classes in colour.",
    rule_name="back-propagation of the cross-entropy with dropout",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(
            epochs=1, seconds=45, optimizer=optimizer("adam", lr=1e-3), schedule="one-cycle", options={"dropout": 0.2}
        ),
        "full": Plan(
            epochs=20,
            seconds=1800,
            optimizer=optimizer("adam", lr=1e-3),
            schedule="one-cycle",
            transform=Augmentation(shift=2),
        ),
    },
    lineage=False,
    picture=32,
)
