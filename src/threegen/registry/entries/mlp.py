"""The multi-layer perceptron trained by back-propagation."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from threegen.gen2.mlp import MLP
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    hidden = options.pop("hidden", [512])
    return MLP([math.prod(shape), *hidden, classes], generator=generator, **options)


ENTRY = Entry(
    name="mlp",
    title="Multi-layer perceptron",
    generation=2,
    year=1986,
    paper="Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 323 (1986)",
    about="A hidden layer of relu units between pixels and classes; the error is propagated back through the weights.",
    equations="a = relu(W1 x + b1);  s = W2 a + b2;  E = -log softmax(s)_y;  W -= rate * dE/dW, by the chain rule.",
    rule_name="back-propagation of the cross-entropy",
    build=_build,
    rule=Backprop,
    plans={
        "quick": Plan(epochs=4, seconds=10, optimizer=optimizer("adam", lr=2e-3), schedule="linear"),
        "full": Plan(
            epochs=15,
            seconds=120,
            optimizer=optimizer("adam", lr=2e-3),
            schedule="linear",
            options={"hidden": [800], "dropout": 0.3},
        ),
    },
)
