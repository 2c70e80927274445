"""A net trained on one task learns the next: digits 0-4 to 5-9, digits to clothes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.errors import DataError
from threegen.gen2.initial_values import linear
from threegen.gen2.lenet import LeNet5Modern
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy, balanced
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

LABELS = (100, 1000, None)  # None: all
WAYS = ("from scratch", "tuned", "last layer only")


def digits(data: Dataset, first: int, last: int) -> Dataset:
    """Return the images of the digits `first`..`last`, their labels counted from 0."""
    if data.targets is None:
        raise DataError(f"{data.name} has no labels")
    part = data.subset(((data.targets >= first) & (data.targets <= last)).nonzero().ravel())
    labels = None if part.targets is None else part.targets - first
    return Dataset(part.inputs, labels, data.classes[first : last + 1], f"{data.name}-{first}-{last}")


def learn(model: nn.Module, data: Dataset, updates: int, rate: float, settings: Settings, title: str) -> None:
    """Train for about `updates` updates in batches of at most 100."""
    size = min(100, max(20, len(data) // 10))
    epochs = max(1, round(updates * size / len(data)))
    fit(
        model,
        Backprop(),
        data,
        optimizer=optimizer("adam", lr=rate),
        schedule="linear",
        epochs=epochs,
        batch_size=size,
        seed=settings.seed,
        progress=settings.progress,
        title=title,
    )


def tune(teacher: LeNet5Modern, way: str, classes: int, settings: Settings) -> nn.Module:
    """Return the net that is to learn the new task: new, or the teacher's layers under a new last one."""
    generator = make_generator(settings.seed, "new task", way)
    if way == "from scratch":
        return LeNet5Modern(classes, generator=generator)
    model = copy.deepcopy(teacher)
    if way == "last layer only":
        model.requires_grad_(False)
    model.layers.linear3 = linear(84, classes, "glorot-uniform", generator)
    return model


def compare(teacher: LeNet5Modern, train: Dataset, test: Dataset, settings: Settings) -> dict[str, Any]:
    """Learn the new task in each way from each number of labels; return test accuracies."""
    found: dict[str, Any] = {}
    classes = len(train.classes)
    for count in LABELS:
        part = train if count is None else balanced(train, count, make_generator(settings.seed, "labels", count))
        updates = {100: 150, 1000: 250}.get(count or 0, len(train) // 100) * (1 if settings.quick else 4)
        row: dict[str, float] = {}
        for way in WAYS:
            model = tune(teacher, way, classes, settings)
            learn(model, part, updates, 2e-3, settings, f"{way}, {len(part)} labels")
            row[way] = accuracy(model, test)
        found["all labels" if count is None else f"{count} labels"] = {"labels": len(part), **row}
    return found


def measure(settings: Settings) -> dict[str, Any]:
    """Train on digits 0-4, then on 5-9; train on all digits, then on Fashion-MNIST if it is installed."""
    data = load_data("mnist")
    passes = 1 if settings.quick else 4
    known = digits(data.train, 0, 4)
    teacher = LeNet5Modern(5, generator=make_generator(settings.seed, "teacher"))
    learn(teacher, known, passes * len(known) // 100, 3e-3, settings, "digits 0-4")
    found: dict[str, Any] = {
        "teacher's accuracy on 0-4": accuracy(teacher, digits(data.test, 0, 4)),
        "digits 0-4 to 5-9": compare(teacher, digits(data.train, 5, 9), digits(data.test, 5, 9), settings),
    }
    try:
        clothes = load_data("fashion-mnist")
    except DataError as problem:
        found["digits to clothes"] = {"skipped": str(problem)}
        return found
    wise = LeNet5Modern(10, generator=make_generator(settings.seed, "wise teacher"))
    learn(wise, data.train, passes * len(data.train) // 100, 3e-3, settings, "all digits")
    found["digits to clothes"] = compare(wise, clothes.train, clothes.test, settings)
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw test error over the number of labels."""
    tasks = {name: facts for name, facts in figures.items() if isinstance(facts, dict) and "skipped" not in facts}
    figure, axes = panels(1, len(tasks))
    for axis, (name, rows) in zip(axes, tasks.items(), strict=True):
        labels = [row["labels"] for row in rows.values()]
        errors = {way: [100 * (1 - row[way]) for row in rows.values()] for way in WAYS}
        lines(
            axis,
            errors,
            x=labels,
            title=name,
            across="labels of the new task",
            up="test error, %",
            log=True,
            marker="o",
        )
        axis.set_xscale("log")
    return save(figure, folder, "fine-tuning")


STUDY = Study(
    name="fine-tuning",
    title="Fine-tuning: earlier training helps",
    about="With few labels a net trained on other digits is several points ahead of one that starts from scratch; the "
    "more labels, the smaller the lead. A new last layer alone is not enough.",
    source="Yosinski, Clune, Bengio and Lipson, NeurIPS 2014; digits 0-4 to 5-9 is the example of the Keras team",
    measure=measure,
    draw=draw,
)
