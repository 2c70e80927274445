"""The neocognitrons and their rules keep the contracts of models and rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.datasets.batches import Batch
from threegen.functional.convolutional.cells import seed_cells
from threegen.gen1.neocognitron_1980 import Neocognitron1980
from threegen.gen1.neocognitron_1988 import Neocognitron1988
from threegen.gen1.neocognitron_2003 import Neocognitron2003
from threegen.gen1.neocognitron_cells import GrowingSCells, SCells
from threegen.rules.growing_seeds import GrowingSeeds, LabelledSeeds
from threegen.rules.label_planes import LabelPlanes
from threegen.rules.seed_cells import CompetitiveSeeds, TaughtSeeds
from threegen.testing import check_model, check_rule

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def neocognitron_1980(generator: torch.Generator) -> nn.Module:
    model = Neocognitron1980(planes=6, generator=generator)
    model.labels.copy_(torch.arange(6))
    return model


def neocognitron_1988(generator: torch.Generator) -> nn.Module:
    model = Neocognitron1988(planes=(5, 4, 1))
    fill(model, generator)
    return model


def neocognitron_2003(generator: torch.Generator) -> nn.Module:
    """A small net with planes as if it had learnt."""
    model = Neocognitron2003(planes=(5, 6, 12), thinning=3)
    for name, born in (("S2", 4), ("S3", 5), ("S4", 11)):
        layer = model.layers[name]
        assert isinstance(layer, GrowingSCells)
        for number in range(born):
            layer.create(number % 10)
    fill(model, generator)
    return model


def fill(model: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.uniform_(generator=generator)


@pytest.mark.parametrize("factory", [neocognitron_1980, neocognitron_1988, neocognitron_2003])
def test_models_keep_the_contract(factory: Any) -> None:
    assert len(check_model(factory, IMAGES, classes=10)) == 15


# -- rules ------------------------------------------------------------------------------------------------------------

# Four little pictures, each lit in another corner, in two planes.
CORNERS = torch.zeros(4, 2, 4, 4)
for number, (down, right) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
    CORNERS[number, number % 2, down : down + 2, right : right + 2] = 1.0
DRAWN = CORNERS + 0.1 * torch.rand(CORNERS.shape, generator=torch.Generator().manual_seed(0))
BATCH = Batch(DRAWN, torch.arange(4))


class Taught(SCells):
    """S-cells over the whole picture, one plane a class, as a little classifier."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(2, 4, 4, threshold=0.4, gain_of_b=2.0)
        with torch.no_grad():
            self.a.copy_(0.1 * torch.rand(self.a.shape, generator=generator))

    def predict(self, x: Tensor) -> Tensor:
        return self(x).flatten(1).argmax(1)


class Grown(GrowingSCells):
    """The same with planes that are born."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(2, 8, 4, threshold=0.4, learning_threshold=0.6)

    def predict(self, x: Tensor) -> Tensor:
        answers = self(x).flatten(1)
        return self.labels[answers.argmax(1)] if answers.shape[1] else torch.full((len(x),), -1)


class Named(nn.Linear):
    """Four planes that answer, to be named after classes."""

    answers: Tensor
    examples: Tensor
    labels: Tensor

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(32, 4)
        with torch.no_grad():
            self.weight.copy_(CORNERS[[2, 0, 3, 1]].flatten(1))
            self.bias.zero_()
        self.register_buffer("answers", torch.zeros(4, 4))
        self.register_buffer("examples", torch.zeros(4))
        self.register_buffer("labels", torch.full((4,), -1))

    def top(self, x: Tensor) -> Tensor:
        return self(x.flatten(1))

    def predict(self, x: Tensor) -> Tensor:
        return self.labels[self.top(x).argmax(1)]


def won_windows(model: Any, batch: Batch, _: torch.Generator) -> Tensor:
    """|x - w_win|^2 / 2 - |w_win|^2 / 2 of the first pattern's seeds, x = c u; and -v b / 2 for the inhibition."""
    u = batch.inputs[:1]
    planes, places = seed_cells(model(u).detach()[0], model.column)
    total = torch.zeros((), dtype=u.dtype)
    for plane, place in zip(planes.tolist(), places.tolist(), strict=True):
        assert place == 0  # one place alone
        x, w = model.c * u[0], model.a[plane]
        total = total + 0.5 * (x - w).square().sum() - 0.5 * w.square().sum()
        total = total - 0.5 * (model.c * u[0].square()).sum().sqrt() * model.b[plane]
    return total


def taught_windows(model: Any, batch: Batch, _: torch.Generator) -> Tensor:
    assert batch.targets is not None
    x, w, plane = model.c * batch.inputs[0], model.a[batch.targets[0]], batch.targets[0]
    strength = (model.c * batch.inputs[0].square()).sum().sqrt()
    return 0.5 * (x - w).square().sum() - 0.5 * w.square().sum() - 0.5 * strength * model.b[plane]


def born_windows(model: Any, batch: Batch, _: torch.Generator) -> Tensor:
    """The first pattern of an empty layer bears plane 0."""
    x, w = model.c * batch.inputs[0], model.a[0]
    return 0.5 * (x - w).square().sum() - 0.5 * w.square().sum()


def dark(model: nn.Module, batch: Batch) -> Batch:
    return Batch(torch.zeros_like(batch.inputs), batch.targets)


def tells_corners_apart(model: Any, batch: Batch) -> bool:
    """Each corner wakes another plane."""
    answers = model(batch.inputs).flatten(1)
    return answers.shape[1] >= 4 and len(set(answers.argmax(1).tolist())) == 4 and bool((answers.amax(1) > 0).all())


RULES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "competitive seeds": (
        CompetitiveSeeds,
        Taught,
        {"oracle": won_windows, "quiet": dark, "learnt": lambda model, batch: bool((model(batch.inputs) > 0).any())},
    ),
    "taught seeds": (TaughtSeeds, Taught, {"oracle": taught_windows, "quiet": dark}),
    "growing seeds": (
        lambda: GrowingSeeds(rate=1.0, fused=False),
        Grown,
        {"oracle": born_windows, "quiet": dark, "learnt": tells_corners_apart},
    ),
    "growing seeds, fused": (GrowingSeeds, Grown, {"quiet": dark, "learnt": tells_corners_apart}),
    "labelled seeds": (lambda: LabelledSeeds(rate=1.0, fused=False), Grown, {"oracle": born_windows, "quiet": dark}),
    "labelled seeds, fused": (LabelledSeeds, Grown, {"quiet": dark}),
    "names": (LabelPlanes, Named, {"quiet": dark}),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_keep_the_contract(name: str) -> None:
    rule, model, options = RULES[name]
    checks = check_rule(rule, model, BATCH, rate=1.0, **options)
    assert len(checks) == 15 - ("oracle" not in options) - (not rule().uses_labels)
