"""A restricted Boltzmann machine that learns without labels, and softmax on its hidden units."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.gen2.rbm import RBM
from threegen.gen2.softmax_on_rbm import SoftmaxOnRBM
from threegen.registry.entry import Entry, Plan
from threegen.rules.backprop import Backprop
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import Rule
from threegen.training.optimizers.build import optimizer
from threegen.training.stages import Stage


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    return SoftmaxOnRBM(math.prod(shape), options.pop("hidden", 500), classes, generator=generator, **options)


def _rule() -> Rule:
    return ContrastiveDivergence(weight_cost=2e-4)


@torch.no_grad()
def _start(rbm: RBM, data: Dataset) -> Dataset:
    """Set the visible biases of a new net from the data, and return the data unchanged.

    A resumed run calls this too: nonzero biases are its own and stay.
    """
    if not rbm.visible_bias.any():
        rbm.start_visible_bias(data.inputs)
    return data


@torch.no_grad()
def _seen_by(rbm: RBM, data: Dataset) -> Dataset:
    """Return the data as the RBM's hidden probabilities, which no later step changes."""
    seen = torch.cat([rbm(part) for part in torch.split(data.inputs, 5_000)])
    return Dataset(seen, data.targets, data.classes, f"{data.name}, hidden units")


def _stages(model: nn.Module, plan: Plan) -> list[Stage]:
    """Return the stages: the RBM on the images only, then the output layer on its hidden probabilities."""
    net = cast(SoftmaxOnRBM, model)
    first = Stage(
        "contrastive divergence",
        _rule(),
        module=net.rbm,
        transform=partial(_start, net.rbm),
        optimizer=optimizer("momentum", lr=0.1, momentum=0.5),
        epochs=plan.epochs,
        batch_size=min(100, plan.batch_size),
        schedule="linear",
        validate=False,
    )
    second = Stage(
        "softmax",
        Backprop(),
        module=net.output,
        transform=partial(_seen_by, net.rbm),
        optimizer=plan.optimizer,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        schedule=plan.schedule,
    )
    return [first, second]


_QUICK = Plan(epochs=3, seconds=11, batch_size=128, optimizer=optimizer("adam", lr=5e-3), schedule="linear")

ENTRY = Entry(
    name="rbm-softmax",
    title="Restricted Boltzmann machine + softmax",
    generation=2,
    year=2002,
    paper="Smolensky, Information processing in dynamical systems: foundations of harmony theory, in: Parallel "
    "Distributed Processing 1 (1986); Hinton, Training products of experts by minimizing contrastive divergence, "
    "Neural Computation 14 (2002)",
    about="500 hidden units learn strokes of digits from the images alone; only the last layer sees the labels.",
    equations="E(v, h) = -a.v - b.h - h.W v;  P(h=1|v) = sigmoid(b + W v);  P(v=1|h) = sigmoid(a + W' h)\n"
    "dW = P(h0|v0) v0' - P(h1|v1) v1', v1 drawn from h0, h0 drawn from v0;  then s = V P(h|v) + c by the labels.",
    rule_name="contrastive divergence (CD-1), then back-propagation of the last layer",
    build=_build,
    rule=_rule,
    plans={"quick": _QUICK, "full": replace(_QUICK, epochs=20, seconds=90)},
    stages=_stages,
)
