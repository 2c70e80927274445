"""Mozafari's deep spiking net: STDP in the lower layers, reward at the top, no separate read-out."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen3.mozafari import Mozafari2019
from threegen.registry.deep_reward import WHOLE_VIEW, deep_reward_stages, doubtful_reward, falling_rates
from threegen.registry.entry import Entry, Plan
from threegen.training.stages import Stage


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    options.pop("images", None)  # how many examples the plan uses; not an option of the network
    most = 200 - 200 % classes
    view = WHOLE_VIEW if shape[-1] == shape[-2] else {}
    return Mozafari2019(classes, shape=shape, generator=generator, **{"maps": (30, 250, most), **view, **options})


def _stages(model: nn.Module, plan: Plan) -> list[Stage]:
    """Return two passes for S1, four for S2 and `plan.epochs` for S3."""
    if not isinstance(model, Mozafari2019):
        raise ConfigError(f"mozafari trains a Mozafari2019, got {type(model).__name__}")
    return deep_reward_stages(
        model,
        passes=(2, 4, plan.epochs),
        reward=doubtful_reward(model.classes),
        schedule=falling_rates(plan.epochs),
        batch_sizes=(plan.batch_size,) * 3,
        images=plan.options.get("images"),
    )


ENTRY = Entry(
    name="mozafari",
    title="Mozafari's deep spiking net",
    generation=3,
    year=2019,
    paper="Mozafari et al., Bio-inspired digit recognition using reward-modulated STDP in deep convolutional networks, "
    "Pattern Recognition 94 (2019)",
    about="Each neuron fires at most once; lower layers learn frequent patterns, the last one learns by reward only, "
    "and its most excited neuron gives the digit.",
    equations="u[t] = sum of w over the inputs that have fired by t;  a spike where u > threshold;\n"
    "S1, S2: dw = a+ w (1 - w) for inputs that fired before the winner, a- w (1 - w) for the others;\n"
    "S3, for inputs that fired: wrong -a w (1 - w), right but in doubt +a w (1 - w) and the rival -a w (1 - w).",
    rule_name="order-based STDP with winner-take-all, then reward-modulated STDP",
    build=_build,
    rule=lambda: doubtful_reward(10),
    stages=_stages,
    plans={
        "quick": Plan(epochs=10, seconds=25, batch_size=100, options={"images": 2000}),
        "full": Plan(epochs=10, seconds=350, batch_size=2000),
    },
    lineage=False,  # the time limit of the quick `threegen history` leaves none for it
)
