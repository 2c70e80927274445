"""Inputs that are already spikes: frames of events and spike trains, [B, T, ...] outside, [T, B, ...] inside.

A spiking net takes them instead of images: nothing is encoded, and T is that of the input. An input is a train if it
has one more axis, the second, before the shape of one input: [B, T, C, H, W] if images are [B, C, H, W], [B, T, D] (or
[B, T, C, H, W] with C * H * W = D) if vectors are [B, D]. An input with the shape of an image is taken as an image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from threegen.checks import require_finite
from threegen.errors import ShapeError


def is_train(x: Tensor, shape: tuple[int, ...]) -> bool:
    """Return whether `x` is [B, T, *shape] or, for vectors, [B, T, ...] with as many values, and no image."""
    if not isinstance(x, Tensor) or x.dim() < 3:
        return False
    if len(shape) > 1:
        return tuple(x.shape[2:]) == shape
    return math.prod(x.shape[2:]) == shape[0] != math.prod(x.shape[1:])


def train_steps(owner: str, x: Tensor, shape: tuple[int, ...], weight: Tensor | None) -> Tensor:
    """Return a train [B, T, ...] as [T, B, *shape] of the weights' type; whole numbers and booleans are taken too.

    Raises `ShapeError` for a train without steps or of another floating type, `NumericError` for values that are not
    finite.
    """
    if x.shape[1] == 0:
        raise ShapeError(f"{owner} expects [B, T, ...] with at least one time step, got {list(x.shape)}")
    kind = torch.get_default_dtype() if weight is None else weight.dtype
    if x.is_floating_point() and x.dtype != kind and not torch.is_autocast_enabled(x.device.type):
        raise ShapeError(f"{owner} expects {kind}, the type of its weights, got {x.dtype}; use x.to({kind})")
    steps = x.reshape(*x.shape[:2], *shape).transpose(0, 1)
    return require_finite(f"{owner}: frames", steps.to(kind))


def is_binary(steps: Tensor) -> bool:
    """Return whether every value is 0 or 1."""
    return bool(((steps == 0) | (steps == 1)).all())
