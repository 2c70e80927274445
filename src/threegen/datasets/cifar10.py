"""CIFAR-10 in its binary version: records of one label byte and 3,072 pixel bytes (red, green, blue planes).

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009. 50,000 training and 10,000 test
photographs of 3 x 32 x 32. The Python version is a pickle, which can run code, and is not read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threegen.checks import require_labels
from threegen.datasets.catalogue import KnownData, KnownFile
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.folders import Root, require_files
from threegen.datasets.sums import compare_sum, remember, sum_to_check
from threegen.errors import DataError

_RECORD = 1 + 3 * 32 * 32


def load_cifar10(known: KnownData, *, root: Root = None, verify: bool = True) -> Data:
    """Load CIFAR-10; raise `DataError` if a file is absent, of another length or not the published one."""
    paths = require_files(known, root)
    records = [_read_records(path, file, verify) for path, file in zip(paths, known.files, strict=True)]
    train = _to_dataset(np.concatenate(records[:-1]), known, f"{known.name}-train")
    return Data(known.name, train, _to_dataset(records[-1], known, f"{known.name}-test"))


def check_records(values: bytes, name: str, length: int) -> None:
    """Raise `DataError` if `values` are not `length` bytes of whole records with labels 0..9."""
    if len(values) != length:
        raise DataError(
            f"{name}: {len(values):,} bytes; expected {length:,} ({length // _RECORD:,} records of {_RECORD:,}); "
            "delete it and fetch again"
        )
    labels = np.frombuffer(values, dtype=np.uint8)[::_RECORD]
    require_labels(torch.from_numpy(labels.astype(np.int64)), 10)


def _read_records(path: Path, known: KnownFile, verify: bool) -> np.ndarray[Any, Any]:
    try:
        with path.open("rb") as file:
            values = file.read(known.length + 1)
    except OSError as error:
        raise DataError(f"{known.name}: cannot read {path}: {error.strerror or error}") from error
    expected = sum_to_check(path, known, verify)
    check_records(values, known.name, known.length)
    if expected is not None:
        compare_sum(known.name, hashlib.sha256(values).hexdigest(), expected)
        remember(path, known)
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, _RECORD)


def _to_dataset(records: np.ndarray[Any, Any], known: KnownData, name: str) -> Dataset:
    targets = require_labels(torch.from_numpy(records[:, 0].astype(np.int64)), len(known.classes))
    pixels = records[:, 1:].reshape(-1, *known.shape).astype(np.float32)
    return Dataset(torch.from_numpy(pixels).div_(255.0), targets, known.classes, name)
