"""The 40-bit format of N-MNIST and N-Caltech101, `.bin` (SLAYER's `.bs2`): five bytes per event, no header.

Bytes: x; y; the polarity (1 bit, 1 = ON) and 23 bits of time in microseconds, big-endian. y = 240 is not an event but
an overflow marker: 2^13 microseconds are added to the time of all that follow. Times wrap at 2^23 (8.39 s).

Orchard, Jayawant, Cohen and Thakor, "Converting static image datasets to spiking neuromorphic datasets using saccades",
Frontiers in Neuroscience 9:437 (2015). A recording of N-MNIST has 34 x 34 pixels and lasts about 310 ms.
"""

from __future__ import annotations

import os

import numpy as np

from threegen.datasets.events.stream import (
    Events,
    Sink,
    Size,
    Source,
    Unwrap,
    odd_bytes,
    opened,
    sensor_size,
    write_recording,
)
from threegen.datasets.events.stream import read_records as records
from threegen.errors import DataError

SIDE = 34
_MARK, _MARKED = 240, 1 << 13
_BITS = 23


def read_bin(
    source: Source,
    *,
    size: Size = (SIDE, SIDE),
    start_at_zero: bool = False,
    repair: bool = False,
    name: str | None = None,
) -> Events:
    """Read a recording of 40-bit events.

    Args:
        source: a path, or the file's bytes.
        size: the sensor's (height, width); N-Caltech101 has (180, 240).
        start_at_zero: subtract the time of the first event; by default times are kept.
        repair: drop events off the sensor and incomplete last bytes, and sort times, with a warning, instead of
            raising. name: the recording's name in messages; by default its file name.

    Raises `DataError`, with the event's number, for a fault.
    """
    with opened(source, name) as (file, length, label):
        sink = Sink(length // 5, sensor_size(size), label, repair, start_at_zero)
        odd_bytes(sink, length, 5, "events")
        unwrap, marked = Unwrap(_BITS), 0
        for piece in records(file, (np.uint8, 5), length):
            x, y, high = piece[:, 0], piece[:, 1], piece[:, 2]
            time = (high & 0x7F).astype(np.int64)
            time = (time << 16) | (piece[:, 3].astype(np.int64) << 8) | piece[:, 4]
            mark = y == _MARK
            if mark.any():
                before = (marked + np.cumsum(mark)) * _MARKED
                marked = int(before[-1]) // _MARKED
                x, y, high, time, before = (part[~mark] for part in (x, y, high, time, before))
                time = unwrap(time) + before
            else:
                time = unwrap(time) + marked * _MARKED if marked else unwrap(time)
            sink.put(time, x, y, high >> 7)
        return sink.close()


def write_bin(path: str | os.PathLike[str], events: Events) -> None:
    """Write a recording of 40-bit events; `read_bin` returns the same events.

    Raises `DataError` for events that the format cannot hold: places beyond 255, rows from 240, a first time below 0 or
    beyond 8.39 s, and pauses of more than 4 s.
    """
    t, x, y = events.t, events.x, events.y
    if len(events):
        gaps = np.diff(t)
        if t[0] < 0 or t[0] >= 1 << _BITS or (len(gaps) and (gaps.min() < 0 or gaps.max() >= 1 << (_BITS - 1))):
            raise DataError(
                "40-bit events hold times from 0 to 8.39 s, in order and without pauses of 4 s; "
                f"these run from {int(t[0]):,} to {int(t[-1]):,} us; shift or cut them"
            )
        if x.max() > 255 or y.max() >= _MARK:
            raise DataError(f"40-bit events hold x to 255 and y to {_MARK - 1}, got {int(x.max())} and {int(y.max())}")
    out = np.empty((len(events), 5), np.uint8)
    out[:, 0], out[:, 1] = x, y
    out[:, 2] = (events.p << 7) | ((t >> 16) & 0x7F).astype(np.uint8)
    out[:, 3], out[:, 4] = (t >> 8) & 0xFF, t & 0xFF
    write_recording(path, out.tobytes())
