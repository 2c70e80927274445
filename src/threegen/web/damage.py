"""Damage to an image that the page offers as sliders: stroke width, rotation, shift, noise, in that order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.randomness import make_generator


@dataclass(frozen=True)
class Damage:
    """`noise` is the deviation of Gaussian noise, `rotation` in degrees clockwise, `right` and `down` in pixels.

    `width` multiplies the width of the stroke: 1 leaves it.
    """

    noise: float = 0.0
    rotation: float = 0.0
    right: float = 0.0
    down: float = 0.0
    width: float = 1.0


def damaged(image: Tensor, damage: Damage) -> Tensor:
    """Return an image [1, 28, 28] in 0..1 rotated, shifted and with noise; the same damage gives the same noise."""
    moved = image
    if damage.rotation or damage.right or damage.down:
        moved = _moved(image, damage)
    if damage.noise:
        drawn = torch.randn(moved.shape, generator=make_generator("noise of the page"))
        moved = (moved + damage.noise * drawn).clamp(0.0, 1.0)
    return moved


def _moved(image: Tensor, damage: Damage) -> Tensor:
    """Rotate around the middle, then shift; both at once, bilinear, so that the ink is resampled once only."""
    height, width = image.shape[-2:]
    turn = math.radians(damage.rotation)
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = -2.0 * damage.right / width, -2.0 * damage.down / height
    # where each pixel of the result comes from: back by the shift, then back by the turn
    theta = torch.tensor([[cos, sin, cos * x + sin * y], [-sin, cos, -sin * x + cos * y]])
    grid = F.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    return F.grid_sample(image[None], grid, align_corners=False)[0]


def thickened(image: Tensor, width: float) -> Tensor:
    """Return an image [1, H, W] whose strokes are about `width` times as wide, by grey dilation or erosion.

    Used for pictures, which have no points to redraw. The result mixes the image with the largest (or smallest) values
    of each pixel's surroundings, whose radius grows by one pixel with each doubling.
    """
    strength = abs(math.log2(width))
    result = image
    while strength > 0:
        sign = 1.0 if width > 1 else -1.0
        other = sign * F.max_pool2d(sign * result[None], 3, stride=1, padding=1)[0]
        share = min(1.0, strength)
        result = (1 - share) * result + share * other
        strength -= share
    return result
