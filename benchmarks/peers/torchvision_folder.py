"""One pass over a folder of pictures as torchvision's documentation reads it: ImageFolder and a DataLoader."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset

# torchvision's compiled operators do not load with torch's CPU build; none of them is used here, but their names are
# needed for the import.
_names = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _names.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import datasets, transforms

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import serve

SIDE, MARGIN, PICTURES = 96, 13, 2000


def read(quick: bool) -> float:
    """Return the seconds of one pass."""
    steps = [
        transforms.Resize(SIDE + MARGIN),
        transforms.RandomCrop(SIDE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ]
    whole = datasets.ImageFolder(os.environ["THREEGEN_BENCH_PICTURES"], transforms.Compose(steps))
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    part = Subset(whole, order[: PICTURES // 4 if quick else PICTURES].tolist())
    start = time.perf_counter()
    count = sum(len(images) for images, _ in DataLoader(part, batch_size=64, num_workers=2))
    seconds = time.perf_counter() - start
    if count != len(part):
        raise SystemExit(f"{count} pictures were read, expected {len(part)}")
    return seconds


if __name__ == "__main__":
    serve(read, ("torch", "torchvision"))
