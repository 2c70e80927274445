"""The study `ann-against-snn`: every way of the literature, equal structures, costs counted by hand."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from pathlib import Path

import pytest
import torch

from threegen.conversion.convert import ConversionWarning
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.lazy import CountedFrames
from threegen.errors import ConfigError
from threegen.figures import recordings, ways, ways_on_images
from threegen.figures.ways import Plan, accumulated, binary_frames, compare_ways
from threegen.figures.ways_on_n_mnist import STROKES, conv_net
from threegen.figures.workflows import WORKFLOWS
from threegen.studies.registry import run_study

needs_recordings = pytest.mark.skipif(
    not (Path(os.environ.get("THREEGEN_DATA", "")) / "nmnist" / "Train-first-1000.zip").is_file(),
    reason="the 1,000 real N-MNIST recordings are not here: set THREEGEN_DATA to the folder with nmnist/",
)


def counts(examples: int = 6) -> CountedFrames:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 4, (examples, 10, 2, 34, 34), generator=generator, dtype=torch.uint8)
    return CountedFrames(frames, torch.arange(examples) % 10, tuple("0123456789"), "made")


def test_strokes_are_sums_of_the_frames_of_30_ms() -> None:
    """The pauses of the fitted camera, 91 to 106 and 194 to 214 ms, are between the frames that are summed."""
    made = counts()
    assert [30 * edge for pair in STROKES for edge in pair] == [0, 90, 90, 210, 210, 300]
    intensities, binary = (accumulated(made, STROKES, binary=one).inputs for one in (False, True))
    for number in range(len(made)):
        for stroke, (first, last) in enumerate(STROKES):
            total = sum(made.frames[number, frame].float() for frame in range(first, last))
            assert torch.equal(intensities[number, stroke], (total / 4).clamp(max=1))
            assert torch.equal(binary[number, stroke], (total > 0).float())
    assert torch.equal(binary_frames(made).inputs, (made.frames > 0).float())


def test_the_convolutional_network_is_the_one_that_its_string_names() -> None:
    """16C5-P2-32C5-P2-128-10 on 6 planes: 34 -> 30 -> 15 -> 11 -> 5 places a side."""
    expected = 16 * (6 * 25 + 1) + 32 * (16 * 25 + 1) + 128 * (32 * 25 + 1) + 10 * 129
    assert sum(p.numel() for p in conv_net(0).parameters()) == expected
    assert torch.equal(conv_net(3)[1].weight, conv_net(3)[1].weight)
    assert conv_net(0)(torch.zeros(2, 3, 2, 34, 34)).shape == (2, 10)


def test_all_ways_on_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Costs that can be counted by hand: the dense products, and the memory of weights, potentials and activations."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 10
    images = torch.rand(300, 1, 28, 28, generator=draw) * 0.2
    images.view(300, 784)[torch.arange(300), 70 * labels] = 1.0
    part = Dataset(images, labels, tuple("0123456789"), "made")
    monkeypatch.setattr(ways_on_images, "load_data", lambda name: Data("mnist", part, part.take(40)))
    monkeypatch.setattr(ways_on_images, "HIDDEN", 30)
    monkeypatch.setattr(ways, "TIMES", (1, 3))
    plan = Plan(dense=2, spiking=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConversionWarning)  # of a net that has hardly learned
        found = ways_on_images.mnist_ways(0, plan)
    card = compare_ways(found, "made images", 0)
    assert [one.name for one in card.models] == [
        "ANN",
        "ANN converted, Bernoulli input",
        "ANN converted, analog input",
        "SNN, Bernoulli input",
        "SNN, trained encoder",
    ]
    products = 784 * 30 + 30 * 10
    assert card["ANN"].bill.operations["mac"] == products
    assert {one.bill.parameters for one in card.models} == {products + 40}
    for name in ("SNN, Bernoulli input", "SNN, trained encoder"):
        assert card[name].bill.memory["potentials"] == 4 * 40
        assert card[name].bill.steps == 10
    assert card["SNN, Bernoulli input"].bill.compute["multiplications"] == 0
    assert card["SNN, trained encoder"].bill.operations["mac"] == 784 * 30  # the first layer, once
    for way in found:
        assert set(way.curve) == (set() if way.name == "ANN" else {1, 3})
        assert getattr(way.model, "steps", 10) == 10  # the curve leaves the net as it was
    assert len(card.pairs) == 10


@needs_recordings
def test_the_study_on_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(examples=130, dense=1, spiking=1, convolutional=1, tested=30)
    monkeypatch.setitem(WORKFLOWS, "n-mnist", dataclasses.replace(WORKFLOWS["n-mnist"], quick=plan))
    recordings.simulated_counts.cache_clear()
    result = run_study("ann-against-snn", quick=True, out=tmp_path, data="n-mnist")
    found = result["figures"]
    assert json.loads((tmp_path / "results.json").read_text()) == result
    assert set(result["files"]) == {"ann-against-snn.png", "ann-against-snn.svg"}
    assert found["data"] == "n-mnist"
    snn = found["ways"]["SNN on events"]
    assert snn["parameters"] == 2312 * 800 + 800 + 800 * 10 + 10
    # Frames may hold counts: the rule of the bill takes them for values, at every step.
    assert snn["compute"]["multiplications"] == 10 * 2312 * 800
    assert found["ways"]["ANN, frames of intensities"]["parameters"] == 3 * 2312 * 800 + 800 + 800 * 10 + 10
    assert found["accuracy against T"]["SNN on events"][-1] == pytest.approx(snn["accuracy"])


def test_data_is_for_studies_that_know_several() -> None:
    with pytest.raises(ConfigError, match="has its own data"):
        run_study("optimizers-on-a-valley", data="mnist")
    with pytest.raises(ConfigError, match="n-mnist"):
        run_study("ann-against-snn", data="fashion-mnist")
