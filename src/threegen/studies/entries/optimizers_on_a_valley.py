"""The paths of five optimisers on a long valley, f(x, y) = x^2 / 20 + y^2, from (-7, 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from threegen.studies.drawing import COLOURS, dress, panels, save
from threegen.studies.study import Settings, Study
from threegen.training.optimizers.build import OptimizerRecipe, optimizer

START, STEPS = (-7.0, 2.0), 30
RECIPES: dict[str, OptimizerRecipe] = {
    "SGD": optimizer("sgd", lr=0.95),
    "Momentum": optimizer("momentum", lr=0.1),
    "AdaGrad": optimizer("textbook-adagrad", lr=1.5),
    "RMSprop": optimizer("textbook-rmsprop", lr=0.3, alpha=0.9),
    "Adam": optimizer("textbook-adam", lr=0.3),
}


def valley(place: torch.Tensor) -> torch.Tensor:
    """Return f at `place` [2]."""
    return place[0] ** 2 / 20 + place[1] ** 2


def walk(recipe: OptimizerRecipe) -> list[list[float]]:
    """Return the places `[STEPS + 1, 2]` that an optimiser visits."""
    place = nn.Parameter(torch.tensor(START, dtype=torch.float64))
    stepper = recipe.build([place])
    path = [place.tolist()]
    for _ in range(STEPS):
        stepper.zero_grad()
        valley(place).backward()  # type: ignore[no-untyped-call]
        stepper.step()
        path.append(place.tolist())
    return path


def measure(settings: Settings) -> dict[str, Any]:
    """Run each optimiser; count how often the path crosses the valley's floor y = 0."""
    found: dict[str, Any] = {}
    for name, recipe in RECIPES.items():
        path = walk(recipe)
        y = np.array(path)[:, 1]
        found[name] = {
            "settings": recipe.describe(),
            "last value": float(valley(torch.tensor(path[-1], dtype=torch.float64))),
            "crossings": int((np.sign(y[1:]) != np.sign(y[:-1])).sum()),
            "length": float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()),
            "path": [[round(x, 4), round(y, 4)] for x, y in path],
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw each path over the contours of f."""
    figure, axes = panels(2, 3, width=3.7, height=2.6)
    x, y = np.meshgrid(np.linspace(-10, 10, 120), np.linspace(-4, 4, 90))
    for axis, colour, facts in zip(axes, COLOURS, figures.values(), strict=False):
        axis.contour(x, y, x**2 / 20 + y**2, levels=[0.1, 0.5, 1, 2, 4, 7, 11], colors="#c9ccd1", linewidths=0.7)
        path = np.array(facts["path"])
        axis.plot(path[:, 0], path[:, 1], "o-", color=colour, markersize=3, linewidth=1)
        axis.plot(0, 0, "+", color="#222222")
        axis.set(xlim=(-10, 10), ylim=(-4, 4))
        dress(axis, title=facts["settings"], across="x", up="y")
    axes[-1].set_axis_off()
    return save(figure, folder, "paths")


STUDY = Study(
    name="optimizers-on-a-valley",
    title="Optimisers on a long valley",
    about="Plain descent zigzags across the steep side; momentum oscillates, adaptive rates follow the floor.",
    source="The picture of many textbooks; f and rates after Saito, Deep Learning from Scratch (2016), section 6.1",
    measure=measure,
    draw=draw,
)
