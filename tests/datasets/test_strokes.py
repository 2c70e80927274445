"""Digits drawn with a pen in MNIST's form: the measures of MNIST's 60,000 training images hold for drawings too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.errors import ConfigError, DataError, ShapeError

DRAWINGS = json.loads((Path(__file__).parents[1] / "fixtures" / "hundred_strokes.json").read_text())


def boxed(image: torch.Tensor) -> list[int]:
    """Return the height and width of the box of all ink."""
    seen = (image[0] > 0).nonzero()
    return [int(side) + 1 for side in seen.max(0).values - seen.min(0).values]


def centre(image: torch.Tensor) -> list[float]:
    """Return the centre of mass: row and column."""
    return [float((image[0].sum(1 - axis) * torch.arange(28)).sum() / image.sum()) for axis in (0, 1)]


def test_drawings_have_the_measures_of_mnist() -> None:
    """Box 20, centre of mass at pixel 14 +- .5, mean ink .131 +- 10 %: measured on MNIST's training images."""
    images = torch.stack([mnist_form_of_strokes(one["strokes"]) for one in DRAWINGS])
    assert images.shape == (100, 1, 28, 28)
    assert all(max(boxed(one)) == 20 for one in images)
    assert all(abs(place - 14) <= 0.5 + 1e-4 for one in images for place in centre(one))
    assert float(images.mean()) == pytest.approx(0.131, rel=0.1)


def test_size_and_place_on_the_page_do_not_matter() -> None:
    """A drawing a twentieth as large, elsewhere, is the same image."""
    for one in DRAWINGS[::7]:
        small = [[(x / 20 + 300, y / 20 - 50) for x, y in stroke] for stroke in one["strokes"]]
        difference = (mnist_form_of_strokes(small) - mnist_form_of_strokes(one["strokes"])).abs()
        assert float(difference.max()) <= 1 / 16  # one fine pixel of sixteen, by rounding


def test_a_horizontal_line_covers_what_geometry_says() -> None:
    """A line of width 2 and outer length 20 with round ends: 18 * 2 + pi pixels of ink."""
    image = mnist_form_of_strokes([[(0, 5), (9, 5)]], line=2.0)
    assert boxed(image) == [2, 20]
    assert float(image.sum()) == pytest.approx(18 * 2 + 3.1416, rel=0.02)


def test_a_tap_is_a_dot_and_not_enlarged() -> None:
    dot = mnist_form_of_strokes([[(7, 7)]])
    assert max(boxed(dot)) == 3
    assert torch.equal(dot, mnist_form_of_strokes([[(90, 1), (90, 1)]]))


@pytest.mark.parametrize(
    ("strokes", "error", "words"),
    [
        ([], DataError, "nothing is drawn"),
        ([[]], DataError, "nothing is drawn"),
        ([[(1.0, float("nan"))]], DataError, "not finite"),
        ([[(1, 2, 3)]], ShapeError, "two numbers"),
    ],
)
def test_what_is_no_drawing_is_refused(strokes: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        mnist_form_of_strokes(strokes)


def test_a_line_of_no_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="width of the pen"):
        mnist_form_of_strokes([[(0, 0), (1, 1)]], line=0)
