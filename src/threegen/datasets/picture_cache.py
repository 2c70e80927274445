"""Decoded pictures on disk, one byte per value, at training size: written once, mapped into memory afterwards.

FOLDER/pictures-KEY.npy    uint8 [N, C, H, W], read by `numpy.load(mmap_mode="r")`
FOLDER/pictures-KEY.json   {place: why it could not be read}

KEY is a hash of names, lengths of files, planes and size; another size has its own files. An incomplete cache has
another name, and is written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from threegen.errors import DataError, ResourceError

_BATCH = 64


class Decoded(Protocol):
    """The interface that `fill_cache` needs: all pictures with their margin."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one picture, `(C, H, W)`."""

    def __len__(self) -> int: ...

    def replies(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor, list[tuple[int, str]]]]:
        """Yield bytes `[b, C, H, W]`, their places in the batch, and those that could not be read."""


@dataclass(frozen=True)
class PictureCache:
    """The decoded pictures `[N, C, H, W]`, and why some could not be read."""

    pictures: np.ndarray[Any, Any]
    failed: dict[int, str]

    def picture(self, place: int) -> np.ndarray[Any, Any]:
        """Return one picture `[C, H, W]`; raises `DataError` if it could not be read."""
        if place in self.failed:
            raise DataError(self.failed[place])
        values: np.ndarray[Any, Any] = self.pictures[place]
        return values


def open_cache(folder: Path, key: str) -> PictureCache | None:
    """Return the cache of that key, None if it has not been filled."""
    return _opened(folder, key) if _file(folder, key, "json").is_file() else None


@lru_cache(maxsize=4)
def _opened(folder: Path, key: str) -> PictureCache:
    try:
        failed = json.loads(_file(folder, key, "json").read_text())
        pictures = np.load(_file(folder, key, "npy"), mmap_mode="r", allow_pickle=False)
        return PictureCache(pictures, {int(place): str(reason) for place, reason in failed.items()})
    except (OSError, ValueError, AttributeError) as problem:
        raise DataError(f"the cache in {folder} is damaged ({problem}); delete pictures-{key}.*") from problem


def fill_cache(data: Decoded, folder: Path, key: str) -> None:
    """Decode all pictures of `data` into the cache, unless that has been done.

    Raises `ResourceError` if they do not fit on the disk, `DataError` if the folder cannot be written.
    """
    if _file(folder, key, "json").is_file():
        return
    shape = (len(data), *data.shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        space = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize if hasattr(os, "statvfs") else None
        needed = int(np.prod(shape))
        if space is not None and needed > space:
            raise ResourceError(
                f"{len(data):,} decoded pictures need {needed / 2**30:.1f} GiB in {folder}, {space / 2**30:.1f} GiB "
                "are free; choose another folder, or leave cache= out"
            )
        staged = folder / f".pictures-{key}-{os.getpid()}.npy"
        try:
            failed = _write(data, staged, shape)
            staged.replace(_file(folder, key, "npy"))
            text = staged.with_suffix(".json")
            text.write_text(json.dumps(failed))
            text.replace(_file(folder, key, "json"))
        finally:
            staged.unlink(missing_ok=True)
    except OSError as problem:
        raise DataError(f"the cache cannot be written to {folder}: {problem.strerror or problem}") from problem


def _write(data: Decoded, path: Path, shape: tuple[int, ...]) -> dict[int, str]:
    failed: dict[int, str] = {}
    pictures = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    start = 0
    for values, chosen, unread in data.replies(_BATCH):
        pictures[start + chosen.numpy()] = values.numpy()
        failed.update(unread)
        start += _BATCH
    pictures.flush()
    return failed


def _file(folder: Path, key: str, ending: str) -> Path:
    return folder / f"pictures-{key}.{ending}"
