"""The convolutional net that is converted to spikes: average pooling, rectified units."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.datasets.augmentation import Augmentation
from threegen.gen2.conv_net import ConvNet
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    layers = options.pop("layers", f"16C5-P2-32C5-P2-128-{classes}")
    return ConvNet(layers, shape=shape, generator=generator, **options)


ENTRY = Entry(
    name="conv-net",
    title="Convolutional net, ready for spikes",
    generation=2,
    year=2015,
    paper="Ioffe and Szegedy, Batch normalization, ICML 2015; a common net for comparing converters to spikes",
    about="Rectified units and average pooling: every layer can be converted to spikes (threegen convert).",
    equations="16C5 - batch norm - relu - mean 2 - 32C5 - batch norm - relu - mean 2 - 128 - 10;  80,298 parameters.",
    rule_name="back-propagation of the cross-entropy",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(epochs=2, seconds=40, optimizer=optimizer("adam", lr=3e-3), schedule="one-cycle"),
        "full": Plan(epochs=8, seconds=170, optimizer=optimizer("adam", lr=3e-3), schedule="one-cycle"),
        "fashion-mnist": Plan(
            epochs=15,
            seconds=350,
            optimizer=optimizer("adam", lr=3e-3),
            schedule="one-cycle",
            options={"layers": "32C3p1-P2-64C3p1-P2-128-10"},
            transform=Augmentation(shift=2),
        ),
        "cifar10": Plan(
            epochs=20,
            seconds=1800,
            optimizer=optimizer("adam", lr=3e-3),
            schedule="one-cycle",
            options={"layers": "32C3p1-32C3p1-P2-64C3p1-64C3p1-P2-128C3p1-P2-128-10"},
            transform=Augmentation(shift=4),
        ),
    },
    lineage=False,
)
