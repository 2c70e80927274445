"""More images from few: each image and slightly moved copies, for a stage of training (`Stage(transform=...)`)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from threegen.checks import require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ShapeError


def shifted_copies(data: Dataset, pixels: int = 1) -> Dataset:
    """Return five times the images [N, C, H, W]: as they are, moved up, down, left and right by `pixels`.

    Vacated pixels are 0. One epoch of the result is five passes over the images. A net trained on it is not comparable
    with one trained on the images only; state that with results. Raises `ShapeError` for anything but images, and
    `ConfigError` for `pixels` below 1.
    """
    require_whole("pixels", pixels)
    if data.inputs.dim() != 4:
        raise ShapeError(f"shifted_copies moves images [N, C, H, W], got {list(data.inputs.shape)}")
    height, width = data.inputs.shape[2:]
    padded = F.pad(data.inputs, (pixels, pixels, pixels, pixels))
    far = 2 * pixels
    corners = (
        (pixels, pixels),
        (far, pixels),
        (0, pixels),
        (pixels, far),
        (pixels, 0),
    )  # middle, up, down, left, right
    moved = torch.cat([padded[..., top : top + height, left : left + width] for top, left in corners])
    targets = None if data.targets is None else data.targets.repeat(len(corners))
    return Dataset(moved, targets, data.classes, f"{data.name}-shifted")
