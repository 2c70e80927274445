"""The workflows of the study `ann-against-snn` by the data that they run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from threegen.figures.ways import Plan, Way, compare_ways
from threegen.figures.ways_on_cifar10_dvs import cifar10_dvs_ways, recorded
from threegen.figures.ways_on_images import cifar10_ways, mnist_ways
from threegen.figures.ways_on_n_mnist import n_mnist_ways


@dataclass(frozen=True)
class Workflows:
    """The workflows on one data set.

    `make(seed, plan, progress)` trains them; `full` and `quick` are amounts of training; `direct` names the SNN that is
    trained directly, of two the one with Bernoulli input; `tested_on()` says what the test examples are.
    """

    make: Callable[[int, Plan, bool], list[Way]]
    full: Plan
    quick: Plan
    direct: str
    tested_on: Callable[[], str]


WORKFLOWS = {
    "mnist": Workflows(
        mnist_ways,
        full=Plan(examples=20_000),
        quick=Plan(examples=2_000, dense=2, spiking=2, tested=300),
        direct="SNN, Bernoulli input",
        tested_on=lambda: "the test images of MNIST",
    ),
    "cifar10": Workflows(
        cifar10_ways,
        full=Plan(examples=20_000, dense=10),
        quick=Plan(examples=500, dense=2, spiking=2, tested=100, part=8),
        direct="SNN, Bernoulli input",
        tested_on=lambda: "the test images of CIFAR-10",
    ),
    "n-mnist": Workflows(
        n_mnist_ways,
        full=Plan(examples=10_000, dense=3),
        quick=Plan(examples=300, dense=2, spiking=2, convolutional=2, tested=200),
        direct="SNN on events",
        tested_on=lambda: "the 1,000 real recordings of N-MNIST",
    ),
    "cifar10-dvs": Workflows(
        cifar10_dvs_ways,
        full=Plan(dense=10, spiking=10),
        quick=Plan(examples=100, dense=2, spiking=2, tested=50, part=8),
        direct="SNN on events",
        tested_on=lambda: (
            "the last 100 original recordings of each class"
            if recorded()
            else "simulated recordings of the test images of CIFAR-10"
        ),
    ),
}


def snn_accuracy(name: str, seed: int, progress: bool = False) -> float:
    """Return the accuracy in per cent of the directly trained SNN; of the two on images, the one with Bernoulli
    input."""
    known = WORKFLOWS[name]
    found = compare_ways(known.make(seed, known.full, progress), name, seed)
    return 100 * found[known.direct].evaluation.accuracy
