"""AEDAT 3.0 and 3.1, cAER's files, such as those of DVS128 Gesture: packets of events, little-endian.

A packet has a header of 28 bytes (type, source, size of an event, place of its time, overflows of the time, capacity,
number of events, number of valid ones) and `capacity` events. A polarity event has 8 bytes: bit 0 valid, bit 1
polarity (1 = ON), bits 2..16 row, bits 17..31 column; then the time in microseconds, to which the packet adds its
number of overflows times 2^31. Packets of other types are skipped by their length, events that are not valid are left
out. Version 3.1 counts rows from the top and ends its header with `#!END-HEADER`; 3.0 counts them from the bottom.

Source: iniVation's page on the format, AEDAT 3.1.
"""

from __future__ import annotations

import csv
import os
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np

from threegen.checks import require_whole
from threegen.datasets.events.stream import (
    Array,
    Events,
    Sink,
    Size,
    Source,
    opened,
    sensor_size,
    text_header,
    write_recording,
)
from threegen.errors import DataError

_HEADER = struct.Struct("<hhiiiiii")
_POLARITY, _TYPES = 1, 14
_GROUP = 4 << 20  # bytes of packets decoded at a time
_LARGEST_PACKET = 1 << 30
_END = b"#!END-HEADER"


def read_aedat3(
    source: Source,
    *,
    size: Size = (128, 128),
    start_at_zero: bool = False,
    repair: bool = False,
    name: str | None = None,
) -> Events:
    """Read the polarity events of an AEDAT 3.0 or 3.1 recording.

    Args:
        source: a path, or the file's bytes.
        size: the sensor's (height, width); None takes the smallest that holds all events.
        start_at_zero: subtract the time of the first event; by default times are kept (labels refer to them).
        repair: drop events off the sensor and sort times, with a warning, instead of raising. name: the recording's
            name in messages; by default its file name.

    A truncated last packet is read as far as possible, with a warning. Raises `DataError` for a damaged packet, with
    its position in the file, and for invalid events, with the event's number.
    """
    with opened(source, name) as (file, length, label):
        header = text_header(file, b"#", (b"\r\n", b"\n"), _END)
        upside_down = _upside_down(header, label)
        sink = Sink((length - file.tell()) // 8, sensor_size(size), label, repair, start_at_zero)
        if upside_down and sink.size is None:
            sink.note("rows of AEDAT 3.0 are counted from the bottom; give size= to turn the picture")
        walk = _Walk(file, length, sink)
        while (group := walk.next_group()) is not None:
            t, x, y, p = group
            if upside_down and sink.size is not None:
                y = sink.size[0] - 1 - y
            sink.put(t, x, y, p)
        return sink.close()


def _upside_down(header: list[str], label: str) -> bool:
    if not header or not header[0].startswith("#!AER-DAT3"):
        found = header[0][:20] if header else "no header"
        raise DataError(f"{label} begins with {found!r}; this reader takes AEDAT 3.0 and 3.1; use read_events")
    return header[0].startswith("#!AER-DAT3.0")


class _Walk:
    """Iterates over packets and decodes the polarity events of many at a time."""

    def __init__(self, file: IO[bytes], length: int, sink: Sink) -> None:
        self.file, self.length, self.sink = file, length, sink
        self.over = False

    def next_group(self) -> tuple[Array, Array, Array, Array] | None:
        """Return time, column, row and polarity of the next events [N]; None at the end."""
        bodies: list[Array] = []
        overflows: list[int] = []
        gathered = 0
        while gathered < _GROUP and not self.over:
            body = self._next_packet(overflows)
            if body is not None:
                bodies.append(body)
                gathered += body.nbytes
        if not bodies:
            return None
        word = np.concatenate(bodies)
        high = np.repeat(np.array(overflows, np.int64), [len(body) for body in bodies]) << 31
        valid = (word[:, 0] & 1) == 1
        if not valid.all():
            word, high = word[valid], high[valid]
        place = word[:, 0].astype(np.int64)
        return high + word[:, 1].astype(np.int64), place >> 17, (place >> 2) & 0x7FFF, (place >> 1) & 1

    def _next_packet(self, overflows: list[int]) -> Array | None:
        here = self.file.tell()
        head = self.file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            self.over = True
            if head:
                self.sink.note(f"the last packet, at byte {here:,}, ends in its header and was left out")
            return None
        kind, _, each, _, overflow, capacity, number, _ = _HEADER.unpack(head)
        whole = each * capacity
        wrong = not 0 <= kind < _TYPES or each <= 0 or not 0 <= number <= capacity or whole > _LARGEST_PACKET
        if wrong or (kind == _POLARITY and (each != 8 or overflow < 0)):
            raise DataError(
                f"{self.sink.name}: the packet at byte {here:,} is damaged: type {kind}, {each} bytes per event, "
                f"{number} of {capacity} events; get the file again"
            )
        there = min(whole, self.length - self.file.tell())
        if there < whole:
            self.over = True
            self.sink.note(f"the last packet, at byte {here:,}, is truncated: {there:,} of {whole:,} bytes")
        if kind != _POLARITY:
            self.file.seek(there, os.SEEK_CUR)
            return None
        content = self.file.read(there)
        overflows.append(overflow)
        return np.frombuffer(content, "<u4", 2 * min(number, there // 8)).reshape(-1, 2)


def write_aedat3(path: str | os.PathLike[str], events: Events, *, packet: int = 4096) -> None:
    """Write a recording as AEDAT 3.1, `packet` events at a time; `read_aedat3` returns the same events.

    Raises `DataError` for places beyond 32,767 and times below 0 or beyond 2^62 us.
    """
    require_whole("packet", packet)
    t = events.t
    if len(events) and (max(events.x.max(), events.y.max()) > 0x7FFF or t.min() < 0 or t.max() >= 1 << 62):
        raise DataError("AEDAT 3.1 holds places to 32,767 and times from 0 on; crop or shift the events")
    high = t >> 31
    # A packet has one number of overflows: begin another where it changes.
    cuts = [0, *(np.flatnonzero(np.diff(high)) + 1).tolist(), len(events)] if len(events) else [0]
    parts = [b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"]
    for begin, end in pairwise(cuts):
        for start in range(begin, end, packet):
            some = events.array[start : min(start + packet, end)]
            word = np.empty((len(some), 2), "<u4")
            word[:, 0] = some["x"].astype(np.uint32) << 17 | some["y"].astype(np.uint32) << 2 | some["p"] << 1 | 1
            word[:, 1] = some["t"] & 0x7FFFFFFF
            count = len(some)
            parts.append(_HEADER.pack(_POLARITY, 1, 8, 4, int(high[start]), count, count, count) + word.tobytes())
    write_recording(path, b"".join(parts))


@dataclass(frozen=True)
class Gesture:
    """One row of a label file of DVS128 Gesture: class 0..10 and the times, start <= t < end, in microseconds."""

    label: int
    start: int
    end: int


def read_gestures(path: str | os.PathLike[str]) -> list[Gesture]:
    """Read a label file of DVS128 Gesture: the header `class,startTime_usec,endTime_usec`, classes 1..11 in the file.

    Raises `DataError` that names the line for anything else.
    """
    file = Path(path)
    found: list[Gesture] = []
    try:
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{file.name} cannot be read as a label file: {problem}") from problem
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        try:
            label, start, end = (int(field) for field in row[:3])
        except ValueError as problem:
            raise DataError(
                f"{file.name}, line {number}: expected class,start,end as whole numbers, got {row}"
            ) from problem
        if not 1 <= label <= 11 or start >= end:
            raise DataError(f"{file.name}, line {number}: expected a class 1..11 and start < end, got {row}")
        found.append(Gesture(label - 1, start, end))
    return found


def cut_gesture(events: Events, gesture: Gesture) -> Events:
    """Return the events with start <= t < end of a gesture; times are kept."""
    begin, end = np.searchsorted(events.t, [gesture.start, gesture.end], "left")
    return events.pick(slice(int(begin), int(end)))
