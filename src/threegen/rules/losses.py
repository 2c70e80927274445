"""The losses of the scores [B, K] that `Backprop` and others know by name; see `backprop` for their formulas.

Shapes: B examples, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_choice, require_labels
from threegen.errors import ConfigError
from threegen.rules.targets import one_hot_targets, require_like, require_scores

Loss = Callable[[Tensor, Tensor], Tensor]

# torch silently ignores labels equal to -100; this value is never a label, so every wrong label is rejected.
_NO_LABEL = -(2**62)
RUBBISH = 5.0  # the j of "map"


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Softmax and cross-entropy; floating targets `[B, K]` are class probabilities."""
    require_classes(scores)
    if targets.is_floating_point():
        return F.cross_entropy(scores, require_like(scores, targets))
    if targets.dim() != 1 or targets.dtype == torch.bool or targets.device.type != "cpu":
        require_labels(targets, scores.shape[1])  # on a GPU a label out of range could not be caught below
    try:
        return F.cross_entropy(scores, targets.long(), ignore_index=_NO_LABEL)
    except IndexError:
        require_labels(targets, scores.shape[1])
        raise


def require_classes(scores: Tensor) -> None:
    """Raise `ShapeError` or `ConfigError` if `scores` are not those of two classes or more."""
    require_scores(scores)
    if scores.shape[1] == 1:
        raise ConfigError("cross_entropy needs at least 2 scores, the model has 1; use 'mse' or 'sse' for one unit")


def _mean_squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores, one_hot_targets(scores, targets))


def _sum_of_squared_errors(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores, one_hot_targets(scores, targets)) * (scores.shape[1] / 2)


def _signed_squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores, one_hot_targets(scores, targets, -1.0, 1.0))


def _maximum_a_posteriori(scores: Tensor, targets: Tensor) -> Tensor:
    require_scores(scores)
    right = require_labels(targets, scores.shape[1]).long().unsqueeze(1)
    rubbish = scores.new_full((len(scores), 1), -RUBBISH)
    return (torch.cat([scores, rubbish], 1).logsumexp(1) - scores.gather(1, right).squeeze(1)).mean()


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "mse": _mean_squared_error,
    "sse": _sum_of_squared_errors,
    "signed_mse": _signed_squared_error,
    "map": _maximum_a_posteriori,
}


def resolve_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name, or the function itself; raises `ConfigError` for an unknown name."""
    return loss if callable(loss) else LOSSES[require_choice("loss", loss, LOSSES)]
