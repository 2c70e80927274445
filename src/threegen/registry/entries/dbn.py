"""The deep belief net with label units: greedily trained, then tuned by the up-down algorithm."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen2.dbn import DBN
from threegen.registry.entry import Entry, Plan
from threegen.registry.pretraining import pretraining, up_down
from threegen.rules.wake_sleep import WakeSleep
from threegen.training.stages import Stage


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    hidden = options.pop("hidden", [500, 500, 2000])
    return DBN([math.prod(shape), *hidden], classes=classes, generator=generator, **options)


def _stages(model: nn.Module, plan: Plan) -> list[Stage]:
    """Return `plan.epochs` epochs for each layer, and half as many (at least one) for all of them together."""
    if not isinstance(model, DBN):
        raise ConfigError(f"dbn trains a DBN, got {type(model).__name__}")
    greedy = pretraining(model, epochs=plan.epochs, batch_size=plan.batch_size)
    return [*greedy, *up_down(model, epochs=max(1, plan.epochs // 2), batch_size=plan.batch_size)]


ENTRY = Entry(
    name="dbn",
    title="Deep belief net",
    generation=2,
    year=2006,
    paper="Hinton, Osindero and Teh, A fast learning algorithm for deep belief nets, Neural Computation 18 (2006)",
    about="Layers learn one by one to reconstruct their input, without labels; an associative memory at the top joins "
    "picture and label, answers with the best-fitting label, and can generate digits.",
    equations="P(x_(l-1) = 1 | x_l) = sigmoid(c + x_l G);  Q(x_l = 1 | x_(l-1)) = sigmoid(b + x_(l-1) R^T);\n"
    "F(x, y) = -a . x - a_y - sum softplus(d + U x + L_y);  score_y = -F(x, y).",
    rule_name="contrastive divergence layer by layer, then wake-sleep",
    build=_build,
    rule=WakeSleep,
    stages=_stages,
    plans={
        "quick": Plan(epochs=3, seconds=25, batch_size=100, options={"hidden": [300, 300, 600]}),
        "full": Plan(epochs=16, seconds=900, batch_size=100),
    },
)
