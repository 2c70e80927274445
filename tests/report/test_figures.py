"""Labels of the scatter plot: none covers another or a mark, all stay inside."""

from __future__ import annotations

import itertools
import random

import pytest

from threegen.report.figures import Box, place_labels

INSIDE = (2.0, 0.0, 400.0, 276.0)


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def crowd(seed: int) -> tuple[list[str], list[tuple[float, float]]]:
    """Eleven names at spots of which five are close together, as those of the lineage are."""
    draw = random.Random(seed)
    names = ["Perceptron", "Neocognitron", "MLP", "LeNet-1", "LeNet-5", "LeNet-5 (modern)", "RBM + softmax", "DBN"]
    names += ["Diehl and Cook", "Spiking conv net", "Spiking MLP"]
    near = [(draw.uniform(260, 320), draw.uniform(40, 110)) for _ in range(5)]
    far = [(draw.uniform(60, 380), draw.uniform(20, 260)) for _ in range(6)]
    return names, near + far


@pytest.mark.parametrize("seed", range(20))
def test_no_label_covers_another(seed: int) -> None:
    names, spots = crowd(seed)
    labels = place_labels(names, spots, [], INSIDE)
    assert len(labels) == len(names)
    for one, other in itertools.combinations(labels, 2):
        assert not overlap(one.box, other.box)
    for label in labels:
        assert label.box[0] >= INSIDE[0]
        assert label.box[2] <= INSIDE[2]
        assert label.box[1] >= INSIDE[1]
        assert label.box[3] <= INSIDE[3]


def test_a_label_alone_stands_to_the_right_of_its_mark() -> None:
    [label] = place_labels(["alone"], [(100.0, 100.0)], [], INSIDE)
    assert (label.anchor, label.at, label.shift) == ("start", (110.0, 104.0), 0.0)
    [label] = place_labels(["at the right edge"], [(390.0, 100.0)], [], INSIDE)
    assert label.anchor == "end"


def test_a_label_keeps_clear_of_the_numbers_of_the_axis() -> None:
    axis = [(0.0, 93.0, 48.0, 107.0)]
    [label] = place_labels(["a long name that would reach the axis"], [(290.0, 100.0)], [], INSIDE, axis)
    assert not overlap(label.box, axis[0])
    [careless] = place_labels(["a long name that would reach the axis"], [(290.0, 100.0)], [], INSIDE)
    assert overlap(careless.box, axis[0])
