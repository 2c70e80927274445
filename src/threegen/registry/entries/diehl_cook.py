"""Diehl and Cook's network: it learns without labels, then each of its neurons is assigned a class."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn

from threegen.gen3.diehl_cook import DiehlCook
from threegen.registry.entry import Entry, Plan
from threegen.registry.spike_timing import BATCH, PAPER, stdp_stages, suited_theta_plus
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.rules.rule import Rule
from threegen.training.stages import Stage


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    frames = len(shape) == 4  # event recordings come as frames [F, C, H, W]
    inputs = math.prod(shape[1:] if frames else shape)
    options.pop("images", None)  # how many examples the plan uses; not an option of the network
    options = {"variant": "faster", "readout": "likelihood", **options}
    return DiehlCook(options.pop("neurons", 400), inputs=inputs, classes=classes, generator=generator, **options)


def _rule() -> Rule:
    return DiehlCookSTDP("pair")


def _stages(model: nn.Module, plan: Plan) -> list[Stage]:
    network = cast(DiehlCook, model)
    rule = DiehlCookSTDP("pair", theta_plus=suited_theta_plus(network.neurons))
    images = plan.options.get("images")
    return stdp_stages(network, rule, epochs=plan.epochs, batch_size=plan.batch_size, images=images)


ENTRY = Entry(
    name="diehl-cook",
    title="Diehl and Cook's network",
    generation=3,
    year=2015,
    paper=PAPER,
    about="Neurons compete for every image, and the winner learns it without a label; each is then assigned a class.",
    equations="tau dv/dt = (v_rest - v) + g_e (E_exc - v) + g_i (E_inh - v);  a spike where v >= v_thr + theta;\n"
    "input spike: w -= eta_pre x_post;  output spike: w += eta_post x_pre, theta += 0.05 mV;  sum of w fixed.",
    rule_name="pair STDP with adaptive thresholds, no labels; then the neurons' classes",
    build=_build,
    rule=_rule,
    plans={
        "quick": Plan(epochs=1, seconds=16, batch_size=BATCH, options={"neurons": 100, "images": 30_000}),
        "full": Plan(epochs=1, seconds=120, batch_size=BATCH, options={"neurons": 400}),
    },
    stages=_stages,
)
