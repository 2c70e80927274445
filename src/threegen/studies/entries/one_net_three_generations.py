"""One net through the generations: a belief net, fine-tuned by back-propagation, converted to spikes, with the cost of
each stage."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from threegen.conversion.convert import ConversionWarning, convert
from threegen.cost.count import count
from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.errors import ConfigError
from threegen.gen2.dbn import DBN
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.registry.pretraining import pretraining
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import dress, lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

HIDDEN, CLASSES, STEPS, COUNTED = (500, 500), 10, (1, 2, 4, 8), 500


def measure(settings: Settings) -> dict[str, Any]:
    """Pre-train, fine-tune in three ways, convert; return accuracy, operations and memory at each stage.

    Settings were taken from the belief net's own figures; nothing is chosen here, the test split is only reported.
    """
    data = load_data("mnist")
    train = data.train.take(4_000) if settings.quick else data.train
    sizes = [train.inputs[0].numel(), *HIDDEN]
    dbn = DBN(sizes, classes=CLASSES, generator=make_generator(settings.seed, "belief net"))
    passes = 2 if settings.quick else 10
    fit(dbn, pretraining(dbn, epochs=passes), train, seed=settings.seed, progress=settings.progress)
    found: dict[str, Any] = {"pre-trained, no back-propagation": _station(dbn, data.test)}
    networks = {
        "sigmoid, pre-trained": dbn.to_mlp(),
        "rectified, pre-trained": dbn.to_mlp(activation="relu"),
        "rectified, random start": MLP([*sizes, CLASSES], init="he", generator=make_generator(settings.seed, "random")),
    }
    for name, net in networks.items():
        _finish(net, train, settings)
        found[name] = _station(net, data.test) | _spiking(net, train, data.test, settings)
    return found


def _finish(net: nn.Module, train: Dataset, settings: Settings) -> None:
    how = optimizer("adam", lr=5e-4)
    epochs = 2 if settings.quick else 10
    fit(net, Backprop(), train, optimizer=how, schedule="cosine", epochs=epochs, seed=settings.seed)


def _station(net: nn.Module, test: Dataset) -> dict[str, Any]:
    """Return accuracy, operations (also with zeros skipped, if that number differs) and memory of one answer."""
    bill = count(net, test.inputs[:COUNTED])
    own = bill.compute
    return {
        "accuracy": accuracy(net, test),
        "operations": own["total"],
        "operations without zeros": own["total_skipping_zeros"],
        "memory, bytes": bill.memory["total"],
    }


def _spiking(net: nn.Module, train: Dataset, test: Dataset, settings: Settings) -> dict[str, Any]:
    """Return the stages of the spiking copies, or the reason why there are none."""
    found: dict[str, Any] = {}
    for steps in STEPS[:2] if settings.quick else STEPS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConversionWarning)  # the loss at few steps is the result
                copy = convert(net, train, steps=steps, seed=settings.seed)
        except ConfigError as problem:
            return {"converted": f"refused: {problem}"}
        found[f"spiking, T = {steps}"] = _station(copy, test)
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw accuracy against T, and operations at each stage."""
    figure, (left, right) = panels(1, 2)
    curves: dict[str, list[float]] = {}
    places: list[int] = []
    work: dict[str, float] = {}
    for name, station in figures.items():
        work[name] = station["operations without zeros"] / 1e6
        spiking = {key: one for key, one in station.items() if key.startswith("spiking")}
        if spiking:
            places = [int(key.rpartition(" ")[2]) for key in spiking]
            curves[name] = [100 * one["accuracy"] for one in spiking.values()]
            last = list(spiking)[-1]
            work[f"{name}, {last}"] = spiking[last]["operations without zeros"] / 1e6
    lines(left, curves, x=places, title="the spiking copies", across="time steps", up="test accuracy, %", marker="o")
    names = list(work)[::-1]
    right.barh(names, [work[name] for name in names], color="#4a6fa5")
    dress(right, title="one answer", across="million operations, zeros skipped")
    return save(figure, folder, "one-net-three-generations")


STUDY = Study(
    name="one-net-three-generations",
    title="One net through three generations",
    about="Weights learned without labels, fine-tuned by back-propagation as rectified units, then converted to "
    "spikes: the sigmoid net cannot be converted, the rectified one keeps its accuracy, and the cost of each "
    "stage is counted.",
    source="Hinton, Osindero and Teh, Neural Computation 18 (2006); Nair and Hinton, ICML 2010; Diehl et al., IJCNN "
    "2015",
    measure=measure,
    draw=draw,
)
