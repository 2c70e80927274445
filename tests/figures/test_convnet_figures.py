"""The convolutional line among the recipes: its place in the lineage, the digits drawn for it, the nearest of them."""

from __future__ import annotations

import torch
from sklearn.neighbors import KNeighborsClassifier

from threegen.datasets.dataset import Data
from threegen.datasets.load import load_data
from threegen.figures.entries.neocognitron_3000 import draw_digits, nearest_pixels
from threegen.registry.entry import lineage_entries


def test_the_lineage_has_the_convolutional_line_by_age() -> None:
    line = [(entry.name, entry.generation, entry.year) for entry in lineage_entries()]
    wanted = [("neocognitron", 1, 2003), ("lenet-1989", 2, 1989), ("lenet-5", 2, 1998), ("lenet-5-modern", 2, 1998)]
    assert [one for one in line if one in wanted] == wanted


def test_each_seed_draws_other_digits_and_as_many_of_each_class() -> None:
    train = load_data("mnist").train
    first, again, other = draw_digits(train, 300, 0), draw_digits(train, 300, 0), draw_digits(train, 300, 1)
    assert first.targets is not None
    assert first.targets.bincount().tolist() == [30] * 10
    assert len(first.inputs.flatten(1).unique(dim=0)) == 300
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_the_nearest_by_pixels_is_scikit_learns() -> None:
    data = load_data("mnist")
    few = Data("few digits", data.train.take(2000), data.train.subset(range(2000, 2200)))
    drawn = draw_digits(few.train, 500, 3)
    assert drawn.targets is not None
    assert few.test.targets is not None
    nearest = KNeighborsClassifier(1).fit(drawn.inputs.flatten(1).numpy(), drawn.targets.numpy())
    wanted = nearest.score(few.test.inputs.flatten(1).numpy(), few.test.targets.numpy())
    assert abs(nearest_pixels(few, 500, 3) - 100 * wanted) < 1e-9
