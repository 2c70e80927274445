"""The perceptron of 1958, one unit per class."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from threegen.gen1.perceptron import Perceptron
from threegen.registry.entry import Entry, Plan
from threegen.rules.perceptron import PerceptronRule


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    return Perceptron(math.prod(shape), classes, **{"averaged": True, **options})


ENTRY = Entry(
    name="perceptron",
    title="Perceptron",
    generation=1,
    year=1958,
    paper="Rosenblatt, The perceptron, Psychological Review 65 (1958) 386-408",
    about="One step unit per class reads all pixels; it learns only from its mistakes.",
    equations="u = W x + b; the answer is the class of the largest u.\n"
    "On a mistake (k answered, y true):  W_y += rate * x,  W_k -= rate * x  (biases alike).\n"
    "It answers with the average of the weights after every example (Freund and Schapire 1999).",
    rule_name="perceptron rule: one update per mistake, averaged weights",
    build=_build,
    rule=PerceptronRule,
    plans={"quick": Plan(epochs=2, seconds=8), "full": Plan(epochs=10, seconds=60)},
)
