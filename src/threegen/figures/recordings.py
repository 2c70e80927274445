"""Shared by the figures on N-MNIST: the real recordings as frames, folds, and simulated training digits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.distorted_frames import DistortedFrames
from threegen.datasets.distortions import Distortions
from threegen.datasets.events.frames import to_frames
from threegen.datasets.lazy import CountedFrames
from threegen.datasets.load import load_data
from threegen.datasets.real_recordings import RECORDINGS, Pairs, real_pairs
from threegen.datasets.simulated import simulate_data
from threegen.errors import DataError, MissingExtraError
from threegen.gen3.networks import SpikingMLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

FOLDS = 5
STEPS, MILLISECONDS = 10, 300.0  # for the spiking net: binary frames of 30 ms
STROKES_MS = (0.0, 103.0, 206.0, 310.0)  # boundaries between the strokes, milliseconds
SIZES = (2 * 34 * 34, 800, 10)
REAL_EPOCHS = 40
DISTORTED = {"shift": 2.0, "scale": 0.1, "shear": 0.15, "elastic": 0.0}
PENALTIES = (0.03, 0.3)  # C of logistic regression
CLASSES = tuple("0123456789")


@cache
def real_recordings() -> Pairs:
    """Return the real recordings; see `real_pairs`."""
    return real_pairs()


def real_frames(steps: int | Sequence[float], *, scale: float = 1.0, most: float | None = None) -> Dataset:
    """Return the real recordings as frames: a number of binary frames, or counts between boundaries in ms."""
    binary = isinstance(steps, int)
    span = MILLISECONDS if binary else None
    pairs = real_recordings()
    made = [to_frames(one, steps, milliseconds=span, binary=binary) for one in pairs.recordings]
    frames = torch.stack(made).clamp(max=255).to(torch.uint8)
    return CountedFrames(frames, pairs.labels, CLASSES, "n-mnist-real", scale=scale, most=most)


def folds(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return (places to train on, places to test on) of the five folds of the real recordings, drawn from `seed`."""
    order = torch.randperm(RECORDINGS, generator=make_generator("folds", seed))
    parts = order.chunk(FOLDS)
    return [
        (torch.cat([part for n, part in enumerate(parts) if n != fold]).sort().values, parts[fold].sort().values)
        for fold in range(FOLDS)
    ]


def simulated_frames(
    steps: int | Sequence[float],
    seed: int,
    count: int | None = None,
    *,
    scale: float = 1.0,
    most: float | None = None,
) -> Dataset:
    """Return simulated recordings of MNIST's training digits after the first 1,000, in the format of `real_frames`."""
    digits = load_data("mnist").train
    last = len(digits) if count is None else RECORDINGS + count
    chosen = digits.subset(torch.arange(RECORDINGS, last))
    return simulate_data(
        chosen,
        steps,
        milliseconds=MILLISECONDS,
        seed=seed,
        first=RECORDINGS,
        binary=isinstance(steps, int),
        scale=scale,
        most=most,
    )


def real_counts(count: int | None = None) -> CountedFrames:
    """Return the real recordings, or the first `count` of them, as counts in ten frames of 30 ms."""
    pairs = real_recordings()
    made = [to_frames(one, STEPS, milliseconds=MILLISECONDS) for one in pairs.recordings[:count]]
    frames = torch.stack(made).clamp(max=255).to(torch.uint8)
    return CountedFrames(frames, pairs.labels[:count], CLASSES, "n-mnist-real")


@cache
def simulated_counts(count: int | None) -> CountedFrames:
    """Return `count` simulated recordings as counts in ten frames of 30 ms: the digits after the first 1,000."""
    digits = load_data("mnist").train
    last = len(digits) if count is None else RECORDINGS + count
    chosen = digits.subset(torch.arange(RECORDINGS, last))
    return simulate_data(chosen, STEPS, milliseconds=MILLISECONDS, first=RECORDINGS)


def spiking_net(seed: int) -> SpikingMLP:
    """Return the net 34x34x2-800-10 of Wu et al. (2018)."""
    return SpikingMLP(SIZES, steps=STEPS, generator=make_generator(seed, "weights", "n-mnist"))


def teach(
    net: nn.Module, data: Dataset, seed: int, *, loss: str, epochs: int, rate: float, batch: int, progress: bool = False
) -> None:
    """Train by Adam with a cosine schedule."""
    fit(
        net,
        Backprop(loss),
        data,
        optimizer=optimizer("adam", lr=rate),
        schedule="cosine",
        epochs=epochs,
        batch_size=min(batch, len(data)),
        seed=seed,
        progress=progress,
        title=f"{data.name}, seed {seed}",
    )


def per_cent(net: nn.Module, data: Dataset) -> float:
    """Return the accuracy on `data` in per cent."""
    return 100 * evaluate(net, data).accuracy


def learned_from_real(train: Dataset, seed: int, progress: bool = False) -> SpikingMLP:
    """Return the net of Wu et al. (2018) trained on a few hundred real recordings, distorted differently in each pass.

    The last layer's summed input is read out, under cross-entropy.
    """
    net = SpikingMLP(SIZES, steps=STEPS, readout="potential", generator=make_generator(seed, "weights", "n-mnist"))
    data = DistortedFrames(train, Distortions(**DISTORTED))
    teach(net, data, seed, loss="cross_entropy", epochs=REAL_EPOCHS, rate=1e-3, batch=50, progress=progress)
    return net


def logistic_regression(train: Dataset, test: Dataset, seed: int) -> float:
    """Return the accuracy in per cent of scikit-learn's logistic regression on frames.

    C is chosen from `PENALTIES` on a fifth of `train`, then all of `train` is fitted. Raises `MissingExtraError`
    without scikit-learn.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as problem:
        raise MissingExtraError.of("logistic regression", "scikit-learn", "sklearn") from problem
    order = torch.randperm(len(train), generator=make_generator(seed, "penalty"))
    inner = [train.subset(order[len(order) // 5 :]), train.subset(order[: len(order) // 5])]

    def score(part: Dataset, judged: Dataset, penalty: float) -> float:
        found = LogisticRegression(C=penalty, max_iter=100)
        found.fit(part.inputs.flatten(1).numpy(), labels(part))
        return 100 * float(found.score(judged.inputs.flatten(1).numpy(), labels(judged)))

    best = max(PENALTIES, key=lambda penalty: score(inner[0], inner[1], penalty))
    return score(train, test, best)


def labels(data: Dataset) -> Any:
    """Return the labels as a NumPy array; raises `DataError` if there are none."""
    if data.targets is None:
        raise DataError(f"{data.name} has no labels")
    return data.targets.numpy()
