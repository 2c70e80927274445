"""Five optimisers on the digits: a net of five layers, 100 relu units in each hidden one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from threegen.datasets.load import load_data
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import short, smooth
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

SIZES = [784, 100, 100, 100, 100, 10]
RECIPES = {
    "SGD": optimizer("sgd", lr=0.01),
    "Momentum": optimizer("momentum", lr=0.01),
    "AdaGrad": optimizer("textbook-adagrad", lr=0.01),
    "RMSprop": optimizer("textbook-rmsprop", lr=0.001),
    "Adam": optimizer("textbook-adam", lr=0.001),
}


def measure(settings: Settings) -> dict[str, Any]:
    """Train the same net with each optimiser, from the same weights, on the same batches of 128."""
    train = load_data("mnist").train
    found: dict[str, Any] = {}
    for name, recipe in RECIPES.items():
        model = MLP(SIZES, init="he", generator=make_generator(settings.seed, "weights"))
        log = fit(
            model,
            Backprop(),
            train,
            optimizer=recipe,
            epochs=1 if settings.quick else 4,
            batch_size=128,
            seed=settings.seed,
            progress=settings.progress,
            title=name,
        )
        losses = [step["loss"] for step in log.steps]
        curve = smooth(losses)
        found[name] = {
            "settings": recipe.describe(),
            "iterations": len(losses),
            "loss after 100": curve[99],
            "last loss": curve[-1],
            "iterations to .5": next((at + 1 for at, loss in enumerate(curve) if loss < 0.5), None),
            "losses": short(curve),
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the training losses."""
    figure, (axis,) = panels(width=6.4, height=4)
    first = next(iter(figures.values()))
    step = max(1, first["iterations"] // len(first["losses"]))
    curves = {name: facts["losses"] for name, facts in figures.items()}
    places = [1 + step * at for at in range(len(first["losses"]))]
    lines(axis, curves, x=places, title="Training loss, 784-100-100-100-100-10", across="update", up="loss", log=True)
    return save(figure, folder, "losses")


STUDY = Study(
    name="optimizers-on-mnist",
    title="Optimisers on the digits",
    about="From the same weights, plain descent is the slowest of the five by far.",
    source="After Saito, Deep Learning from Scratch (2016), section 6.1.8; RMSprop added",
    measure=measure,
    draw=draw,
)
