"""Which models the page shows, and that a hundred drawings in varied hands are read right by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.errors import ConfigError
from threegen.runs.pretrained import pretrained, pretrained_models
from threegen.runs.train import train_run
from threegen.web.lineup import models_for_page, warm_up

DRAWINGS = Path(__file__).parents[1] / "fixtures" / "hundred_strokes.json"


def test_every_model_that_ships_and_reads_digits_has_a_card() -> None:
    found = {one.name: one for one in models_for_page()}
    facts = pretrained_models()
    assert set(found) == set(facts)
    for name, one in found.items():
        told = one.describe()
        assert (told["accuracy"], told["tested"]) == (facts[name]["accuracy"], facts[name]["count"])
        assert (told["title"], told["year"], told["rule"]) == tuple(
            facts[name][key] for key in ("title", "year", "rule")
        )
        assert not one.model.training
    order = [(one.entry.generation, one.entry.year) for one in found.values()]
    assert order == sorted(order)


def test_models_are_chosen_by_name() -> None:
    assert [one.name for one in models_for_page(["mlp", "perceptron"])] == ["perceptron", "mlp"]
    with pytest.raises(ConfigError, match="did you mean 'mlp'"):
        models_for_page(["mlpp"])


def test_a_run_of_ones_own_joins(tmp_path: Path) -> None:
    from threegen.datasets.dataset import Data, Dataset

    images = torch.rand(200, 1, 28, 28)
    data = Data("own", *(Dataset(images, torch.arange(200) % 10, tuple("0123456789"), "own") for _ in "ab"))
    train_run("perceptron", data, mode="quick", epochs=1, out=tmp_path / "mine")
    found = {one.name: one for one in models_for_page(["mlp"], [tmp_path / "mine"])}
    assert set(found) == {"mlp", "mine"}
    assert found["mine"].own
    assert found["mine"].accuracy is None  # it is measured while the page runs
    colors = Data("own", *(Dataset(torch.rand(200, 3, 8, 8), torch.arange(200) % 2, ("a", "b"), "c") for _ in "ab"))
    train_run("perceptron", colors, mode="quick", epochs=1, out=tmp_path / "other")
    with pytest.raises(ConfigError, match="digits of 28 x 28"):
        models_for_page([], [tmp_path / "other"])


@pytest.mark.parametrize(("name", "least"), [("mlp", 90), ("lenet-5-modern", 95)])
def test_a_hundred_drawings_are_read_right(name: str, least: int) -> None:
    """Five outlines a digit, large and slanted, small and off center; the two numbers are what the page promises."""
    drawings = json.loads(DRAWINGS.read_text())
    assert len(drawings) == 100
    images = torch.stack([mnist_form_of_strokes(one["strokes"]) for one in drawings])
    with torch.no_grad():
        answers = pretrained(name)(images).argmax(1)
    right = int((answers == torch.tensor([one["digit"] for one in drawings])).sum())
    assert right >= least, [one["digit"] for one, said in zip(drawings, answers, strict=True) if one["digit"] != said]


def test_warming_up_leaves_the_answers_as_they_are() -> None:
    member = models_for_page(["spiking-mlp"])[0] if "spiking-mlp" in pretrained_models() else models_for_page()[-1]
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    before = member.scores(image)
    warm_up(member)
    assert not member.plain
    torch.testing.assert_close(member.scores(image), before, rtol=1e-4, atol=1e-4)
