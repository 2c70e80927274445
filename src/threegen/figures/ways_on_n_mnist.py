"""Artificial and spiking networks on N-MNIST: trained on simulated recordings, tested on the real ones.

The structure 34x34x2-800-10 is that of Wu et al., Frontiers in Neuroscience 12:331 (2018); beside it a small
convolutional network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from threegen.datasets.distorted_frames import DistortedFrames
from threegen.datasets.distortions import Distortions
from threegen.datasets.lazy import CountedFrames
from threegen.figures.recordings import real_counts, simulated_counts, spiking_net, teach
from threegen.figures.ways import RATE, Plan, Way, accumulated, binary_frames, with_fewer_frames
from threegen.gen2.mlp import MLP
from threegen.randomness import forked_randomness, make_generator

HIDDEN = 800
STROKES = ((0, 3), (3, 7), (7, 10))  # frames of 30 ms that belong to each of N-MNIST's three strokes


def n_mnist_ways(seed: int, plan: Plan, progress: bool = False) -> list[Way]:
    """Return the workflows on N-MNIST; raises `DataError` where the real recordings are absent."""
    real = real_counts(plan.tested)
    trained = simulated_counts(plan.examples)
    return [make(trained, real, seed, plan, progress) for make in EVENT_WAYS]


def _dense_on_frames(
    trained: CountedFrames, real: CountedFrames, seed: int, plan: Plan, progress: bool, *, binary: bool
) -> Way:
    name = "ANN, frames of 0 and 1" if binary else "ANN, frames of intensities"
    ann = MLP([len(STROKES) * 2312, HIDDEN, 10], generator=make_generator(seed, "weights", name))
    train = accumulated(trained, STROKES, binary=binary)
    teach(ann, train, seed, loss="cross_entropy", epochs=plan.dense, rate=RATE, batch=128, progress=progress)
    return Way(name, ann, accumulated(real, STROKES, binary=binary), structure="3 x 34x34x2-800-10")


def _convolutional_on_frames(trained: CountedFrames, real: CountedFrames, seed: int, plan: Plan, progress: bool) -> Way:
    net, frames = conv_net(seed), accumulated(trained, STROKES, binary=False)
    moved = DistortedFrames(frames, Distortions(shift=1.0, scale=0.1, shear=0.1, elastic=0.0))
    teach(net, moved, seed, loss="cross_entropy", epochs=plan.convolutional, rate=2e-3, batch=128, progress=progress)
    test = accumulated(real, STROKES, binary=False)
    return Way("convolutional ANN, frames of intensities", net, test, structure="16C5-P2-32C5-P2-128-10")


def _spiking_on_events(trained: CountedFrames, real: CountedFrames, seed: int, plan: Plan, progress: bool) -> Way:
    snn, test = spiking_net(seed), binary_frames(real)
    teach(snn, binary_frames(trained), seed, loss="mse", epochs=plan.spiking, rate=RATE, batch=128, progress=progress)
    return Way("SNN on events", snn, test, with_fewer_frames(snn, test, seed), "34x34x2-800-10")


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
