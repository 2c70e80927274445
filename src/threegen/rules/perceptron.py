"""Rosenblatt's rule: weights change only on mistakes, by the example itself.

One unit, or several that answer independently, targets t in 0 and 1, answer y = 1 where u > 0:

    w <- w + rate (t - y) x            b <- b + rate (t - y)

One unit for each class; the winner k has the highest potential, y is the true class, and they differ:

    w_y <- w_y + rate x                w_k <- w_k - rate x

This is gradient descent on E = max(0, s_k - s_y) (one unit: |u|) of each misclassified example.

Rosenblatt, Psychological Review 65 (1958) 386-408; "Principles of Neurodynamics" (1962), chapter 5. The form with
one unit for each class: Duda and Hart, "Pattern Classification and Scene Analysis" (1973), section 5.12 (Kesler).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from threegen.checks import require_labels
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.rules.rule import Averaged, LinearUnits, Rule, Step, Update, descend, require_batch, require_parts

# Potentials are computed for this many examples at a time. The product is discarded at the first mistake, so the best
# size is near the usual distance between two mistakes (MNIST: about 7); from 8 to 32 the time hardly differs.
_WINDOW = 16


class PerceptronRule(Rule):
    """Train one layer of units by Rosenblatt's rule: one yield per mistake, examples in the order of the batch.

    Targets: labels `[B]` in 0..K-1 for K units; 0 and 1 for one unit; or 0 and 1 `[B, K]` for K independent units.
    Among equal potentials the lowest class wins, as in `argmax`. The rate is the optimiser's (plain SGD; from zero
    weights it only scales them, so 1 is the default). Figure: `loss`, the E of the misclassified example.

    For a model with `averaged` set, the rule also calls `accumulate(n)`: n examples were processed with the current
    weights. Raises `ConfigError` for a model without potentials(), `DataError` for labels out of range.
    """

    updates_per_batch = None
    default_rate = 1.0

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not one layer of units."""
        require_parts(self, model, "potentials()", "weight", "bias")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Go through `batch`; at each mistake fill `.grad` with -(t - y) x and yield."""
        self.check(model)
        units = cast(LinearUnits, model)
        find, targets = _prepare(units, require_batch("PerceptronRule", batch))
        averaged = _averaged(model)
        inputs = batch.inputs.flatten(1)
        place, lived = 0, 0  # the next example; how many were processed with the current weights
        while place < len(inputs):
            scores = units.potentials(inputs[place : place + _WINDOW])
            mistake = find(scores, targets[place : place + _WINDOW])
            if mistake is None:
                place += len(scores)
                lived += len(scores)
                continue
            ahead, direction = mistake
            if averaged is not None:
                averaged.accumulate(lived + ahead)
            descend(units.weight, torch.outer(direction, inputs[place + ahead]))
            descend(units.bias, direction)
            yield Update(loss=torch.dot(direction, scores[ahead]))
            place += ahead + 1
            lived = 1
        if averaged is not None:
            averaged.accumulate(lived)


Mistake = tuple[int, Tensor]  # the offset of the first misclassified example, and its dE/du [K]


def _averaged(model: nn.Module) -> Averaged | None:
    """Return `model` if it averages its weights; raise for evaluation mode, in which it answers by the average."""
    if not isinstance(model, Averaged) or not model.averaged:
        return None
    if not model.training:
        raise ConfigError(
            f"{type(model).__name__} with averaged weights is in evaluation mode; call model.train() before training it"
        )
    return model


def _prepare(units: LinearUnits, targets: Tensor) -> tuple[Callable[[Tensor, Tensor], Mistake | None], Tensor]:
    """Return the function that finds mistakes for this kind of targets, and the targets in its format."""
    outputs = len(units.weight)
    if outputs > 1 and targets.dim() == 1:
        return _first_wrong_winner, require_labels(targets, outputs)
    wide = targets.unsqueeze(1) if targets.dim() == 1 else targets
    if wide.dim() != 2 or wide.shape[1] != outputs:
        raise ShapeError(f"targets of {outputs} units must be [B] or [B, {outputs}], got {list(targets.shape)}")
    outside = ((wide != 0) & (wide != 1)).nonzero()
    if len(outside):
        where = outside[0].tolist()
        raise DataError(f"a step unit's target is 0 or 1, got {wide[tuple(where)].item()} at {where}")
    return _first_wrong_unit, wide.to(units.weight.dtype)


def _first_wrong_winner(scores: Tensor, labels: Tensor) -> Mistake | None:
    """One unit for each class: +1 for the wrong winner, -1 for the true class."""
    winners = scores.argmax(1)
    wrong = (winners != labels).tolist()
    if True not in wrong:
        return None
    ahead = wrong.index(True)
    direction = scores.new_zeros(scores.shape[1])
    direction[winners[ahead]] = 1.0
    direction[labels[ahead]] = -1.0
    return ahead, direction


def _first_wrong_unit(scores: Tensor, targets: Tensor) -> Mistake | None:
    """Each unit separately: y - t."""
    errors = (scores > 0).to(targets.dtype) - targets
    wrong = errors.any(1).tolist()
    if True not in wrong:
        return None
    ahead = wrong.index(True)
    return ahead, errors[ahead]
