"""How good a classifier is on a data set: accuracy with its interval, top-k, confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from threegen.checks import require_labels, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, NumericError, ShapeError
from threegen.randomness import forked_randomness


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found on `count` examples.

    `accuracy` is a fraction; `interval` is its 95 % Wilson interval; `top_k[k]` the share whose label is among the k
    highest scores; `confusion[truth, answer]` counts; `predictions [N]`; `confidences [N]` the softmax share of the
    answer (a probability only for nets trained on log-likelihood); `loss` the mean cross-entropy of the scores.
    """

    accuracy: float
    interval: tuple[float, float]
    correct: int
    count: int
    top_k: dict[int, float]
    confusion: Tensor
    predictions: Tensor
    confidences: Tensor
    loss: float

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.accuracy:.2%} ({self.correct:,} of {self.count:,}; 95 % interval {low:.2%} to {high:.2%})"


def wilson_interval(correct: int, count: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the Wilson score interval of a share (Wilson 1927); 95 % at the default z."""
    require_whole("count", count)
    require_whole("correct", correct, least=0)
    if correct > count:
        raise ConfigError(f"correct must be at most count, got {correct} of {count}")
    share = correct / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At the ends the bound is 0 or 1 exactly; rounding must not put it inside the share itself.
    return (0.0 if correct == 0 else middle - half, 1.0 if correct == count else middle + half)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch to eval mode without gradients inside the block; every sub-module's mode is put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def evaluate(
    model: nn.Module, data: Dataset, *, batch_size: int = 1000, seed: int = 0, top_k: Sequence[int] = (1, 3)
) -> Evaluation:
    """Return how `model` does on `data`; the model's mode and torch's generators are left as they were.

    `seed` drives random encoders, so the same call gives the same figure. Raises `DataError` without labels,
    `ShapeError` where the model does not return scores [B, classes], `NumericError` where a score is NaN or infinite.
    """
    require_whole("batch_size", batch_size)
    targets = require_labelled("data", data)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    collected: list[Tensor] = []
    with evaluation_mode(model), forked_randomness(seed, "evaluate"):
        for batch in data.batches(batch_size):
            scores = model(batch.inputs.to(device))
            if scores.dim() != 2 or len(scores) != len(batch):
                raise ShapeError(
                    f"{type(model).__name__} returned {list(scores.shape)}; a classifier returns [B, classes]"
                )
            if scores.shape[1] == 1:
                raise ShapeError(
                    f"{type(model).__name__} returned {list(scores.shape)}, one score; evaluate needs one for each "
                    "class; ask a single unit by its predict()"
                )
            collected.append(scores.float().cpu())
    return summarise(torch.cat(collected), targets.cpu(), top_k)


def require_labelled(name: str, data: object) -> Tensor:
    """Return the labels of a data set that can be evaluated on; raises `DataError` for anything else."""
    if not isinstance(data, Dataset):
        split = f"; pass {name}.test" if hasattr(data, "test") else "; use Dataset.from_arrays(x, y)"
        raise DataError(f"{name} must be a Dataset, got {type(data).__name__}{split}")
    if data.targets is None:
        raise DataError(f"{data.name} has no labels; evaluate needs them; use Dataset.from_arrays(x, y)")
    if len(data) == 0:
        raise DataError(f"the data set {data.name!r} is empty; there is nothing to evaluate on")
    return data.targets


@torch.no_grad()
def summarise(scores: Tensor, targets: Tensor, top_k: Sequence[int] = (1, 3)) -> Evaluation:
    """Turn scores `[N, K]` and labels `[N]` into an `Evaluation`; a tie goes to the lower class."""
    classes = scores.shape[1]
    for k in top_k:
        require_whole("top_k", k)
    bad = (torch.isnan(scores) | torch.isposinf(scores)).any(1).nonzero()
    if len(bad):
        raise NumericError(
            f"the scores of example {int(bad[0])} are not finite; the model has diverged or its input is not finite"
        )
    truth = require_labels(targets, classes).long().unsqueeze(1)
    predictions = scores.argmax(1)
    correct = int((predictions == targets).sum())
    confusion = torch.bincount(truth[:, 0] * classes + predictions, minlength=classes * classes)
    ranks = _ranks(scores, truth)
    return Evaluation(
        accuracy=correct / len(targets),
        interval=wilson_interval(correct, len(targets)),
        correct=correct,
        count=len(targets),
        top_k={k: float((ranks < k).double().mean()) for k in top_k},
        confusion=confusion.view(classes, classes),
        predictions=predictions,
        confidences=scores.softmax(1).gather(1, predictions[:, None]).squeeze(1),
        loss=float(torch.nn.functional.cross_entropy(scores, truth[:, 0])),
    )


def _ranks(scores: Tensor, truth: Tensor) -> Tensor:
    """Return how many classes stand before the true one `[N]`: those that score higher, or the same and come first."""
    own = scores.gather(1, truth)
    first = torch.arange(scores.shape[1]) < truth
    return ((scores > own) | ((scores == own) & first)).sum(1)
