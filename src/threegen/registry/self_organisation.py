"""The training stages of neocognitrons: layer by layer, each on the cached cells of the layer below.

    fit(model, self_organisation(model), data.train)

Each stage's `transform` runs the training images through the finished layers below, in evaluation mode and once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from threegen.checks import require_labels, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError
from threegen.gen1.neocognitron import Neocognitron
from threegen.gen1.neocognitron_1980 import Neocognitron1980
from threegen.gen1.neocognitron_1988 import Neocognitron1988, line_bits
from threegen.gen1.neocognitron_2003 import Neocognitron2003
from threegen.rules.growing_seeds import GrowingSeeds, LabelledSeeds
from threegen.rules.label_planes import LabelPlanes
from threegen.rules.rule import Rule
from threegen.rules.seed_cells import CompetitiveSeeds, TaughtSeeds
from threegen.training.evaluate import evaluation_mode
from threegen.training.stages import Stage

_AT_ONCE = 25  # images at a time, so that their cells stay in the cache


def self_organisation(
    model: Neocognitron,
    *,
    epochs: int = 1,
    top_epochs: int = 3,
    batch_size: int = 100,
    digits: int | None = None,
) -> list[Stage]:
    """Return the stages that train a neocognitron, lowest layer first.

    1980: S1, S2, S3 compete without labels, then C3-planes are labelled with classes. 1988: a teacher presents line
    segments to S1, windows of typical digits to S2 and S3, whole typical digits to S4. 2003: S2 and S3 grow without
    labels, S4 is trained on whole digits with labels. `epochs` are passes through the data for each layer, `top_epochs`
    those of the labelled top layer of 2003; `digits` uses only this number of first digits of the data (the paper of
    2003: 3,000). Raises `ConfigError` for another model and for `digits` below one.
    """
    if digits is not None:
        require_whole("digits", digits)
    if isinstance(model, Neocognitron1980):
        return _stages_of_1980(model, epochs, batch_size, digits)
    if isinstance(model, Neocognitron1988):
        return [_taught(model, name, epochs, batch_size) for name in _TAUGHT]
    if isinstance(model, Neocognitron2003):
        middle = [_grown(model, name, GrowingSeeds(), epochs, batch_size, digits) for name in ("S2", "S3")]
        return [*middle, _grown(model, "S4", LabelledSeeds(), top_epochs, batch_size, digits)]
    raise ConfigError(f"self_organisation takes neocognitrons of 1980, 1988 or 2003, got {type(model).__name__}")


_TAUGHT = ("S1", "S2", "S3", "S4")


def _stages_of_1980(model: Neocognitron1980, epochs: int, batch_size: int, digits: int | None) -> list[Stage]:
    rates = {"S1": 1.0, "S2": 16.0, "S3": 16.0}
    stages = [_grown(model, name, CompetitiveSeeds(rate), epochs, batch_size, digits) for name, rate in rates.items()]
    return [*stages, Stage("names", LabelPlanes(), batch_size=batch_size, transform=lambda data: _first(data, digits))]


def _taught(model: Neocognitron1988, name: str, epochs: int, batch_size: int) -> Stage:
    """Return the stage of a layer that has one lesson per plane."""
    few = min(batch_size, model.s_cells(name).planes)
    return _stage(model, name, TaughtSeeds(16.0), lessons(model, name), epochs, few)


def _grown(model: Neocognitron, name: str, rule: Rule, epochs: int, batch_size: int, digits: int | None) -> Stage:
    return _stage(model, name, rule, lambda data: cells_below(model, name, _first(data, digits)), epochs, batch_size)


def _stage(
    model: Neocognitron,
    name: str,
    rule: Rule,
    transform: Callable[[Dataset], Dataset],
    epochs: int,
    batch_size: int,
) -> Stage:
    return Stage(
        name,
        rule,
        model.layers[name],
        transform=transform,
        optimizer="sgd",
        lr=1.0,
        epochs=epochs,
        batch_size=batch_size,
        validate=False,
    )


def _first(data: Dataset, digits: int | None) -> Dataset:
    return data if digits is None else data.take(digits)


def cells_below(model: Neocognitron, name: str, data: Dataset) -> Dataset:
    """Return the input of the layer called `name` for `data`: the C-cells `[N, K, H, W]` below it, with the same
    labels.

    Raises `DataError` for labels that `model` has no class for.
    """
    if data.targets is not None:
        require_labels(data.targets, model.classes)
    with evaluation_mode(model), torch.no_grad():
        cells = torch.cat([model.below(name, images) for images in torch.split(data.inputs, _AT_ONCE)])
    return Dataset(cells, data.targets, data.classes, f"{data.name} below {name}")


# -- the teacher of 1988 ----------------------------------------------------------------------------------------------


def lessons(model: Neocognitron1988, name: str) -> Callable[[Dataset], Dataset]:
    """Return the function that makes the lessons of the layer called `name` from labelled digits.

    S1 learns the twelve line segments. S2 and S3: for each plane in turn a typical digit of the next class, and in it
    the place with the strongest input among those that no earlier plane of this digit has learned. S4: each plane of a
    class learns one whole typical digit.
    """

    def make(data: Dataset) -> Dataset:
        if name == "S1":
            planes = torch.arange(12)
            places = torch.full_like(planes, 9)
            return Dataset(line_bits().to(data.inputs.dtype), torch.stack([planes, places, places], 1), (), "line bits")
        if data.targets is None:
            raise DataError("the teacher of 1988 selects typical digits by their labels; the data have none")
        layer = model.s_cells(name)
        planes_of_class = -(-layer.planes // model.classes)
        typical = typical_examples(data, model.classes, planes_of_class if name == "S4" else 1)
        seen = cells_below(model, name, typical)
        if name == "S4":
            targets = torch.stack([torch.arange(layer.planes), *[torch.ones(layer.planes, dtype=torch.int64)] * 2], 1)
            return Dataset(seen.inputs, targets, (), "whole digits")
        strengths = layer.inhibition(seen.inputs)[:, 0]
        return _windows(seen.inputs, strengths, layer.planes)

    return make


def _windows(cells: Tensor, strengths: Tensor, planes: int) -> Dataset:
    """Return lessons for `planes` planes, digit after digit, at the strongest places that are at least 3 cells
    apart."""
    left = strengths.clone()
    digits, targets = [], []
    for plane in range(planes):
        digit = plane % len(cells)
        row, column = divmod(int(left[digit].argmax()), left.shape[-1])
        left[digit, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = 0
        digits.append(digit)
        targets.append([plane, row, column])
    return Dataset(cells[digits], torch.tensor(targets), (), "windows of digits")


def typical_examples(data: Dataset, classes: int, each: int) -> Dataset:
    """Return `each` examples of every class, class by class: first the one nearest to the class's mean, then repeatedly
    the one farthest from those chosen, among the half nearest to the mean. Raises `DataError` for too few.
    """
    if data.targets is None:
        raise DataError("typical examples need labels, the data have none")
    chosen = []
    for label in range(classes):
        own = (data.targets == label).nonzero()[:, 0]
        if len(own) < each:
            raise DataError(f"class {label} has {len(own)} examples, the teacher needs {each}")
        flat = data.inputs[own].flatten(1)
        order = (flat - flat.mean(0)).square().sum(1).argsort(stable=True)[: max(each, len(own) // 2)]
        picked = [int(order[0])]
        while len(picked) < each:
            apart = torch.stack([(flat[order] - flat[one]).square().sum(1) for one in picked]).amin(0)
            picked.append(int(order[apart.argmax()]))
        chosen.append(own[picked])
    return data.subset(torch.cat(chosen))
