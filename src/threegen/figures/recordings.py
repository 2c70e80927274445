"""What the figures on N-MNIST share: the real recordings as frames, folds, and training digits that are simulated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.events.frames import to_frames
from threegen.datasets.lazy import CountedFrames
from threegen.datasets.load import load_data
from threegen.datasets.real_recordings import RECORDINGS, Pairs, real_pairs
from threegen.datasets.simulated import simulate_data
from threegen.errors import DataError
from threegen.gen3.networks import SpikingMLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

FOLDS = 5
STEPS, MILLISECONDS = 10, 300.0  # of the spiking net: binary frames of 30 ms
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
    """Return simulated recordings of MNIST's training digits behind the first 1,000, as `real_frames` has them."""
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


def spiking_net(seed: int) -> SpikingMLP:
    """Return the net 34x34x2-800-10 of Wu et al. (2018)."""
    return SpikingMLP([2 * 34 * 34, 800, 10], steps=STEPS, generator=make_generator(seed, "weights", "n-mnist"))


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
        batch_size=batch,
        seed=seed,
        progress=progress,
        title=f"{data.name}, seed {seed}",
    )


def per_cent(net: nn.Module, data: Dataset) -> float:
    """Return the accuracy on `data` in per cent."""
    return 100 * evaluate(net, data).accuracy


def logistic_regression(train: Dataset, test: Dataset, seed: int) -> float:
    """Return the accuracy in per cent of multinomial logistic regression on frames, by full-batch L-BFGS."""
    generator = make_generator(seed, "weights", "regression")
    x, y = train.inputs.flatten(1), train.targets
    net = nn.Linear(x.shape[1], len(CLASSES))
    with torch.no_grad():
        net.weight.normal_(0.0, 1e-3, generator=generator)
        net.bias.zero_()
    if y is None:
        raise DataError("the recordings have no labels")
    targets = y
    search = torch.optim.LBFGS(net.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = nn.functional.cross_entropy(net(x), targets) + 0.5 / len(x) * net.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        right = net(test.inputs.flatten(1)).argmax(1) == test.targets
    return 100 * float(right.float().mean())
