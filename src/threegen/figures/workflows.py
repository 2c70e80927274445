"""Five workflows on the same data: artificial and spiking networks of equal structures, with their costs.

    images    (a) an ANN trained and run     (b) the same ANN converted, run on spike-coded images
              (c) an SNN trained directly: drawn spikes (Bernoulli), or a trained encoding layer
    events (a) events accumulated to frames, 0 and 1 or intensities, for an ANN (b) an SNN trained on the events

The ways and the measures (accuracy, memory, compute) are those of Deng et al., "Rethinking the performance comparison
between SNNs and ANNs", Neural Networks 121:294 (2020). Their structures and figures are not publicly known in full: the
structures here are those of Wu et al., Frontiers in Neuroscience 12:331 (2018), 784-800-10 and 34x34x2-800-10, and a
small convolutional one on events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from threegen.conversion.convert import convert
from threegen.cost.compare import Compared, Comparison
from threegen.cost.count import count
from threegen.cost.energy_tables import ENERGY_TABLES, ESTIMATE_RULE, TRAFFIC_RULE, estimate
from threegen.cost.mcnemar import compare_pairs
from threegen.datasets.dataset import Dataset
from threegen.datasets.distorted_frames import DistortedFrames
from threegen.datasets.distortions import Distortions
from threegen.datasets.lazy import CountedFrames
from threegen.datasets.load import load_data
from threegen.errors import DataError
from threegen.figures.recordings import real_counts, simulated_counts, spiking_net, teach
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.randomness import forked_randomness, make_generator
from threegen.training.evaluate import evaluate

HIDDEN, STEPS = 800, 10
STROKES = ((0, 3), (3, 7), (7, 10))  # frames of 30 ms that belong to each of N-MNIST's three strokes
TIMES = (1, 2, 4, 6, 8, 10)  # T of the curve
COUNTED = 200  # examples over which costs are averaged
CURVE = 2_000  # test images of the curve
RATE = 1e-3
ANN_RATE = 3e-3  # on images: 97.3 per cent on 10,000 training images held out, 96.5 with 1e-3


@dataclass(frozen=True)
class Plan:
    """The amount of training: examples, and epochs of each kind of network."""

    examples: int | None = None
    dense: int = 5
    spiking: int = 5
    convolutional: int = 8
    tested: int | None = None


FULL = {"mnist": Plan(examples=20_000), "n-mnist": Plan(examples=10_000, dense=3)}
QUICK = {
    "mnist": Plan(examples=2_000, dense=2, spiking=2, tested=300),
    "n-mnist": Plan(examples=300, dense=2, spiking=2, convolutional=2, tested=200),
}


@dataclass(frozen=True)
class Way:
    """One workflow: a trained network and its test examples, in its own input format."""

    name: str
    model: nn.Module
    test: Dataset
    curve: dict[int, float] = field(default_factory=dict)  # T -> accuracy, of spiking nets


def image_ways(seed: int, plan: Plan, progress: bool = False) -> list[Way]:
    """Return the workflows on MNIST, 784-800-10."""
    data = load_data("mnist")
    train = data.train if plan.examples is None else data.train.take(plan.examples)
    test = data.test if plan.tested is None else data.test.take(plan.tested)
    sizes = [784, HIDDEN, 10]
    ann = MLP(sizes, generator=make_generator(seed, "weights", "ann"))
    teach(ann, train, seed, loss="cross_entropy", epochs=plan.dense, rate=ANN_RATE, batch=128, progress=progress)
    ways = [Way("ANN", ann, test)]
    for name, given in (("ANN converted, Bernoulli input", "bernoulli"), ("ANN converted, analog input", "analog")):
        converted = convert(ann, train, steps=STEPS, input=given, seed=seed)
        ways.append(Way(name, converted, test, _against_steps(converted, test, seed)))
    for name, encoder in (("SNN, Bernoulli input", "bernoulli"), ("SNN, trained encoder", "direct")):
        snn = SpikingMLP(sizes, steps=STEPS, encoder=encoder, generator=make_generator(seed, "weights", encoder))
        teach(snn, train, seed, loss="mse", epochs=plan.spiking, rate=RATE, batch=128, progress=progress)
        ways.append(Way(name, snn, test, _against_steps(snn, test, seed)))
    return ways


def event_ways(seed: int, plan: Plan, progress: bool = False) -> list[Way]:
    """Return the workflows on N-MNIST: trained on simulated recordings, tested on the real ones."""
    trained, real = simulated_counts(plan.examples), real_counts(plan.tested)
    return [make(trained, real, seed, plan, progress) for make in EVENT_WAYS]


def _dense_on_frames(
    trained: CountedFrames, real: CountedFrames, seed: int, plan: Plan, progress: bool, *, binary: bool
) -> Way:
    name = "ANN, frames of 0 and 1" if binary else "ANN, frames of intensities"
    ann = MLP([len(STROKES) * 2312, HIDDEN, 10], generator=make_generator(seed, "weights", name))
    train = strokes(trained, binary)
    teach(ann, train, seed, loss="cross_entropy", epochs=plan.dense, rate=RATE, batch=128, progress=progress)
    return Way(name, ann, strokes(real, binary))


def _convolutional_on_frames(trained: CountedFrames, real: CountedFrames, seed: int, plan: Plan, progress: bool) -> Way:
    net = conv_net(seed)
    moved = DistortedFrames(strokes(trained, False), Distortions(shift=1.0, scale=0.1, shear=0.1, elastic=0.0))
    teach(net, moved, seed, loss="cross_entropy", epochs=plan.convolutional, rate=2e-3, batch=128, progress=progress)
    return Way("convolutional ANN, frames of intensities", net, strokes(real, False))


def _spiking_on_events(trained: CountedFrames, real: CountedFrames, seed: int, plan: Plan, progress: bool) -> Way:
    snn, test = spiking_net(seed), binary_frames(real)
    teach(snn, binary_frames(trained), seed, loss="mse", epochs=plan.spiking, rate=RATE, batch=128, progress=progress)
    frames = test.inputs
    curve = {
        steps: evaluate(snn, Dataset(frames[:, :steps], test.targets, test.classes, test.name), seed=seed).accuracy
        for steps in TIMES
    }
    return Way("SNN on events", snn, test, curve)


EVENT_WAYS: tuple[Callable[[CountedFrames, CountedFrames, int, Plan, bool], Way], ...] = (
    partial(_dense_on_frames, binary=False),
    partial(_dense_on_frames, binary=True),
    _convolutional_on_frames,
    _spiking_on_events,
)


def conv_net(seed: int) -> nn.Sequential:
    """Return a small convolutional network on frames [B, 3, 2, 34, 34]: 16C5-P2-32C5-P2-128-10, rectified units."""
    with forked_randomness(seed, "weights", "convolutional"):
        return nn.Sequential(
            nn.Flatten(1, 2),
            nn.Conv2d(2 * len(STROKES), 16, 5),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 5),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 5 * 5, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )


def strokes(data: CountedFrames, binary: bool) -> CountedFrames:
    """Return counts of 30 ms [N, 10, 2, 34, 34] as one frame per stroke: 0 and 1, or counts / 4 up to 1."""
    frames = data.frames[data.index]
    summed = torch.stack([frames[:, a:b].sum(1, dtype=torch.int32).clamp_(max=255) for a, b in STROKES], 1)
    kept = (summed.clamp_(max=1) if binary else summed).to(torch.uint8)
    scale, most = (1.0, None) if binary else (0.25, 1.0)
    return CountedFrames(kept, data.targets, data.classes, data.name, scale=scale, most=most)


def binary_frames(data: CountedFrames) -> CountedFrames:
    """Return counts as frames of 0 and 1."""
    return CountedFrames(data.frames[data.index].clamp(max=1), data.targets, data.classes, data.name)


def _against_steps(model: nn.Module, test: Dataset, seed: int) -> dict[int, float]:
    """Return the accuracy of a spiking net after fewer time steps than it was trained for, on `CURVE` of the images."""
    net: Any = model
    own, part = net.steps, test.take(CURVE)
    found = {}
    for steps in TIMES:
        net.steps = steps
        found[steps] = evaluate(net, part, seed=seed).accuracy
    net.steps = own
    return found


def compare_ways(ways: Sequence[Way], name: str, seed: int) -> Comparison:
    """Return accuracy, memory and compute of all workflows, tested on the same examples, each in its own format.

    Raises `DataError` if the examples have no labels.
    """
    found, right = [], {}
    for way in ways:
        evaluation = evaluate(way.model, way.test, seed=seed)
        bill = count(way.model, way.test.take(COUNTED).inputs, generator=make_generator(seed, "count"))
        right[way.name] = evaluation.predictions == labels(way.test)
        kind = type(way.model).__name__
        energy = tuple(estimate(bill, table, 4) for table in ENERGY_TABLES)
        found.append(Compared(way.name, kind, evaluation, bill, right[way.name], 4, energy))
    about = {"name": name, "count": len(ways[0].test)}
    rules = {"counting": found[0].bill.rule, "traffic": TRAFFIC_RULE, "energy": ESTIMATE_RULE}
    return Comparison(tuple(found), compare_pairs(right), ways[0].name, about, COUNTED, rules=rules)


def labels(data: Dataset) -> Tensor:
    """Return the labels; raises `DataError` if there are none."""
    if data.targets is None:
        raise DataError(f"{data.name} has no labels")
    return data.targets


def snn_accuracy(name: str, seed: int, progress: bool = False) -> float:
    """Return the accuracy in per cent of the directly trained SNN; of the two on images, the one with Bernoulli
    input."""
    found = compare_ways(WAYS[name](seed, FULL[name], progress), name, seed)
    return 100 * found[DIRECT[name]].evaluation.accuracy


DIRECT = {"mnist": "SNN, Bernoulli input", "n-mnist": "SNN on events"}
WAYS = {"mnist": image_ways, "n-mnist": event_ways}
TESTED_ON = {"mnist": "the test images of MNIST", "n-mnist": "the 1,000 real recordings of N-MNIST"}
