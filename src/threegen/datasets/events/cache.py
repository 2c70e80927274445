"""The cache of recordings on disk: all events of a part in one file, read through a memory map.

FOLDER/train.events     9 bytes per event: time since the recording's first (u4), x (u2), y (u2), polarity (u1)
FOLDER/train.npz        offsets [N + 1], labels [N], starts [N] (times of the first events), size [2], speakers [N]
FOLDER/test.events, FOLDER/test.npz
FOLDER/about.json       which data set, format, where it came from, counts
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from threegen.datasets.events.stream import EVENT, Array, Events
from threegen.errors import DataError

PACKED = np.dtype([("t", "<u4"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
FORMAT = 1
PARTS = ("train", "test")


@dataclass(frozen=True)
class Example:
    """One recording to be written into the cache."""

    part: str
    label: int
    events: Events
    speaker: int = -1


class Store:
    """The recordings of one part: `store.read(n)` returns recording n; only the offsets are in memory."""

    def __init__(self, folder: Path, part: str) -> None:
        self.folder, self.part = folder, part
        try:
            with np.load(folder / f"{part}.npz", allow_pickle=False) as index:
                self.offsets, self.labels, self.starts = index["offsets"], index["labels"], index["starts"]
                self.speakers: Array = index["speakers"]
                self.height, self.width = (int(side) for side in index["size"])
            path = folder / f"{part}.events"
            total = int(self.offsets[-1])
            if path.stat().st_size != total * PACKED.itemsize:
                raise DataError(f"{path.name} in {folder} does not have the size in its index; import the data again")
            self.events: Any = np.memmap(path, PACKED, "r", shape=(total,)) if total else np.empty(0, PACKED)
        except (OSError, KeyError, ValueError) as problem:
            if isinstance(problem, DataError):
                raise
            raise DataError(f"{folder} holds no complete {part} part: {problem}; import the data again") from problem

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, number: int) -> Events:
        """Return recording `number` with its own times."""
        packed = self.events[int(self.offsets[number]) : int(self.offsets[number + 1])]
        array = np.empty(len(packed), EVENT)
        for name in "xyp":
            array[name] = packed[name]
        array["t"] = packed["t"].astype(np.int64) + int(self.starts[number])
        return Events(array, self.height, self.width)

    def digest(self) -> str:
        """Return the SHA-256 over index and events that was computed when they were written."""
        return str(read_about(self.folder)["sha256"][self.part])


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of `about.json`; raises `DataError` if it is damaged or of another release."""
    try:
        about = json.loads((folder / "about.json").read_bytes())
        if about["format"] != FORMAT or set(about["sha256"]) != set(PARTS):
            raise ValueError(f"format {about.get('format')!r}")
        return dict(about)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(
            f"{folder / 'about.json'} is damaged or of another release: {problem}; import again"
        ) from problem


def write_store(folder: Path, name: str, source: str, examples: Iterable[Example]) -> dict[str, int]:
    """Write examples into `folder`, one at a time; return the number in each part.

    Raises `DataError` for a recording that lasts more than 71 minutes or has another size than the first.
    """
    written = {part: _Part(folder, part) for part in PARTS}
    try:
        for example in examples:
            written[example.part].add(example)
    finally:
        for one in written.values():
            one.file.close()
    sums = {part: one.finish() for part, one in written.items()}
    counts = {part: len(one.labels) for part, one in written.items()}
    about = {"format": FORMAT, "name": name, "source": source, "counts": counts, "sha256": sums}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return counts


class _Part:
    def __init__(self, folder: Path, part: str) -> None:
        self.path = folder / part
        self.file = (folder / f"{part}.events").open("wb")
        self.hash = hashlib.sha256()
        self.offsets, self.labels, self.starts, self.speakers = [0], [], [], []  # type: ignore[var-annotated]
        self.size = (1, 1)

    def add(self, example: Example) -> None:
        events = example.events
        if self.labels and (events.height, events.width) != self.size:
            raise DataError(
                f"recording {len(self.labels)} has {events.height} x {events.width} pixels, the first {self.size}"
            )
        self.size = (events.height, events.width)
        if events.duration >= 1 << 32:
            raise DataError(f"recording {len(self.labels)} lasts more than 71 minutes; cut it")
        start = int(events.t[0]) if len(events) else 0
        packed = np.empty(len(events), PACKED)
        for name in "xyp":
            packed[name] = events.array[name]
        packed["t"] = events.t - start
        content = packed.tobytes()
        self.hash.update(content)
        self.file.write(content)
        self.offsets.append(self.offsets[-1] + len(events))
        self.labels.append(example.label)
        self.starts.append(start)
        self.speakers.append(example.speaker)

    def finish(self) -> str:
        arrays: dict[str, Any] = {
            "offsets": np.array(self.offsets, np.int64),
            "labels": np.array(self.labels, np.int64),
            "starts": np.array(self.starts, np.int64),
            "speakers": np.array(self.speakers, np.int64),
            "size": np.array(self.size, np.int64),
        }
        np.savez(self.path.with_suffix(".npz"), **arrays)
        for array in arrays.values():
            self.hash.update(array.tobytes())
        return self.hash.hexdigest()
