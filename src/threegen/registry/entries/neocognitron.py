"""The neocognitron of 2003: layers that grow, one after the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen1.neocognitron import Neocognitron
from threegen.gen1.neocognitron_2003 import Neocognitron2003
from threegen.registry.entry import Entry, Plan
from threegen.registry.self_organisation import self_organisation
from threegen.rules.growing_seeds import LabelledSeeds
from threegen.training.stages import Stage


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) != 3 or shape[0] != 1 or shape[1] != shape[2]:
        raise ConfigError(f"neocognitron takes square grey images, the data have {list(shape)}; choose mlp")
    options.pop("digits", None)  # how many digits the stages use; not an option of the net
    return Neocognitron2003(classes, shape=shape, **options)


# Passes of the top layer: after a few passes every training digit is right, and nothing changes any more.
_MOST = 10


def _stages(model: nn.Module, plan: Plan) -> list[Stage]:
    if not isinstance(model, Neocognitron):
        raise ConfigError(f"these stages train a neocognitron, got {type(model).__name__}")
    digits = plan.options.get("digits")
    return self_organisation(model, top_epochs=min(plan.epochs, _MOST), batch_size=plan.batch_size, digits=digits)


ENTRY = Entry(
    name="neocognitron",
    title="Neocognitron",
    generation=1,
    year=2003,
    paper="Fukushima, Neocognitron for handwritten digit recognition, Neurocomputing 51 (2003); the first: Biological "
    "Cybernetics 36 (1980)",
    about="S-cells learn features by competition, C-cells tolerate small shifts of them; no error is propagated back.",
    equations="u_S = theta/(1-theta) * phi((1 + a u_C) / (1 + theta b v) - 1),  b = sqrt(sum a^2 / c);\n"
    "u_C = psi(sum d u_S),  psi(x) = phi(x)/(1 + phi(x));  v = sqrt(sum c u_C^2).\n"
    "The plane of a seed cell learns its input, a += q c u_C; where all cells are silent, a plane is created.",
    rule_name="competitive learning by seed cells with growing planes, layer by layer; labelled planes at the top",
    build=_build,
    rule=lambda: LabelledSeeds(fused=False),  # it learns at each example, which `Classifier` must know
    stages=_stages,
    plans={
        "quick": Plan(
            epochs=2, seconds=10, batch_size=100, options={"digits": 1000, "planes": [60, 120, 700], "thinning": 3}
        ),
        "full": Plan(epochs=2, seconds=60, batch_size=100, options={"digits": 3000}),
    },
)
