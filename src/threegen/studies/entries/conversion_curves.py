"""How many time steps a converted net needs: three kinds of network, analog and spike-coded images, two read-outs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.conversion.convert import ConversionWarning, ConvertedNet, convert
from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.figures.converted import FOLDER, network
from threegen.figures.pooled_and_residual import max_pooled, residual
from threegen.randomness import make_generator
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy

Maker = Callable[..., tuple[nn.Module, float]]
NETS: dict[str, Maker] = {"average pooling": network, "maximum pooling": max_pooled, "residual": residual}
INPUTS = ("analog", "bernoulli", "poisson")
STEPS, QUICK_STEPS = (1, 2, 4, 8, 16, 32), (1, 4)
QUICK_IMAGES = 200
BATCH = 100


def measure(settings: Settings) -> dict[str, Any]:
    """Train the networks, convert them for each number of steps; return the accuracies on the test images.

    The network with average pooling is converted with all options, the others with analog images and read-out by
    potential. The
    method is the default one: nothing is chosen here. "rate" gives ties to the higher potential, as the package does;
    of "counts alone" a tie of n classes, the right one among them, counts 1/n.
    """
    data = load_data("mnist")
    train, test = (data.train.take(1_200), data.test.take(300)) if settings.quick else (data.train, data.test)
    given_images = train.take(QUICK_IMAGES) if settings.quick else train  # for calibration
    found: dict[str, Any] = {"T": list(QUICK_STEPS if settings.quick else STEPS)}
    with TemporaryDirectory() as rough:
        folder = Path(rough) if settings.quick else FOLDER
        for name, make in NETS.items():
            if settings.quick and name == "residual":
                continue
            net, _ = make(settings.seed, train, folder=folder, progress=settings.progress)
            found[name] = {"network": accuracy(net, test)}
            for given in INPUTS if name == "average pooling" else INPUTS[:1]:
                found[name] |= _curves(net, given_images, test, found["T"], given, all_ways=name == "average pooling")
    return found


def _curves(
    net: nn.Module, train: Dataset, test: Dataset, numbers: list[int], given: str, *, all_ways: bool
) -> dict[str, list[float]]:
    """Return accuracies for each of `numbers` of steps by the potential and, in `all_ways`, by the spikes."""
    if not all_ways:
        return {f"{given}, potential": [accuracy(_spiking(net, train, given, steps), test) for steps in numbers]}
    rows = [_every_readout(_spiking(net, train, given, steps, readout="rate"), test) for steps in numbers]
    return {f"{given}, {name}": [row[name] for row in rows] for name in rows[0]}


def _spiking(net: nn.Module, train: Dataset, given: str, steps: int, **options: Any) -> ConvertedNet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConversionWarning)  # the loss at few steps is the result
        return convert(net, train, steps=steps, input=given, **options)


def _every_readout(net: ConvertedNet, test: Dataset) -> dict[str, float]:
    """Return the accuracies of a net that is read out by rate, of the potential, and of the spikes alone.

    All neurons of the last layer have one threshold and start from one potential, so their potential before the last
    spike, and the spikes before, are their summed input in these units.
    """
    generator, right = make_generator(0, "conversion-curves"), {"potential": 0.0, "rate": 0.0, "counts alone": 0.0}
    targets = cast(Tensor, test.targets)
    with torch.no_grad():
        for start in range(0, len(test), BATCH):
            images, labels = test.inputs[start : start + BATCH], targets[start : start + BATCH]
            record = net.run(images, generator=generator)
            counts = record.counts[-1]
            summed = record.potentials[-1][-1] + counts - record.spikes[-1][-1]
            most = counts == counts.amax(1, keepdim=True)
            right["potential"] += float((summed.argmax(1) == labels).sum())
            right["rate"] += float((record.scores.argmax(1) == labels).sum())
            right["counts alone"] += float((most[range(len(labels)), labels] / most.sum(1)).sum())
    return {name: value / len(test) for name, value in right.items()}


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the accuracies against T: the options for one network, and the three networks."""
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
    about="A network with average pooling, one with maximum pooling and a residual one, converted to spikes: analog "
    "images and read-out by the summed input need few steps, random spikes and read-out by counts need many.",
    source="Rueckauer et al., Frontiers in Neuroscience 11:682 (2017); Diehl et al., IJCNN 2015; Hu et al. (2018)",
    measure=measure,
    draw=draw,
)
