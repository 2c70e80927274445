"""MNIST and data sets of the same form: two splits, each a file of images and a file of labels.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition,
Proceedings of the IEEE 86(11), 1998. 60,000 training and 10,000 test images of 28 x 28 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from threegen.checks import require_labels
from threegen.datasets.catalogue import KnownData, KnownFile
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.folders import Root, require_files
from threegen.datasets.idx import Source, read_idx
from threegen.datasets.sums import remember, sum_to_check
from threegen.errors import DataError


def load_idx_data(known: KnownData, *, root: Root = None, verify: bool = True) -> Data:
    """Load MNIST or Fashion-MNIST; raise `DataError` if a file is absent, damaged or not the published one."""
    paths = require_files(known, root)
    train = _load_split(paths[:2], known.files[:2], known.classes, f"{known.name}-train", verify)
    test = _load_split(paths[2:], known.files[2:], known.classes, f"{known.name}-test", verify)
    return Data(known.name, train, test)


def _load_split(
    paths: Sequence[Path], files: Sequence[KnownFile], classes: Sequence[str], name: str, verify: bool
) -> Dataset:
    sums = [sum_to_check(path, file, verify) for path, file in zip(paths, files, strict=True)]
    split = read_idx_pair(paths[0], paths[1], classes=classes, name=name, sha256=(sums[0], sums[1]))
    if verify:
        for path, file in zip(paths, files, strict=True):
            remember(path, file)
    return split


def read_idx_pair(
    images: Source,
    labels: Source,
    *,
    classes: Sequence[str],
    name: str = "data",
    sha256: tuple[str | None, str | None] = (None, None),
) -> Dataset:
    """Return a data set from a file of images and a file of labels.

    Raises `DataError` if either is damaged, they differ in length, are empty, or a label is outside `classes`.
    """
    pixels = read_idx(images, kind="images", sha256=sha256[0])
    numbers = read_idx(labels, kind="labels", sha256=sha256[1])
    if len(pixels) != len(numbers):
        raise DataError(f"{name}: {len(pixels):,} images but {len(numbers):,} labels; fetch both files again")
    if pixels.size == 0:
        raise DataError(f"the data set is empty: {name} has images of shape {pixels.shape}")
    inputs = torch.from_numpy(pixels).to(torch.float32).div_(255.0).unsqueeze_(1)
    targets = require_labels(torch.from_numpy(numbers).to(torch.int64), len(classes))
    return Dataset(inputs, targets, classes, name)
