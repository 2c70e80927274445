"""The neocognitron of 2003 taught 3,000 digits of MNIST, 300 per class; each seed draws other digits."""

from __future__ import annotations

import torch

from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.gen1.neocognitron_2003 import Neocognitron2003
from threegen.randomness import make_generator
from threegen.registry.self_organisation import self_organisation
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit

DIGITS, PASSES = 3000, 3


def draw_digits(data: Dataset, digits: int, seed: int) -> Dataset:
    """Return `digits` random examples, as many of each of the ten classes, in random order."""
    if data.targets is None:
        return data.take(digits)
    order = torch.randperm(len(data), generator=make_generator(seed, "digits"))
    labels = data.targets[order]
    rank = torch.zeros_like(labels)
    for label in range(10):
        own = labels == label
        rank[own] = torch.arange(int(own.sum()))
    return data.subset(order[rank < digits // 10])


def taught_neocognitron(data: Data, digits: int, seed: int, progress: bool = False) -> Neocognitron2003:
    """Return the net of the registry's full plan, taught `digits` drawn digits."""
    model = Neocognitron2003(planes=(120, 350, 1500 if digits <= DIGITS else 4500))
    drawn = draw_digits(data.train, digits, seed)
    title = f"neocognitron, {digits:,} digits, seed {seed}"
    fit(
        model,
        self_organisation(model, top_epochs=PASSES, batch_size=500),
        drawn,
        seed=seed,
        progress=progress,
        title=title,
    )
    return model


def nearest_pixels(data: Data, digits: int, seed: int) -> float:
    """Return the test accuracy in per cent of the nearest of the same digits by its pixels (Euclidean distance)."""
    drawn = draw_digits(data.train, digits, seed)
    known, asked = drawn.inputs.flatten(1), data.test.inputs.flatten(1)
    if drawn.targets is None or data.test.targets is None:
        return 0.0
    nearest = (2 * asked @ known.T - known.square().sum(1)).argmax(1)
    return 100 * float((drawn.targets[nearest] == data.test.targets).double().mean())


def train_neocognitron(seed: int, progress: bool = False) -> float:
    """Return the test accuracy in per cent."""
    data = load_data("mnist")
    return 100 * evaluate(taught_neocognitron(data, DIGITS, seed, progress), data.test, seed=seed).accuracy


FIGURE = Figure(
    name="neocognitron-3000",
    paper="Fukushima, Neocognitron for handwritten digit recognition, Neurocomputing 51 (2003)",
    published=98.6,
    unit="per cent test accuracy",
    better="higher",
    make=train_neocognitron,
    seeds=(0, 1, 2, 3, 4),
    differs="other data (MNIST, not the paper's ETL-1)",
    note="The published figure is on ETL-1, not on MNIST. Each seed draws other 3,000 training digits, 300 per "
    "class. The nearest neighbour by raw pixels among the same digits reaches 92.11, 92.22 and 92.28 for seeds "
    "0 to 2. Sizes, thresholds and passes were chosen on 10,000 training images held out (95.5 to 95.8 there "
    "with three draws, two of them judged on 4,000 and 6,000 of the images only). Training a seed took 26.5 s "
    "on two quiet cores; the minutes are those of one core of a busy machine, test included. The test split is "
    "read once per seed, by the last weights.",
)
