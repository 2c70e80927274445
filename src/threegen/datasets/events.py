"""Recordings of event cameras: the published 40-bit format of N-MNIST, and events gathered into frames.

Each event is five bytes: x; y; the polarity (1 bit, 1 = brighter) and 23 bits of time in microseconds, big-endian. An
event with y = 240 is no event but a carry: 2^13 microseconds are added to the time of all that follow.

Orchard, Jayawant, Cohen and Thakor, "Converting static image datasets to spiking neuromorphic datasets using saccades",
Frontiers in Neuroscience 9:437 (2015). A recording has 34 x 34 places and lasts about 310 ms.
"""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import DataError

Array = np.ndarray[Any, Any]

SIDE = 34
_CARRY, _CARRIED = 240, 1 << 13
_LARGEST = 1 << 24  # bytes of one recording; the real ones have about 20,000


@dataclass(frozen=True, slots=True)
class Recording:
    """The events of one recording in the order of the file: places x and y, polarity 0 or 1, time in microseconds."""

    x: Array
    y: Array
    polarity: Array
    time: Array

    def __len__(self) -> int:
        return len(self.x)


def read_events(content: bytes, name: str = "the recording", side: int = SIDE) -> Recording:
    """Return the events of a 40-bit recording.

    Raises `DataError` where the length is no multiple of five, an event lies outside of `side` x `side` places, or
    there is none.
    """
    if not content or len(content) % 5:
        raise DataError(f"{name} has {len(content):,} bytes, which are no whole events of 5 bytes; get the file again")
    cells = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64)
    time = ((cells[:, 2] & 0x7F) << 16) | (cells[:, 3] << 8) | cells[:, 4]
    carry = cells[:, 1] == _CARRY
    time = time + np.cumsum(carry) * _CARRIED
    real = cells[~carry]
    outside = (real[:, :2] >= side).any(1)
    if outside.any():
        first = int(outside.argmax())
        raise DataError(
            f"{name}: event {first} lies at x={real[first, 0]}, y={real[first, 1]}, outside of {side} x {side} places"
        )
    if not len(real):
        raise DataError(f"{name} has no events")
    return Recording(real[:, 0], real[:, 1], real[:, 2] >> 7, time[~carry])


def to_frames(recording: Recording, steps: int, *, milliseconds: float = 300.0, side: int = SIDE) -> Tensor:
    """Return the number of events [steps, 2, side, side] (float32) in each of `steps` equal parts of the time.

    Polarity 0 (darker) comes first. Events after `milliseconds` are left out.
    """
    require_whole("steps", steps)
    frame = (recording.time * steps // int(1000 * milliseconds)).astype(np.int64)
    kept = frame < steps
    place = ((frame * 2 + recording.polarity) * side + recording.y) * side + recording.x
    counts = np.bincount(place[kept], minlength=steps * 2 * side * side)
    return torch.from_numpy(counts.astype(np.float32)).view(steps, 2, side, side)


def load_event_recordings(
    path: str | os.PathLike[str], *, steps: int = 30, milliseconds: float = 300.0, count: int | None = None
) -> Dataset:
    """Return recordings `.../LABEL/NUMBER.bin` of a zip archive, by number, as frames [N, steps, 2, 34, 34].

    `count` takes the first ones only. Raises `DataError` where the archive is missing, damaged or holds none.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file} does not exist; it should be a zip archive of recordings LABEL/NUMBER.bin")
    try:
        with zipfile.ZipFile(file) as archive:
            members = sorted(
                (int(PurePosixPath(info.filename).stem), info.filename, info)
                for info in archive.infolist()
                if re.search(r"(^|/)\d/\d+\.bin$", info.filename) and info.file_size <= _LARGEST
            )
            if not members:
                raise DataError(f"{file} holds no recordings LABEL/NUMBER.bin")
            frames, labels = [], []
            for _, _, info in members[:count]:
                recording = read_events(archive.read(info), info.filename)
                frames.append(to_frames(recording, steps, milliseconds=milliseconds))
                labels.append(int(PurePosixPath(info.filename).parent.name))
    except zipfile.BadZipFile as problem:
        raise DataError(f"{file} is no whole zip archive: {problem}; get it again") from problem
    return Dataset(torch.stack(frames), torch.tensor(labels), [str(digit) for digit in range(10)], "n-mnist")
