"""The three claims of batch normalisation, each with and without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.errors import NumericError
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import Watch, first_reaching
from threegen.training.fit import fit

SIZES = [784, *[100] * 5, 10]
RATES = (0.01, 0.1, 0.5, 1.0)
SCALES = [float(scale) for scale in np.logspace(0, -4, 16)]
STARTS: dict[str, str | float] = {"he": "he", "deviation 0.2": 0.2}
KINDS = {"with": True, "without": False}


def learn(
    settings: Settings,
    data: Dataset,
    *,
    norm: bool,
    rate: float,
    init: str | float,
    epochs: int,
    watch: Watch,
    batch_size: int = 100,
) -> Watch:
    """Train one net by plain descent; after divergence a run counts as at chance level."""
    model = MLP(SIZES, init=init, batch_norm=norm, generator=make_generator(settings.seed, "weights"))
    try:
        fit(
            model,
            Backprop(),
            data,
            optimizer="sgd",
            lr=rate,
            epochs=epochs,
            batch_size=batch_size,
            seed=settings.seed,
            callbacks=[watch],
        )
    except NumericError:
        for curve in watch.curves.values():
            curve += [0.1] * (epochs - len(curve))
        watch.epochs += list(range(len(watch.epochs) + 1, epochs + 1))
    return watch


def rates(settings: Settings, data: Dataset) -> dict[str, Any]:
    """Claim 1: faster, and at larger rates. Epochs to 95 % training accuracy at each rate, with He's weights."""
    found: dict[str, Any] = {"rates": list(RATES)}
    for kind, norm in KINDS.items():
        runs = [
            learn(settings, data, norm=norm, rate=rate, init="he", epochs=20, watch=Watch({"training": data}))
            for rate in RATES
        ]
        found[kind] = {
            "epochs to 95 %": [first_reaching(run.curves["training"], 0.95, run.epochs) for run in runs],
            "last accuracy": [run.curves["training"][-1] for run in runs],
            "curves": [run.curves["training"] for run in runs],
        }
    return found


def scales(settings: Settings, data: Dataset) -> dict[str, Any]:
    """Claim 2: little dependence on the initial weights. Training accuracy after 20 epochs for 16 deviations."""
    found: dict[str, Any] = {"scales": SCALES}
    for kind, norm in KINDS.items():
        last = []
        for scale in SCALES:
            watch = Watch({"training": data}, every=20, epochs=20)
            run = learn(settings, data, norm=norm, rate=0.01, init=scale, epochs=20, watch=watch)
            last.append(run.curves["training"][-1])
        found[kind] = {
            "accuracy": last,
            "scales that reach 80 %": sum(value >= 0.8 for value in last),
        }
    return found


def gaps(settings: Settings, data: Dataset, test: Dataset) -> dict[str, Any]:
    """Claim 3: less overfitting. Memorising 1,000 images, from He's weights and from wider ones."""
    found: dict[str, Any] = {}
    for start, init in STARTS.items():
        found[start] = {}
        for kind, norm in KINDS.items():
            watch = Watch({"training": data, "test": test}, every=20, epochs=20)
            run = learn(settings, data, norm=norm, rate=0.1, init=init, epochs=20, watch=watch, batch_size=20)
            training, tested = run.curves["training"][-1], run.curves["test"][-1]
            found[start][kind] = {"training accuracy": training, "test accuracy": tested, "gap": training - tested}
    return found


def measure(settings: Settings) -> dict[str, Any]:
    """Measure the three claims on 1,000 images."""
    data = load_data("mnist")
    train = data.train.take(1000)
    return {
        "larger rates": rates(settings, train),
        "initial weights": scales(settings, train),
        "overfitting": gaps(settings, train, data.test),
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw learning at each rate, and accuracy over the initial scale."""
    facts = figures["larger rates"]
    figure, axes = panels(1, len(facts["rates"]), width=2.7, height=2.6)
    for number, (axis, rate) in enumerate(zip(axes, facts["rates"], strict=True)):
        curves = {kind: facts[kind]["curves"][number] for kind in KINDS}
        lines(axis, curves, title=f"rate {rate:g}", across="epoch", up="training accuracy" if number == 0 else "")
        axis.set_ylim(0, 1.03)
    files = save(figure, folder, "rates")
    facts = figures["initial weights"]
    figure, (axis,) = panels(width=6, height=3.6)
    curves = {kind: facts[kind]["accuracy"] for kind in KINDS}
    lines(
        axis, curves, x=facts["scales"], title="After 20 epochs", across="deviation of the initial weights", marker="o"
    )
    axis.set_ylabel("training accuracy", fontsize=9)
    axis.set_xscale("log")
    return files + save(figure, folder, "scales")


STUDY = Study(
    name="batch-normalisation",
    title="Batch normalisation and its three claims",
    about="With it nets learn faster, at larger rates and from far more initial weights. From wide weights they "
    "overfit less; from He's weights, on so few images, they do not.",
    source="Ioffe and Szegedy, ICML 2015; set up after Saito, Deep Learning from Scratch (2016), section 6.3",
    measure=measure,
    draw=draw,
)
