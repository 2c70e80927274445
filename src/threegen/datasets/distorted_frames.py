"""Frames of events, distorted differently in each pass: all frames of a recording in the same way.

    frame_t(p) <- frame_t(A p + t + d(p))       A, t and d as in `distortions`, the same for all t and both polarities

Values are taken from the nearest pixel, so that frames of 0 and 1 stay frames of 0 and 1.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple

import torch
from torch.nn import functional as F

from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import Distortions
from threegen.errors import ShapeError
from threegen.randomness import make_generator


class DistortedFrames(Dataset):
    """A data set of frames [N, T, 2, H, W] that `fit` gets distorted differently in each pass.

    A pass depends only on (seed of `fit`, stage, pass). Parts of it (`take`, `subset`, `holdout`) are not distorted:
    take parts first, distort last. All frames are held in memory. Raises `ShapeError` for other data.
    """

    def __init__(self, data: Dataset, distortions: Distortions) -> None:
        if len(data.shape) != 4:
            raise ShapeError(f"frames are [N, T, 2, H, W], {data.name} has examples of {list(data.shape)}")
        super().__init__(data.inputs, data.targets, data.classes, f"{data.name}-distorted")
        self.distortions = distortions

    def for_pass(self, seed: int, stage: int, epoch: int) -> Dataset:
        """Return the frames of this pass, distorted."""
        generator = make_generator(seed, "distorted frames", stage, epoch)
        moved = []
        for part in torch.split(self.inputs, 500):
            planes = part.flatten(1, 2)
            halves = planes.new_tensor([planes.shape[3] / 2, planes.shape[2] / 2])
            places = self.distortions.places(planes, generator) / halves
            seen = F.grid_sample(planes, places, mode="nearest", padding_mode="zeros", align_corners=False)
            moved.append(seen.view_as(part))
        return Dataset(torch.cat(moved), self.targets, self.classes, self.name)

    def fingerprint(self) -> str:
        """Return a fingerprint of the frames and of how they are distorted."""
        text = f"{super().fingerprint()} {astuple(self.distortions)}"
        return hashlib.sha256(text.encode()).hexdigest()
