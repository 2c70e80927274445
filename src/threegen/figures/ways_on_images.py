"""Artificial, converted and spiking networks on images: MNIST with full layers, CIFAR-10 with convolutions.

MNIST's structure 784-800-10 is that of Wu et al., Frontiers in Neuroscience 12:331 (2018). That of CIFAR-10 is
`64C3-AP2-128C3-128C3-AP2-256-10`, which a public repository names as the one of Deng et al., Neural Networks 121:294
(2020); their number of time steps, their training and their figures are not known to us.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from threegen.conversion.convert import convert
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.figures.recordings import teach
from threegen.figures.ways import RATE, STEPS, Plan, Way, with_fewer_steps
from threegen.gen2.conv_net import ConvNet
from threegen.gen2.mlp import MLP
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.randomness import make_generator

HIDDEN = 800
ANN_RATE = 3e-3  # on MNIST: 97.3 per cent on 10,000 training images held out, 96.5 with 1e-3
ENCODERS = (("SNN, Bernoulli input", "bernoulli"), ("SNN, trained encoder", "direct"))


def mnist_ways(seed: int, plan: Plan, progress: bool = False) -> list[Way]:
    """Return the workflows on MNIST, 784-800-10."""
    sizes = [784, HIDDEN, 10]
    structure = "-".join(str(size) for size in sizes)
    ann = MLP(sizes, generator=make_generator(seed, "weights", "ann"))

    def spiking(encoder: str) -> nn.Module:
        return SpikingMLP(sizes, steps=STEPS, encoder=encoder, generator=make_generator(seed, "weights", encoder))

    return _image_ways(load_data("mnist"), ann, spiking, structure, ANN_RATE, seed, plan, progress)


def cifar10_ways(seed: int, plan: Plan, progress: bool = False) -> list[Way]:
    """Return the workflows on CIFAR-10; raises `DataError` that says how to get it where it is absent."""
    data = load_data("cifar10")
    structure = cifar10_structure(plan.part)
    ann = artificial(structure, (3, 32, 32), seed)

    def spiking(encoder: str) -> nn.Module:
        drawn = make_generator(seed, "weights", encoder)
        return SpikingConvNet(structure, shape=(3, 32, 32), steps=STEPS, encoder=encoder, generator=drawn)

    return _image_ways(data, ann, spiking, structure, RATE, seed, plan, progress)


def cifar10_structure(part: int = 1) -> str:
    """Return the structure on CIFAR-10 with its planes and hidden units divided by `part`; convolutions keep the size,
    which the source leaves open."""
    return f"{64 // part}C3S-AP2-{128 // part}C3S-{128 // part}C3S-AP2-{256 // part}-10"


def artificial(structure: str, shape: tuple[int, int, int], seed: int) -> ConvNet:
    """Return the rectified network of a spiking structure, without normalisation: equal layers, equal parameters."""
    layers = structure.replace("S", "p1").replace("AP", "P")
    return ConvNet(layers, shape=shape, batch_norm=False, generator=make_generator(seed, "weights", "ann"))


def _image_ways(
    data: Data,
    ann: nn.Module,
    spiking: Callable[[str], nn.Module],
    structure: str,
    rate: float,
    seed: int,
    plan: Plan,
    progress: bool,
) -> list[Way]:
    """Train the networks on the training images; the ANN is also converted, for drawn spikes and for analog input."""
    train: Dataset = data.train if plan.examples is None else data.train.take(plan.examples)
    test = data.test if plan.tested is None else data.test.take(plan.tested)
    teach(ann, train, seed, loss="cross_entropy", epochs=plan.dense, rate=rate, batch=128, progress=progress)
    ways = [Way("ANN", ann, test, structure=structure)]
    for name, given in (("ANN converted, Bernoulli input", "bernoulli"), ("ANN converted, analog input", "analog")):
        converted = convert(ann, train, steps=STEPS, input=given, seed=seed)
        ways.append(Way(name, converted, test, with_fewer_steps(converted, test, seed), structure))
    for name, encoder in ENCODERS:
        snn = spiking(encoder)
        teach(snn, train, seed, loss="mse", epochs=plan.spiking, rate=RATE, batch=128, progress=progress)
        ways.append(Way(name, snn, test, with_fewer_steps(snn, test, seed), structure))
    return ways
