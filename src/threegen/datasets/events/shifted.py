"""Frames of events that are moved and thinned, otherwise in each pass: more recordings from few."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_number, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ShapeError
from threegen.randomness import make_generator


class ShiftedFrames(Dataset):
    """Frames `[N, T, 2, H, W]` that `fit` sees moved by up to `pixels` each way and without `drop` of their events.

    Each recording is moved as a whole; what leaves the sensor is lost. What a pass shows depends on (seed of `fit`,
    stage, pass) alone. Parts taken of it (`take`, `subset`, `holdout`) are not moved: take parts first. All frames are
    kept in memory. Raises `ShapeError` for anything but frames, `ConfigError` for numbers out of range.
    """

    def __init__(self, data: Dataset, pixels: int = 2, drop: float = 0.0) -> None:
        if len(data.shape) != 4:
            raise ShapeError(f"ShiftedFrames moves frames [N, T, 2, H, W], {data.name} has examples {list(data.shape)}")
        super().__init__(data.inputs, data.targets, data.classes, f"{data.name}-shifted")
        self.pixels = require_whole("pixels", pixels, least=0)
        self.dropped = require_number("drop", drop, least=0.0, below=1.0)

    def for_pass(self, seed: int, stage: int, epoch: int) -> Dataset:
        """Return the frames of this pass."""
        generator = make_generator(seed, "shifts of frames", stage, epoch)
        moved = self._moved(generator)
        if self.dropped:
            kept = torch.rand(moved.shape, generator=generator) >= self.dropped
            moved = moved * kept
        return Dataset(moved, self.targets, self.classes, self.name)

    def _moved(self, generator: torch.Generator) -> Tensor:
        reach = self.pixels
        height, width = self.shape[2:]
        padded = F.pad(self.inputs, (reach, reach, reach, reach))
        places = torch.randint(0, 2 * reach + 1, (len(self), 2), generator=generator).tolist()
        return torch.stack(
            [one[..., top : top + height, left : left + width] for one, (top, left) in zip(padded, places, strict=True)]
        )

    def fingerprint(self) -> str:
        """Return a fingerprint of the frames and of how they are moved."""
        text = f"{super().fingerprint()} {self.pixels} {self.dropped}"
        return hashlib.sha256(text.encode()).hexdigest()
