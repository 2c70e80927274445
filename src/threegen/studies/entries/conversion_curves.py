"""How many time steps a converted net needs: three kinds of network, analog and spike-coded images, two read-outs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from threegen.conversion.convert import ConversionWarning, convert
from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.figures.converted import FOLDER, network
from threegen.figures.pooled_and_residual import max_pooled, residual
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy

Maker = Callable[..., tuple[nn.Module, float]]
NETS: dict[str, Maker] = {"average pooling": network, "maximum pooling": max_pooled, "residual": residual}
WAYS = (
    *(("analog", "potential"), ("analog", "rate"), ("bernoulli", "potential"), ("bernoulli", "rate")),
    *(("poisson", "potential"), ("poisson", "rate")),
)
STEPS, QUICK_STEPS = (1, 2, 4, 8, 16, 32), (1, 4)
QUICK_IMAGES = 200


def measure(settings: Settings) -> dict[str, Any]:
    """Train the networks, convert them for each number of steps; return the accuracies on the test images.

    The network with average pooling is converted in every way, the others with analog images and the potential. The
    method is the default one: nothing is chosen here.
    """
    data = load_data("mnist")
    train, test = (data.train.take(1_200), data.test.take(300)) if settings.quick else (data.train, data.test)
    given_images = train.take(QUICK_IMAGES) if settings.quick else train  # to calibrate with
    found: dict[str, Any] = {"T": list(QUICK_STEPS if settings.quick else STEPS)}
    with TemporaryDirectory() as rough:
        folder = Path(rough) if settings.quick else FOLDER
        for name, make in NETS.items():
            if settings.quick and name == "residual":
                continue
            net, _ = make(settings.seed, train, folder=folder, progress=settings.progress)
            ways = WAYS if name == "average pooling" else WAYS[:1]
            found[name] = {"network": accuracy(net, test)} | {
                f"{given}, {readout}": [
                    _after(net, given_images, test, steps=steps, input=given, readout=readout) for steps in found["T"]
                ]
                for given, readout in ways
            }
    return found


def _after(net: nn.Module, train: Dataset, test: Dataset, **options: Any) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConversionWarning)  # what is lost at few steps is the result
        return accuracy(convert(net, train, **options), test)


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the accuracies against T: the ways of one network, and the three networks."""
    figure, (left, right) = panels(1, 2)
    nets = {name: facts for name, facts in figures.items() if name != "T"}
    ways = {name: _per_cent(values) for name, values in nets["average pooling"].items() if name != "network"}
    lines(left, ways, x=figures["T"], title="average pooling", across="time steps", up="test accuracy, %", marker="o")
    kinds = {name: _per_cent(facts["analog, potential"]) for name, facts in nets.items()}
    lines(right, kinds, x=figures["T"], title="analog, potential", across="time steps", up="", marker="o")
    return save(figure, folder, "conversion-curves")


def _per_cent(values: list[float]) -> list[float]:
    return [100 * one for one in values]


STUDY = Study(
    name="conversion-curves",
    title="How many time steps a converted net needs",
    about="A network with average pooling, one with maximum pooling and a residual one answer in spikes: analog images "
    "and the summed input of the last layer need few steps, drawn spikes and counted ones many.",
    source="Rueckauer et al., Frontiers in Neuroscience 11:682 (2017); Diehl et al., IJCNN 2015; Hu et al. (2018)",
    measure=measure,
    draw=draw,
)
