"""Evaluate a classifier on a data set: accuracy with its interval, top-k, confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_labels, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, NumericError, ShapeError
from threegen.machine.memory import freed_memory_kept
from threegen.plots import html_table
from threegen.randomness import forked_randomness
from threegen.training.feed import as_source, walk_once


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of `evaluate` on `count` examples.

    `accuracy` is a fraction; `interval` is its 95 % Wilson interval; `top_k[k]` the share whose label is among the k
    highest scores; `confusion[truth, answer]` counts; `predictions [N]`; `confidences [N]` the softmax share of the
    answer (a probability only for nets trained on log-likelihood); `loss` the mean cross-entropy of the scores;
    `undecided` how many examples got equal scores for all classes, as from a net that is silent or has no labels yet.
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
    undecided: int = 0

    def __str__(self) -> str:
        low, high = self.interval
        text = f"{self.accuracy:.2%} ({self.correct:,} of {self.count:,}; 95 % interval {low:.2%} to {high:.2%})"
        if self.undecided:
            text += f"; {self.undecided / self.count:.2%} undecided (all scores equal, counted as the first class)"
        return text

    def __repr__(self) -> str:
        return f"Evaluation({self})"

    def _repr_html_(self) -> str:
        """Show the sentence and the confusion matrix in a notebook."""
        rows = [{"truth": truth, **dict(enumerate(counts))} for truth, counts in enumerate(self.confusion.tolist())]
        return html_table(rows, str(self))


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
    """Switch to eval mode without gradients inside the block; every sub-module's mode is restored afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def evaluate(
    model: nn.Module, data: Any, *, batch_size: int = 1000, seed: int = 0, top_k: Sequence[int] = (1, 3)
) -> Evaluation:
    """Return the evaluation of `model` on `data`; the model's mode and the global generators stay unchanged.

    Args:
        model: a module that returns scores [B, classes].
        data: a `Dataset`, a DataLoader, a torch Dataset, arrays `(x, y)` or an iterable of batches, with labels.
        batch_size: how many examples are answered at once; a DataLoader and an iterable have their own.
        seed: drives random encoders, so the same call gives the same figure.
        top_k: the values of k for top-k accuracy, the share of examples whose label is among the k highest scores.

    Raises `DataError` without labels, `ConfigError` for a model that does not classify, `ShapeError` if the model
    does not return scores [B, classes], `NumericError` if a score is NaN or infinite.
    """
    require_whole("batch_size", batch_size)
    require_classifier(model)
    source = require_labelled("data", data)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    collected: list[Tensor] = []
    labels: list[Tensor] = []
    with evaluation_mode(model), forked_randomness(seed, "evaluate"), freed_memory_kept():
        for batch in walk_once(source, batch_size):
            if batch.targets is None:
                raise DataError("the data have no labels; evaluate needs them; give batches (inputs, targets)")
            scores = model(batch.inputs.to(device))
            if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(batch):
                found = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
                raise ShapeError(f"{type(model).__name__} returned {found}; a classifier returns [B, classes]")
            if scores.shape[1] == 1:
                raise ShapeError(
                    f"{type(model).__name__} returned {list(scores.shape)}, one score; evaluate needs one for each "
                    "class; ask a single unit by its predict()"
                )
            collected.append(scores.float().cpu())
            labels.append(batch.targets.cpu())
    if not collected:
        raise DataError("the data are empty; there is nothing to evaluate on")
    return summarise(torch.cat(collected), torch.cat(labels), top_k)


def require_classifier(model: nn.Module) -> None:
    """Raise `ConfigError` for a model that declares (`classifies = False`) that its outputs are not scores of
    classes."""
    if not getattr(model, "classifies", True):
        raise ConfigError(
            f"{type(model).__name__} does not classify: its outputs are not scores of classes; train a classifier on "
            "them, such as tg.models.SoftmaxOnRBM or a layer of your own"
        )


def require_labelled(name: str, data: object) -> Any:
    """Return data for an evaluation, as one of the kinds that can be iterated over; raises `DataError` for others."""
    if hasattr(data, "train") and hasattr(data, "test"):
        raise DataError(f"{name} must be one data set, got {type(data).__name__}; pass {name}.test")
    if isinstance(data, Dataset) and len(data) == 0:
        raise DataError(f"the data set {data.name!r} is empty; there is nothing to evaluate on")
    source = as_source(data, name=name)
    if isinstance(source, Dataset) and source.targets is None:
        raise DataError(f"{source.name} has no labels; evaluate needs them; use Dataset.from_arrays(x, y)")
    return source


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
        undecided=int((scores == scores[:, :1]).all(1).sum()),
    )


def _ranks(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the number of classes ranked before the true one `[N]`: with a higher score, or an equal one and first."""
    own = scores.gather(1, truth)
    first = torch.arange(scores.shape[1]) < truth
    return ((scores > own) | ((scores == own) & first)).sum(1)
