"""The convolutional net trained by back-propagation, then converted to spikes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.conversion.convert import convert
from threegen.datasets.dataset import Dataset
from threegen.registry.entries.conv_net import ENTRY as CONV_NET
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer

STEPS = 4


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    options.pop("steps", None)  # an option of the spiking copy
    return CONV_NET.build(shape, classes, generator, **options)


def _finish(model: nn.Module, train: Dataset, plan: Plan) -> nn.Module:
    return convert(model, train, steps=int(plan.options.get("steps", STEPS)))


ENTRY = Entry(
    name="converted",
    title="Converted net",
    generation=3,
    year=2015,
    paper="Diehl, Neil, Binas, Cook, Liu and Pfeiffer, Fast-classifying, high-accuracy spiking deep networks through "
    "weight and threshold balancing, IJCNN 2015; Rueckauer et al., Frontiers in Neuroscience 11:682 (2017)",
    about="Trained as an artificial net, then every rectified unit becomes a neuron whose spike rate represents its "
    "value.",
    equations="u[t] = u[t-1] - o[t-1] + W o_below[t] + b    o[t] = 1 where u[t] >= 1\n"
    "r(T) = a / lambda - (u(T) - u(0)) / (T lambda): the rate of spikes is the activation, up to one spike in T steps.",
    rule_name="back-propagation, then conversion",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(
            epochs=1, seconds=25, optimizer=optimizer("adam", lr=3e-3), schedule="one-cycle", options={"steps": STEPS}
        ),
        "full": Plan(
            epochs=8, seconds=200, optimizer=optimizer("adam", lr=3e-3), schedule="one-cycle", options={"steps": STEPS}
        ),
    },
    finish=_finish,
)
