"""Two first exercises in back-propagation: four rows of a table, and XOR pattern by pattern."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch

from threegen.datasets.dataset import Dataset
from threegen.gen2.two_layer import TwoLayerNet
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import short, smooth
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

TABLE = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
PATTERNS = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
TARGETS = torch.tensor([[0.0], [1], [1], [0]])
PASSES = 10_000
STEPPERS = {
    "raw previous gradient": optimizer("previous-gradient", lr=0.05, correction=0.1),
    "momentum": optimizer("momentum", lr=0.05, momentum=0.9),
}


def four_rows(settings: Settings) -> dict[str, Any]:
    """Train 3-4-1 without biases for 1,500 iterations over the table; the step of the original program is 8 times that
    for our mean."""
    model = TwoLayerNet(3, 4, bias=False, generator=make_generator(settings.seed, "table"))
    data = Dataset(TABLE, TARGETS, name="table")
    log = fit(model, Backprop("sse"), data, optimizer="sgd", lr=8.0, epochs=1500, batch_size=4, shuffle=False)
    losses = [2 * step["loss"] for step in log.steps]  # the original program prints the mean of (t - y)^2
    return {
        "iterations": len(losses),
        "first loss": losses[0],
        "last loss": losses[-1],
        "falls at every iteration": all(later < earlier for earlier, later in itertools.pairwise(losses)),
        "outputs": model(TABLE)[:, 0].tolist(),
        "losses": short(losses),
    }


def xor(settings: Settings) -> dict[str, Any]:
    """Train 2-5-1 for 10,000 passes over the four patterns, one update per pattern."""
    rounds = 500  # passes per epoch: the loop keeps records once per epoch
    data = Dataset(PATTERNS.repeat(rounds, 1), TARGETS.repeat(rounds, 1), name="xor")
    found: dict[str, Any] = {}
    for name, recipe in STEPPERS.items():
        model = TwoLayerNet(2, 5, generator=make_generator(settings.seed, "xor"))
        passes = 2500 if settings.quick and name == "momentum" else PASSES
        log = fit(
            model,
            Backprop("sse"),
            data,
            optimizer=recipe,
            epochs=passes // rounds,
            batch_size=1,
            shuffle=False,
            progress=settings.progress,
            title=name,
        )
        losses = smooth([step["loss"] for step in log.steps], 0.99)
        found[name] = {
            "settings": recipe.describe(),
            "passes": len(losses) // 4,
            "outputs": model(PATTERNS)[:, 0].tolist(),
            "losses": short(losses),
        }
    return found


def measure(settings: Settings) -> dict[str, Any]:
    """Run both; quick stops the second one with momentum, which converges sooner, after 2,500 passes."""
    return {"four rows": four_rows(settings), "xor": xor(settings)}


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the losses of both exercises."""
    figure, axes = panels(1, 2)
    table = figures["four rows"]
    places = [1 + at * table["iterations"] / len(table["losses"]) for at in range(len(table["losses"]))]
    lines(
        axes[0],
        {"3-4-1": table["losses"]},
        x=places,
        title="Four rows",
        across="iteration",
        up="mean (t - y)^2",
        log=True,
    )
    for name, facts in figures["xor"].items():
        places = [at * facts["passes"] / len(facts["losses"]) for at in range(len(facts["losses"]))]
        lines(
            axes[1], {name: facts["losses"]}, x=places, title="XOR, 2-5-1", across="pass", up="1/2 (t - y)^2", log=True
        )
    return save(figure, folder, "losses")


STUDY = Study(
    name="first-lessons",
    title="The first lessons of back-propagation",
    about="Four rows of a table are learned in 1,500 iterations, XOR in 10,000 passes, with and without momentum.",
    source="The short programs with which many learned back-propagation; Rumelhart, Hinton and Williams (1986)",
    measure=measure,
    draw=draw,
)
