"""A synthetic history: four models with everything that the report can show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from threegen.report.results import (
    Filters,
    HistoryResult,
    Insides,
    LayerSpikes,
    Membrane,
    Mistake,
    ModelResult,
    Raster,
)

CLASSES = tuple(str(digit) for digit in range(10))


def make_insides(spiking: bool, seed: int = 0, units: int = 40) -> Insides:
    """Return noise in the shape of a real model's insides: noise is the worst case for the size of the page."""
    random = np.random.default_rng(seed)
    confusion = np.diag(np.full(10, 950)) + random.integers(0, 9, (10, 10))
    raster = None
    if spiking:
        output = random.random((10, 10)) < 0.3
        raster = Raster(
            image=random.random((28, 28), dtype=np.float32),
            truth=7,
            answer=3,
            layers=(
                LayerSpikes("hidden layer 1", random.random((10, 800)) < 0.2),
                LayerSpikes("output layer", output, CLASSES),
            ),
            membranes=tuple(
                Membrane(CLASSES[unit], random.random(10, dtype=np.float32), output[:, unit]) for unit in (3, 7, 1)
            ),
            threshold=0.5,
            encoded=random.random((10, 28, 28)) < 0.2,
        )
    return Insides(
        curves=tuple(
            {"epoch": epoch, "train_loss": 1 / epoch, "validation_accuracy": 1 - 0.1 / epoch, "seconds": 2.5}
            for epoch in range(1, 6)
        ),
        confusion=confusion,
        mistakes=tuple(
            Mistake(random.random((28, 28), dtype=np.float32), 8, 3, 0.94 - number / 100, 100 + number)
            for number in range(20)
        ),
        filters=Filters("layers.linear1", random.normal(size=(units, 28, 28)), tuple(map(str, range(units))), 512),
        raster=raster,
        bill_rows=(
            {"name": "linear1", "kind": "linear", "output": [512], "parameters": 401_920,
             "operations": {"ac": 401_408.0} if spiking else {"mac": 401_408.0, "mac_nonzero": 76_000.5},
             "memory": {"activations": 2048}, "spikes": None},
            {"name": "linear2", "kind": "linear", "output": [10], "parameters": 5_130,
             "operations": {"ac": 5_120.0} if spiking else {"mac": 5_120.0, "mac_nonzero": 900.0},
             "memory": {"activations": 40}, "spikes": None},
        ),
        counting_rule="one multiplication and one addition a weight",
    )  # fmt: skip


def make_model(name: str, generation: int = 2, *, correct: int = 9800, **changes: Any) -> ModelResult:
    """Return a model with round figures; `changes` replace fields."""
    spiking = generation == 3
    fields: dict[str, Any] = {
        "name": name,
        "title": name.replace("-", " ").title(),
        "generation": generation,
        "year": {1: 1958, 2: 1986, 3: 2018}[generation],
        "paper": "Someone, A paper, A journal (1986)",
        "rule": "back-propagation",
        "accuracy": correct / 10_000,
        "interval": (correct / 10_000 - 0.003, correct / 10_000 + 0.003),
        "correct": correct,
        "count": 10_000,
        "parameters": 407_050,
        "memory": {"weights": 1_628_200, "activations": 2_088, "total": 1_630_288},
        "operations": {"ac": 2_000_000.0, "leak": 5_000.0} if spiking else {"mac": 406_528.0, "mac_nonzero": 76_900.5},
        "seconds": 12.5,
        "epochs": 5,
        "seed": 3,
        "command": f"threegen train {name} --seed 3",
        "settings": {"batch_size": 128},
        "about": "A net.",
        "insides": make_insides(spiking),
    }
    return ModelResult(**{**fields, **changes})


def make_history(*models: ModelResult, **changes: Any) -> HistoryResult:
    """Return a history of the given models, or of four."""
    chosen = models or (
        make_model("perceptron", 1, correct=8_700),
        make_model("mlp", correct=9_800),
        make_model("lenet-5-modern", correct=9_893),
        make_model("spiking-mlp", 3, correct=9_790),
    )
    fields: dict[str, Any] = {
        "models": tuple(chosen),
        "data": {"name": "mnist", "train": 60_000, "test": 10_000, "sha256": "ab" * 32, "classes": list(CLASSES)},
        "mode": "quick",
        "seed": 3,
        "versions": {"threegen": "0.1", "python": "3.11", "torch": "2.13.0", "numpy": "2.2"},
        "threads": 2,
        "created": "2020-02-29",
        "command": "threegen history --quick --seed 3",
        "seconds": 190.0,
    }
    return HistoryResult(**{**fields, **changes})


@pytest.fixture
def history() -> HistoryResult:
    return make_history()


@pytest.fixture
def model() -> Callable[..., ModelResult]:
    return make_model


@pytest.fixture
def gather() -> Callable[..., HistoryResult]:
    return make_history


@pytest.fixture
def insides() -> Callable[..., Insides]:
    return make_insides
