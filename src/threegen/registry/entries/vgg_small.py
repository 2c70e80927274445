"""A VGG net for small pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.datasets.augmentation import Augmentation
from threegen.errors import ConfigError
from threegen.gen2.vgg import VGG
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer

_SMALL = {"width": 0.25, "hidden": 128, "batch_norm": True}


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) != 3:
        raise ConfigError(f"vgg-small takes pictures [C, H, W], the data have {list(shape)}; choose mlp")
    return VGG(classes, shape=shape, generator=generator, **{**_SMALL, **options})


ENTRY = Entry(
    name="vgg-small",
    title="VGG for small pictures",
    generation=2,
    year=2015,
    paper="Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR (2015), "
    "configuration A; batch normalisation after Ioffe and Szegedy, ICML 2015",
    about="Eight convolutions of 3 x 3 and five poolings: depth from one small part, repeated.",
    equations="16@3 - M - 32@3 - M - 64@3 - 64@3 - M - 128@3 - 128@3 - M - 128@3 - 128@3 - M - 128 - 128 - classes;\n"
    "batch norm, relu, dropout;  M: maximum over 2 x 2.  A quarter of the paper's width: 612,122 parameters for ten\n"
    "classes in colour (options width=1, hidden=4096, batch_norm=false: the paper's).",
    rule_name="back-propagation of the cross-entropy with dropout",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(epochs=1, seconds=45, optimizer=optimizer("adam", lr=2e-3), schedule="one-cycle"),
        "full": Plan(
            epochs=20,
            seconds=1800,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="one-cycle",
            transform=Augmentation(shift=2),
        ),
    },
    lineage=False,
    picture=32,
)
