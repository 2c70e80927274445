"""What the workflows of the study `ann-against-snn` share: the amount of training, and the comparison of their costs.

    images    (a) an ANN trained and run     (b) the same ANN converted, run on spike-coded images
              (c) an SNN trained directly: drawn spikes (Bernoulli), or a trained encoding layer
    events (a) events accumulated to frames, 0 and 1 or intensities, for an ANN (b) an SNN trained on the events

The ways and the measures (accuracy, memory, compute) are those of Deng et al., "Rethinking the performance comparison
between SNNs and ANNs", Neural Networks 121:294 (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from threegen.cost.compare import Compared, Comparison
from threegen.cost.count import count
from threegen.cost.energy_tables import ENERGY_TABLES, ESTIMATE_RULE, TRAFFIC_RULE, estimate
from threegen.cost.mcnemar import compare_pairs
from threegen.datasets.dataset import Dataset
from threegen.datasets.lazy import CountedFrames
from threegen.errors import DataError
from threegen.randomness import make_generator
from threegen.training.evaluate import evaluate

STEPS = 10  # T of the networks on images and on N-MNIST
TIMES = (1, 2, 4, 6, 8, 10)  # T of the curve
COUNTED = 200  # examples over which costs are averaged
CURVE = 2_000  # test images of the curve
RATE = 1e-3


@dataclass(frozen=True)
class Plan:
    """The amount of training: examples, epochs of each kind of network, and the test examples (None takes all).

    `part` divides the number of planes and hidden units of the convolutional structures on photographs.
    """

    examples: int | None = None
    dense: int = 5
    spiking: int = 5
    convolutional: int = 8
    tested: int | None = None
    part: int = 1


@dataclass(frozen=True)
class Way:
    """One workflow: a trained network of the structure that is named, and its test examples in its own input format."""

    name: str
    model: nn.Module
    test: Dataset
    curve: dict[int, float] = field(default_factory=dict)  # T -> accuracy, of spiking nets
    structure: str = ""


def accumulated(
    data: CountedFrames, parts: Sequence[tuple[int, int]], *, binary: bool, scale: float = 0.25
) -> CountedFrames:
    """Return counts [N, T, 2, H, W] as one frame for each part (first, last + 1) of the time steps.

    Values are 0 and 1, or the summed counts times `scale`, up to 1.
    """
    kept = torch.empty(len(data), len(parts), *data.frames.shape[2:], dtype=torch.uint8)
    for number, index in enumerate(data.index.tolist()):
        for place, (first, last) in enumerate(parts):
            summed = data.frames[index, first:last].sum(0, dtype=torch.int32)
            kept[number, place] = summed.clamp_(max=1 if binary else 255).to(torch.uint8)
    own, most = (1.0, None) if binary else (scale, 1.0)
    return CountedFrames(kept, data.targets, data.classes, data.name, scale=own, most=most)


def binary_frames(data: CountedFrames) -> CountedFrames:
    """Return counts as frames of 0 and 1."""
    return CountedFrames(data.frames[data.index].clamp(max=1), data.targets, data.classes, data.name)


def with_fewer_steps(model: nn.Module, test: Dataset, seed: int) -> dict[int, float]:
    """Return the accuracy of a spiking net after fewer time steps than it was trained for, on `CURVE` of the images."""
    net: Any = model
    own, part = net.steps, test.take(CURVE)
    found = {}
    for steps in TIMES:
        net.steps = steps
        found[steps] = evaluate(net, part, seed=seed).accuracy
    net.steps = own
    return found


def with_fewer_frames(model: nn.Module, test: Dataset, seed: int) -> dict[int, float]:
    """Return the accuracy of a spiking net after the first of the frames [N, T, 2, H, W] of each recording."""
    frames = test.inputs
    parts = {steps: frames[:, :steps] for steps in TIMES if steps <= frames.shape[1]}
    return {
        steps: evaluate(model, Dataset(part, test.targets, test.classes, test.name), seed=seed).accuracy
        for steps, part in parts.items()
    }


def compare_ways(ways: Sequence[Way], name: str, seed: int) -> Comparison:
    """Return accuracy, memory and compute of all workflows, tested on the same examples, each in its own format.

    Raises `DataError` if the examples have no labels.
    """
    found, right = [], {}
    for way in ways:
        evaluation = evaluate(way.model, way.test, seed=seed)
        bill = count(way.model, way.test.take(COUNTED).inputs, generator=make_generator(seed, "count"))
        right[way.name] = evaluation.predictions == labels(way.test)
        kind = type(way.model).__name__
        energy = tuple(estimate(bill, table, 4) for table in ENERGY_TABLES)
        found.append(Compared(way.name, kind, evaluation, bill, right[way.name], 4, energy))
    about = {"name": name, "count": len(ways[0].test)}
    rules = {"counting": found[0].bill.rule, "traffic": TRAFFIC_RULE, "energy": ESTIMATE_RULE}
    return Comparison(tuple(found), compare_pairs(right), ways[0].name, about, COUNTED, rules=rules)


def labels(data: Dataset) -> Tensor:
    """Return the labels; raises `DataError` if there are none."""
    if data.targets is None:
        raise DataError(f"{data.name} has no labels")
    return data.targets
