"""The spiking convolutional net of the STBP paper, trained by surrogate gradients through space and time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.datasets.augmentation import Augmentation
from threegen.datasets.shifts import shifted_copies
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    layers = options.pop("layers", "15C5-P2-40C5-P2-300")
    options = {"readout": "potential", **options}
    return SpikingConvNet(f"{layers}-{classes}", shape=shape, generator=generator, **options)


ENTRY = Entry(
    name="spiking-conv",
    title="Spiking convolutional net",
    generation=3,
    year=2018,
    paper="Wu, Deng, Li, Zhu and Shi, Spatio-temporal backpropagation, Frontiers in Neuroscience 12:331 (2018)",
    about="Small kernels slide over the spikes of the image; averaged spikes are passed to the next layer, step by "
    "step.",
    equations="u[t] = decay * u[t-1] * (1 - o[t-1]) + W * x[t] + b;  o[t] = 1 where u[t] >= threshold;\n"
    "x behind a pooling layer = mean of o over 2 x 2;  score = the last layer's input, summed over t.",
    rule_name="spatio-temporal back-propagation of the cross-entropy, rectangular surrogate",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(
            epochs=1,
            seconds=45,
            batch_size=64,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="cosine",
            options={"steps": 4},
        ),
        "full": Plan(
            epochs=2,  # over five times the images
            seconds=900,
            batch_size=64,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="cosine",
            options={"steps": 4},
            transform=shifted_copies,
        ),
        "fashion-mnist": Plan(
            epochs=10,
            seconds=1800,
            batch_size=64,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="cosine",
            options={"steps": 4},
            transform=Augmentation(shift=2),
        ),
        "cifar10": Plan(
            epochs=20,
            seconds=3600,
            batch_size=64,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="cosine",
            options={"steps": 4, "layers": "32C3S-32C3S-P2-64C3S-P2-300"},
            transform=Augmentation(shift=4),
        ),
    },
)
