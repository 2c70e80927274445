"""Tools of several studies: measure accuracy during training, and shorten curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.training.evaluate import evaluate
from threegen.training.fit import Callback, Training


class Watch(Callback):
    """Measures the accuracy on each of `data` every `every` epochs, and after the first and the last (`epochs`)."""

    def __init__(self, data: Mapping[str, Dataset], every: int = 1, epochs: int = 0) -> None:
        self.data, self.every, self.last = data, every, epochs - 1
        self.epochs: list[int] = []
        self.curves: dict[str, list[float]] = {name: [] for name in data}

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Evaluate if this epoch is one of those requested."""
        epoch = record["epoch"]
        if epoch % self.every and epoch != self.last:
            return
        self.epochs.append(epoch + 1)
        for name, part in self.data.items():
            self.curves[name].append(accuracy(run.model, part))


def accuracy(model: nn.Module, data: Dataset) -> float:
    """Return the share of `data` that `model` gets right, 0..1."""
    return evaluate(model, data, top_k=(1,)).accuracy


def smooth(values: Sequence[float], weight: float = 0.95) -> list[float]:
    """Return the running mean of `values`: each new one counts 1 - `weight`; started without bias."""
    found, mean, total = [], 0.0, 0.0
    for value in values:
        mean = weight * mean + (1 - weight) * value
        total = weight * total + (1 - weight)
        found.append(mean / total)
    return found


def short(values: Sequence[float], most: int = 200, digits: int = 5) -> list[float]:
    """Return at most about `most` of `values`, evenly spaced, rounded to significant digits."""
    step = max(1, -(-len(values) // most))
    return [float(f"{value:.{digits}g}") for value in values[::step]]


def first_reaching(curve: Sequence[float], goal: float, places: Sequence[int]) -> int | None:
    """Return the place of the first value of at least `goal`, or None."""
    return next((place for place, value in zip(places, curve, strict=True) if value >= goal), None)


def balanced(data: Dataset, count: int, generator: torch.Generator) -> Dataset:
    """Return `count` random examples of `data` with balanced over the classes up to one example."""
    if data.targets is None or count >= len(data):
        return data
    order = torch.randperm(len(data), generator=generator)
    labels = data.targets[order]
    kinds = torch.unique(labels).tolist()
    picked = []
    for number, kind in enumerate(kinds):
        share = count // len(kinds) + (number < count % len(kinds))
        picked.append(order[labels == kind][:share])
    return data.subset(torch.cat(picked))
