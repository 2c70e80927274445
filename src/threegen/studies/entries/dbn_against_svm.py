"""A deep belief net, a support-vector machine and plain back-propagation, with few labels and with many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.errors import DataError, MissingExtraError
from threegen.gen2.dbn import DBN
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.registry.pretraining import pretraining
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy, balanced
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

SVM, RANDOM, BELIEF = "support-vector machine", "random start", "deep belief net"
WAYS = (SVM, RANDOM, BELIEF)
PENALTY = 10.0  # C; the kernel's width is scikit-learn's "scale"


def support_vectors(few: Dataset, test: Dataset) -> float:
    """Return the accuracy of scikit-learn's SVM with a Gaussian kernel. Raises `ConfigError` if it is missing."""
    try:
        from sklearn.svm import SVC
    except ImportError as problem:
        raise MissingExtraError.of("the support-vector machine", "scikit-learn", "sklearn") from problem
    if few.targets is None or test.targets is None:
        raise DataError("the study needs labels")
    machine = SVC(C=PENALTY, kernel="rbf", gamma="scale")
    machine.fit(few.inputs.flatten(1).numpy(), few.targets.numpy())
    return float(machine.score(test.inputs.flatten(1).numpy(), test.targets.numpy()))


def tune(net: nn.Module, few: Dataset, settings: Settings, title: str) -> None:
    """Train by back-propagation for some 1,000 updates (300 in the quick form) and at least 10 epochs."""
    size = min(100, len(few))
    updates = 300 if settings.quick else 1_000
    fit(
        net,
        Backprop(),
        few,
        optimizer=optimizer("adam", lr=2e-3),
        schedule="linear",
        epochs=max(3 if settings.quick else 10, updates * size // len(few)),
        batch_size=size,
        seed=settings.seed,
        progress=settings.progress,
        title=title,
    )


def pretrained(sizes: list[int], images: Dataset, settings: Settings) -> DBN:
    """Return a net without labels that has seen `images`, layer by layer."""
    dbn = DBN(sizes, generator=make_generator(settings.seed, "belief net"))
    epochs = [20, 15, 10] if settings.quick else [6, 5, 4]
    unlabelled = Dataset(images.inputs, None, (), images.name)
    fit(dbn, pretraining(dbn, epochs=epochs), unlabelled, seed=settings.seed, progress=settings.progress, title=BELIEF)
    return dbn


def measure(settings: Settings) -> dict[str, Any]:
    """Give all three the same 100, 1,000 and 10,000 labelled images; the belief net has seen all images without
    labels."""
    data = load_data("mnist")
    if settings.quick:
        images, test = data.train.take(3_000), data.test.take(1_000)
        sizes, counts = [784, 80, 80, 160], [100, 500]
    else:
        images, test = data.train, data.test
        sizes, counts = [784, 500, 500, 1000], [100, 1_000, 10_000]
    dbn = pretrained(sizes, images, settings)
    found: dict[str, Any] = {"images without labels": len(images), "images tested": len(test)}
    for count in counts:
        few = balanced(images, count, make_generator(settings.seed, "labels", count))
        plain = MLP([*sizes, 10], activation="sigmoid", generator=make_generator(settings.seed, "random start"))
        started = dbn.to_mlp(10, generator=make_generator(settings.seed, "last layer"))
        tune(plain, few, settings, f"{RANDOM}, {count} labels")
        tune(started, few, settings, f"{BELIEF}, {count} labels")
        found[f"{count} labels"] = {
            "labels": len(few),
            SVM: support_vectors(few, test),
            RANDOM: accuracy(plain, test),
            BELIEF: accuracy(started, test),
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw test error over the number of labels."""
    rows = [facts for facts in figures.values() if isinstance(facts, dict)]
    figure, (axis,) = panels()
    errors = {way: [100 * (1 - row[way]) for row in rows] for way in WAYS}
    places = [row["labels"] for row in rows]
    lines(axis, errors, x=places, across="labelled images", up="test error, %", log=True, marker="o")
    axis.set_xscale("log")
    return save(figure, folder, "errors")


STUDY = Study(
    name="dbn-against-svm",
    title="What a net learns without labels",
    about="Layers that have seen many images without labels need few labelled ones: the same net from a random start "
    "and a support-vector machine (Gaussian kernel) get the same labelled images.",
    source="Hinton, Osindero and Teh, Neural Computation 18 (2006), section 6, for the comparison with the SVM; few "
    "labels after Salakhutdinov and Hinton, AISTATS 2009",
    measure=measure,
    draw=draw,
)
