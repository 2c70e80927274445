"""AlexNet in full size memorises 64 enlarged digits, with the paper's initial values, dropout and depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.errors import DataError
from threegen.gen2.alexnet import AlexNet
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import short
from threegen.training.evaluate import evaluation_mode
from threegen.training.fit import Callback, Training, fit
from threegen.training.optimizers.build import optimizer

PICTURES, ENOUGH = 64, 0.01


@dataclass(frozen=True)
class Size:
    """A net and how it is trained."""

    width: float
    side: int
    rate: float
    batch: int
    most: int  # passes


FULL = Size(width=1.0, side=227, rate=2e-4, batch=4, most=40)
QUICK = Size(width=0.125, side=67, rate=1e-3, batch=8, most=80)


class Known(Callback):
    """After every second pass: the loss and the right answers in evaluation mode; ends when the loss is low enough."""

    def __init__(self, pictures: Tensor, labels: Tensor) -> None:
        self.pictures, self.labels = pictures, labels
        self.passes: list[int] = []
        self.training: list[float] = []
        self.losses: list[float] = []
        self.right: list[int] = []

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Evaluate all pictures at once."""
        if record["epoch"] % 2 == 0:
            return
        with evaluation_mode(run.model), torch.no_grad():
            scores = run.model(self.pictures)
        self.passes.append(record["epoch"] + 1)
        self.training.append(record["loss"])
        self.losses.append(float(F.cross_entropy(scores, self.labels)))
        self.right.append(int((scores.argmax(1) == self.labels).sum()))
        if self.losses[-1] < ENOUGH:
            run.stop(f"the loss is below {ENOUGH}")


def measure(settings: Settings) -> dict[str, Any]:
    """Train on 64 digits in three equal channels, 1,000 classes of which ten occur, until the loss is below .01."""
    size = QUICK if settings.quick else FULL
    digits = load_data("mnist").train.take(PICTURES)
    if digits.targets is None:
        raise DataError(f"{digits.name} has no labels to learn")
    data = Dataset(digits.inputs.expand(-1, 3, -1, -1).contiguous(), digits.targets, (), "64 digits")
    model = AlexNet(
        width=size.width,
        size=size.side,
        picture=28,
        mean=float(data.inputs.mean()),
        generator=make_generator(settings.seed, "alexnet"),
    )
    known = Known(data.inputs, digits.targets)
    fit(
        model,
        Backprop(),
        data,
        optimizer=optimizer("adam", lr=size.rate),
        epochs=size.most,
        batch_size=size.batch,
        seed=settings.seed,
        callbacks=[known],
        progress=settings.progress,
        title="AlexNet",
    )
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "side of the images": size.side,
        "passes": known.passes[-1],
        "loss": known.losses[-1],
        "right": known.right[-1],
        "passes curve": known.passes,
        "training loss curve": short(known.training),
        "loss curve": short(known.losses),
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the loss with and without dropout over the passes."""
    figure, (axis,) = panels(1, 1)
    curves = {"training, half dropped": figures["training loss curve"], "all units": figures["loss curve"]}
    title = f"{figures['parameters']:,} parameters, {PICTURES} pictures"
    lines(axis, curves, x=figures["passes curve"], title=title, across="pass", up="cross-entropy")
    axis.set_yscale("log")
    axis.axhline(ENOUGH, color="grey", linewidth=0.8)
    return save(figure, folder, "loss")


STUDY = Study(
    name="alexnet-by-heart",
    title="AlexNet learns 64 pictures",
    about="From the paper's initial values and half of fc6 and fc7 dropped, the whole net memorises 64 enlarged "
    "digits: first only the class frequencies, then, within a few passes, each picture.",
    source="The net: Krizhevsky, Sutskever and Hinton, NIPS 25 (2012)",
    measure=measure,
    draw=draw,
)
