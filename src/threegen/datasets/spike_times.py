"""Spike times of many examples as bytes: the output of frozen layers is computed once and then read batch by batch.

Each neuron fires at most once, so its output is one byte, the step, or one bit if only whether it fired matters. Arrays
that do not fit into memory are stored in files.

Shapes: N examples, C maps of H rows and W columns.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.datasets.dataset import Dataset
from threegen.datasets.lazy import LazyDataset
from threegen.errors import ShapeError
from threegen.machine.memory import available_memory

Array = np.ndarray[Any, Any]
_AT_ONCE = 500  # examples that are computed at a time


class SpikeTimes(LazyDataset):
    """Spike times [N, C, H, W] (uint8, `steps` for never); `packed` stores one bit for each, read as 0 or `steps`.

    Batches are uint8: the layers of `gen3.ordered_conv` take them as they are. Raises `ShapeError`.
    """

    def __init__(
        self,
        kept: Array,
        shape: Sequence[int],
        steps: int,
        targets: Tensor | None,
        classes: Sequence[str],
        name: str,
        *,
        packed: bool = False,
        index: Tensor | None = None,
    ) -> None:
        if kept.dtype != np.uint8 or kept.shape[1:] != ((row_bytes(shape),) if packed else tuple(shape)):
            raise ShapeError(f"SpikeTimes of {list(shape)} got an array {list(kept.shape)} of {kept.dtype}")
        super().__init__(torch.arange(len(kept)) if index is None else index, targets, classes, name)
        self.kept, self.example_shape, self.steps, self.packed = kept, tuple(shape), steps, packed

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, `(C, H, W)`."""
        return self.example_shape

    def fetch(self, index: Tensor) -> Tensor:
        """Return the times [B, C, H, W], uint8."""
        rows = self.kept[index.numpy()]
        if self.packed:
            fired = np.unpackbits(rows, axis=1, count=int(np.prod(self.example_shape)))
            fired ^= 1
            fired *= np.uint8(self.steps)
            rows = fired.reshape(-1, *self.example_shape)
        return torch.from_numpy(rows)

    def digest(self) -> str:
        """Return a text that is equal for equal times."""
        flat = hashlib.sha256(np.ascontiguousarray(self.kept).data).hexdigest()
        return f"{flat} {self.example_shape} {self.steps} {self.packed}"

    def part(self, index: Tensor, targets: Tensor | None, name: str) -> LazyDataset:
        """Return other examples of the same times."""
        return SpikeTimes(
            self.kept,
            self.example_shape,
            self.steps,
            targets,
            self.classes,
            name,
            packed=self.packed,
            index=index,
        )


class SpikeCopies(SpikeTimes):
    """Spike times of images and of other versions of them: pass p of `fit` shows version p mod n, the first at first.

    Raises `ShapeError` for versions of another shape or number.
    """

    def __init__(self, versions: Sequence[SpikeTimes]) -> None:
        first = versions[0]
        if any(len(one) != len(first) or one.shape != first.shape or one.steps != first.steps for one in versions):
            raise ShapeError(f"SpikeCopies needs versions of equal shape and number, got {[repr(v) for v in versions]}")
        super().__init__(
            first.kept,
            first.shape,
            first.steps,
            first.targets,
            first.classes,
            f"{first.name}, {len(versions)} versions",
            packed=first.packed,
            index=first.index,
        )
        self.versions = tuple(versions)

    def for_pass(self, seed: int, stage: int, epoch: int) -> Dataset:
        """Return the version that pass number `epoch` shows."""
        return self.versions[epoch % len(self.versions)]

    def digest(self) -> str:
        """Return a text that is equal for equal versions."""
        return " ".join(SpikeTimes.digest(one) for one in self.versions)


def row_bytes(shape: Sequence[int]) -> int:
    """Return the bytes of one example's packed bits."""
    return -(-int(np.prod(shape)) // 8)


def keep_rows(
    fingerprint: str, count: int, row: Sequence[int], make: Callable[[slice], Array], folder: Path | None = None
) -> Array:
    """Return an array uint8 [count, *row] whose rows `make(slice)` computes, a few hundred at a time.

    With a `folder` it is a file there, named after its `fingerprint`, which a later call reuses. Without one it is in
    memory, or in a temporary file if it would take more than half of the available memory.
    """
    shape = (count, *row)
    if folder is None:
        free = available_memory()
        if free is None or int(np.prod(shape)) < free // 2:
            return _fill(np.empty(shape, np.uint8), make)
        unnamed = tempfile.TemporaryFile(prefix="threegen-")  # noqa: SIM115  (it lives as long as the array)
        return _fill(np.memmap(unnamed, np.uint8, "w+", shape=shape), make)
    path = folder / f"{fingerprint}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{fingerprint}.tmp"
        array = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        _fill(array, make).flush()  # type: ignore[attr-defined]
        del array
        beside.replace(path)
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _fill(array: Array, make: Callable[[slice], Array]) -> Array:
    for start in range(0, len(array), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(array)))
        array[part] = make(part)
    return array
