"""Choose the calibration images by the smallest hashes of their content, independent of order and batches."""

from __future__ import annotations

import heapq
import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Data
from threegen.errors import DataError
from threegen.training.feed import as_source, walk_once

JUDGES = 1_000  # test images that are not used for calibration
FEW = 200  # fewer give a poor calibration
MEMORY = 1_500_000_000  # bytes that activations and spikes may take


@dataclass(frozen=True)
class Images:
    """The calibration images, and the test images (the same ones if there are no others).

    `labels` are those of the test images, or None; `seen` the number of images; `apart` whether the test images differ.
    """

    calibrate: Tensor
    judge: Tensor
    labels: Tensor | None
    classes: Tensor | None  # the labels of the calibration images
    seen: int
    apart: bool


def gather(data: Any, wanted: int) -> Images:
    """Return `wanted` images of `data` to calibrate with and others to test with; raises `DataError` for none."""
    source = as_source(data.train if isinstance(data, Data) else data, name="calibrate")
    kept: list[tuple[int, int, Tensor, Tensor | None]] = []
    seen = 0
    for batch in walk_once(source, 1000):
        for image, label in _examples(batch):
            key = -zlib.crc32(image.contiguous().numpy().tobytes())
            seen += 1
            entry = (key, -seen, image, label)
            if len(kept) < wanted + JUDGES:
                heapq.heappush(kept, entry)
            elif key > kept[0][0]:
                heapq.heapreplace(kept, entry)
    if not kept:
        raise DataError("convert needs images to calibrate with, calibrate= holds none")
    kept.sort(key=lambda one: (-one[0], one[2].sum().item()))
    few = len(kept) if len(kept) < FEW + JUDGES else min(wanted, len(kept) - JUDGES)
    every = torch.stack([one[2] for one in kept])
    labels = (
        None if any(one[3] is None for one in kept) else torch.stack([one[3] for one in kept if one[3] is not None])
    )
    apart = few < len(kept)
    first = slice(few, None) if apart else slice(None)
    return Images(
        every[:few],
        every[first],
        None if labels is None else labels[first],
        None if labels is None else labels[:few],
        seen,
        apart,
    )


def _examples(batch: Batch) -> list[tuple[Tensor, Tensor | None]]:
    inputs = batch.inputs.detach().cpu()
    targets = None if batch.targets is None or batch.targets.dim() != 1 else batch.targets.detach().cpu()
    return [(one, None if targets is None else targets[place]) for place, one in enumerate(inputs)]


def affordable(largest: int, steps: int, wanted: int) -> int:
    """Return how many of `wanted` images fit: `largest` is the number of values of the largest layer of one image."""
    return max(1, min(wanted, MEMORY // max(largest * (12 + 5 * steps), 1)))
