"""Targets for rules that compare numbers: labels become one-hot rows."""

from __future__ import annotations

import torch
from torch import Tensor

from threegen.checks import require_labels
from threegen.errors import ShapeError


def one_hot_targets(scores: Tensor, targets: Tensor, off: float = 0.0, on: float = 1.0) -> Tensor:
    """Return targets of the shape and type of `scores` `[B, K]`.

    Labels `[B]` become `on` for the class and `off` for the others; with one score, K = 1, the labels 0 and 1
    become `off` and `on`. Floating targets `[B, K]` (or `[B]` where K = 1) are taken as they are.
    Raises `DataError` for labels out of range, `ShapeError` for targets of another shape.
    """
    require_scores(scores)
    if targets.is_floating_point():
        return require_like(scores, targets)
    outputs = scores.shape[1]
    require_labels(targets, max(outputs, 2))
    if outputs == 1:
        return torch.where(targets.unsqueeze(1) > 0, on, off).to(scores.dtype)
    return torch.full_like(scores, off).scatter_(1, targets.long().unsqueeze(1), on)


def require_scores(scores: Tensor) -> None:
    """Raise `ShapeError` if `scores` are not `[B, classes]`."""
    if scores.dim() != 2:
        raise ShapeError(f"the model must return scores [B, classes], got {list(scores.shape)}")


def require_like(scores: Tensor, targets: Tensor) -> Tensor:
    """Return floating `targets` in the shape and type of `scores`; raise `ShapeError` if they do not fit."""
    wide = targets.unsqueeze(1) if targets.dim() == 1 and scores.shape[1] == 1 else targets
    if wide.shape != scores.shape:
        raise ShapeError(f"targets {list(targets.shape)} do not fit scores {list(scores.shape)}")
    return wide.to(scores.dtype)
