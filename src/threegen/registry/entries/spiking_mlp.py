"""The spiking multi-layer perceptron trained by surrogate gradients through space and time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from threegen.datasets.shifts import shifted_copies
from threegen.gen3.networks import SpikingMLP
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.rules.rule import Rule
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    hidden = options.pop("hidden", [800])
    return SpikingMLP([math.prod(shape), *hidden, classes], generator=generator, **options)


def _rule() -> Rule:
    return Backprop("mse")  # the paper's loss: squared distance between rates and one-hot labels


ENTRY = Entry(
    name="spiking-mlp",
    title="Spiking multi-layer perceptron",
    generation=3,
    year=2018,
    paper="Wu, Deng, Li, Zhu and Shi, Spatio-temporal backpropagation, Frontiers in Neuroscience 12:331 (2018)",
    about="Leaky integrate-and-fire neurons send spikes over a few time steps; without a spike nothing is added.",
    equations="u[t] = decay * u[t-1] * (1 - o[t-1]) + W x[t] + b;  o[t] = 1 where u[t] >= threshold;\n"
    "score = mean over t of the last layer's spikes;  do/du := 1/a where |u - threshold| < a/2.",
    rule_name="spatio-temporal back-propagation of the squared error, rectangular surrogate",
    build=_build,
    rule=_rule,
    plans={
        "quick": Plan(
            epochs=3, seconds=34, optimizer=optimizer("adam", lr=2e-3), schedule="cosine", options={"steps": 6}
        ),
        "full": Plan(
            epochs=5,  # over five times the images
            seconds=600,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="cosine",
            options={"steps": 4},
            transform=shifted_copies,
        ),
    },
)
