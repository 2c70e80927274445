"""300 images and a net of six hidden layers: plain, with weight decay, with dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from threegen.datasets.load import load_data
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import Watch
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

SIZES = [784, *[100] * 6, 10]
EPOCHS = 201
KINDS = {"plain": (0.0, 0.0), "weight decay 0.1": (0.1, 0.0), "dropout 0.2": (0.0, 0.2)}  # decay, dropout


def measure(settings: Settings) -> dict[str, Any]:
    """Train the three nets for 201 epochs of three batches; record training and test accuracy."""
    data = load_data("mnist")
    few = data.train.take(300)
    test = data.test.take(2000) if settings.quick else data.test
    found: dict[str, Any] = {}
    for name, (decay, dropout) in KINDS.items():
        model = MLP(SIZES, init="he", dropout=dropout, generator=make_generator(settings.seed, "weights"))
        watch = Watch({"training": few, "test": test}, every=10 if settings.quick else 2, epochs=EPOCHS)
        fit(
            model,
            Backprop(),
            few,
            optimizer=optimizer("sgd", lr=0.01, weight_decay=decay),
            epochs=EPOCHS,
            batch_size=100,
            seed=settings.seed,
            callbacks=[watch],
            progress=settings.progress,
            title=name,
        )
        training, tested = watch.curves["training"][-1], watch.curves["test"][-1]
        found[name] = {
            "training accuracy": training,
            "test accuracy": tested,
            "gap": training - tested,
            "epochs": watch.epochs,
            **{f"{part} curve": curve for part, curve in watch.curves.items()},
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the two accuracies of each net."""
    figure, axes = panels(1, len(figures), width=3.7, height=3.2)
    for axis, (name, facts) in zip(axes, figures.items(), strict=True):
        curves = {part: facts[f"{part} curve"] for part in ("training", "test")}
        title = f"{name}: gap {100 * facts['gap']:.1f} points"
        lines(axis, curves, x=facts["epochs"], title=title, across="epoch", up="accuracy")
        axis.set_ylim(0, 1.03)
    return save(figure, folder, "accuracies")


STUDY = Study(
    name="overfitting",
    title="Overfitting and two remedies",
    about="Seven layers memorise 300 images; weight decay and dropout each narrow the gap to new images.",
    source="After Saito, Deep Learning from Scratch (2016), section 6.4",
    measure=measure,
    draw=draw,
)
