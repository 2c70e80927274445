"""The spiking net of Wu et al. (2018) on recordings of an event camera, without an encoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen3.networks import SpikingMLP
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.rules.rule import Rule
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) not in (3, 4):
        raise ConfigError(f"spiking-events takes recordings as frames [T, 2, H, W], the data have {list(shape)}")
    hidden = options.pop("hidden", [800])
    if len(shape) == 4:  # frames: each is the input of a time step; images go through the encoder
        options.setdefault("steps", shape[0])
        shape = shape[1:]
    return SpikingMLP([math.prod(shape), *hidden, classes], generator=generator, **options)


def _rule() -> Rule:
    return Backprop("mse")  # the paper's loss: squared distance between rates and one-hot labels


ENTRY = Entry(
    name="spiking-events",
    title="Spiking perceptron on events",
    generation=3,
    year=2018,
    paper="Wu, Deng, Li, Zhu and Shi, Spatio-temporal backpropagation, Frontiers in Neuroscience 12:331 (2018)",
    about="Leaky integrate-and-fire neurons read the ON and OFF events of a camera, one frame per time step, no "
    "encoder.",
    equations="u[t] = decay * u[t-1] * (1 - o[t-1]) + W x[t] + b;  x[t] = frame t;  score = mean over t of o[t]",
    rule_name="spatio-temporal back-propagation of the squared error, rectangular surrogate",
    build=_build,
    rule=_rule,
    plans={
        "quick": Plan(epochs=2, seconds=60, optimizer=optimizer("adam", lr=1e-3), schedule="cosine"),
        "full": Plan(epochs=5, seconds=900, optimizer=optimizer("adam", lr=1e-3), schedule="cosine"),
    },
    lineage=False,
)
