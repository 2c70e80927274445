"""Events in memory: one structured array per recording, and the checks that all readers share.

An event is a time `t` in microseconds (int64), a column `x` and a row `y` counted from the upper left (uint16), and a
polarity `p` (uint8): 1 for ON (brighter), 0 for OFF (darker).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from threegen.checks import require_whole
from threegen.errors import ConfigError, DataError, warn_user

Array = np.ndarray[Any, Any]
Source = str | os.PathLike[str] | bytes
Size = tuple[int, int] | None

EVENT = np.dtype([("t", np.int64), ("x", np.uint16), ("y", np.uint16), ("p", np.uint8)], align=True)
CHUNK = 1 << 19  # records decoded at a time: temporary arrays stay within a few megabytes
MOST_SIDE = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The events of one recording.

    `array` has the fields `t`, `x`, `y`, `p` (see `EVENT`); `height` and `width` are the sensor's size in pixels;
    `notes` lists what the reader had to repair, one sentence each.
    """

    array: Array
    height: int
    width: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.array)

    @property
    def t(self) -> Array:
        """Times in microseconds, int64 `[N]`."""
        return self.array["t"]

    @property
    def x(self) -> Array:
        """Columns from the left, uint16 `[N]`."""
        return self.array["x"]

    @property
    def y(self) -> Array:
        """Rows from the top, uint16 `[N]`."""
        return self.array["y"]

    @property
    def p(self) -> Array:
        """Polarities, uint8 `[N]`: 1 for ON, 0 for OFF."""
        return self.array["p"]

    @property
    def duration(self) -> int:
        """The time from the first to the last event in microseconds; 0 without events."""
        return int(self.t[-1] - self.t[0]) if len(self) else 0

    def pick(self, chosen: Any) -> Events:
        """Return the events selected by a mask, a slice or indices, of the same sensor."""
        return replace(self, array=self.array[chosen])


def make_events(t: Any, x: Any, y: Any, p: Any, *, height: int, width: int) -> Events:
    """Return `Events` from four sequences of equal length.

    Raises `DataError` if their lengths differ, a place is off the sensor or a polarity is neither 0 nor 1.
    """
    parts = [np.asarray(part) for part in (t, x, y, p)]
    for name, part in zip("txyp", parts, strict=True):
        if part.size and part.dtype.kind not in "buif":
            raise DataError(f"{name} must hold numbers, got {part.dtype}")
    if len({part.shape for part in parts}) != 1 or parts[0].ndim != 1:
        raise DataError(f"t, x, y and p must be [N] alike, got {[list(part.shape) for part in parts]}")
    sink = Sink(len(parts[0]), (require_whole("height", height), require_whole("width", width)), "the events", True)
    if len(parts[3]) and (parts[3].min() < 0 or parts[3].max() > 1):
        raise DataError(f"polarities must be 0 or 1, got {parts[3].min()}..{parts[3].max()}")
    sink.refuse_outside(parts[1], parts[2])
    sink.put(*parts)
    return sink.close()


def write_recording(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a recording; raises `ConfigError` if no file can be written."""
    try:
        Path(path).write_bytes(content)
    except OSError as problem:
        raise ConfigError(f"{os.fspath(path)!r} cannot be written: {problem.strerror}; name a file") from problem


class Sink:
    """Collects the decoded events of a reader: checks places and the order of times, and reports the position of
    faults.

    Args:
        capacity: the expected number of events; memory grows if there are more.
        size: the sensor's (height, width); None takes the smallest that holds all events.
        name: the recording's name in messages. repair: False raises for places off the sensor and decreasing times,
            naming the first such event; True drops or sorts them, with a warning.
        start_at_zero: subtract the time of the first event.
    """

    def __init__(self, capacity: int, size: Size, name: str, repair: bool = False, start_at_zero: bool = False) -> None:
        self.size, self.name, self.repair, self.start_at_zero = size, name, repair, start_at_zero
        try:
            self.array = np.empty(capacity, EVENT)
        except (MemoryError, ValueError) as problem:
            raise DataError(f"{name} would give {capacity:,} events, more than fit into memory") from problem
        self.count = self.seen = self.dropped = 0
        self.last: int | None = None
        self.disordered = False
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Store a sentence on a repair; `close` warns with all of them."""
        self.notes.append(sentence)

    def put(self, t: Array, x: Array, y: Array, p: Array) -> None:
        """Append decoded events `[N]`; raises `DataError` for a fault if `repair` is off."""
        if not len(t):
            return
        first = self.seen
        self.seen += len(t)
        if self.size is not None and (not _within(x, self.size[1]) or not _within(y, self.size[0])):
            inside = (x >= 0) & (x < self.size[1]) & (y >= 0) & (y < self.size[0])
            if not self.repair:
                self.refuse_outside(x, y, first)
            self.dropped += int((~inside).sum())
            t, x, y, p = t[inside], x[inside], y[inside], p[inside]
            if not len(t):
                return
        self._check_order(t, first)
        end = self.count + len(t)
        if end > len(self.array):  # the system remaps pages, so both sizes are never in memory together
            self.array.resize(max(end, end + end // 8), refcheck=False)
        room = self.array[self.count : end]
        room["t"], room["x"], room["y"], room["p"] = t, x, y, p
        self.count, self.last = end, int(t[-1])

    def refuse_outside(self, x: Array, y: Array, first: int = 0) -> None:
        """Raise `DataError` naming the first event off the sensor, if there is one."""
        height, width = self.size or (MOST_SIDE, MOST_SIDE)
        outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
        if outside.any():
            at = int(outside.argmax())
            raise DataError(
                f"{self.name}: event {first + at:,} is at x={int(x[at])}, y={int(y[at])}, off the sensor of "
                f"{height} x {width} pixels; give the right size=(height, width), or repair=True to drop such events"
            )

    def _check_order(self, t: Array, first: int) -> None:
        at_start = self.last is not None and int(t[0]) < self.last
        if not at_start and not (t[1:] < t[:-1]).any():
            return
        back = t[1:] < t[:-1]
        if not self.repair:
            at = 0 if at_start else int(back.argmax()) + 1
            before = self.last if at_start else int(t[at - 1])
            raise DataError(
                f"{self.name}: time decreases at event {first + at:,}, from {before:,} to {int(t[at]):,} us; "
                "give repair=True to sort the events by time"
            )
        self.disordered = True

    def close(self) -> Events:
        """Return the events; warn once for each kind of repair."""
        self.array.resize(self.count, refcheck=False)  # frees the unused memory, in place
        found = self.array
        if self.dropped:
            self.note(f"{self.dropped:,} {'event' if self.dropped == 1 else 'events'} off the sensor dropped")
        if self.disordered:
            found = found[np.argsort(found["t"], kind="stable")]
            self.note("events were out of order and have been sorted by time")
        if self.start_at_zero and len(found):
            found["t"] -= found["t"][0]
        height, width = self.size or _smallest(found)
        for sentence in self.notes:
            warn_user(f"{self.name}: {sentence}")
        return Events(found, height, width, tuple(self.notes))


def _within(values: Array, side: int) -> bool:
    """Return whether all values are in 0..side - 1."""
    return bool(values.max() < side) and (values.dtype.kind == "u" or bool(values.min() >= 0))


def _smallest(found: Array) -> tuple[int, int]:
    if not len(found):
        return 1, 1
    return int(found["y"].max()) + 1, int(found["x"].max()) + 1


class Unwrap:
    """Unwraps times of `bits` bits that restart from the smallest value when they overflow.

    A decrease by more than half of the range is an overflow; a smaller one is kept as a decreasing time.
    """

    def __init__(self, bits: int) -> None:
        self.range, self.carried = 1 << bits, 0
        self.last: int | None = None

    def __call__(self, t: Array) -> Array:
        """Return the times `[N]` (int64), continuing those of earlier calls."""
        if not len(t):
            return t
        at_start = self.last is not None and int(t[0]) - self.last < -(self.range // 2)
        self.last = int(t[-1])
        falls = t[1:] - t[:-1] < -(self.range // 2)
        if not at_start and not falls.any():
            return t + self.carried * self.range if self.carried else t
        laps = self.carried + np.cumsum(np.concatenate([[at_start], falls]))
        self.carried = int(laps[-1])
        return np.asarray(t + laps * self.range)


@contextmanager
def opened(source: Source, name: str | None = None) -> Iterator[tuple[IO[bytes], int, str]]:
    """Open a path, or bytes as a file, and yield (file, its size in bytes, its name for messages)."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source), name or "the recording"
        return
    path = os.fspath(source)
    label = name or os.path.basename(path)
    try:
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size, label
    except OSError as problem:
        raise DataError(f"{label}: cannot read {path}: {problem.strerror or problem}") from problem


def read_records(file: IO[bytes], dtype: Any, size: int | None = None) -> Iterator[Array]:
    """Yield the records of a file from its current position, `CHUNK` at a time, without an incomplete last one.

    `size` is that of the file in bytes, if it is known: a small file then needs no more memory than its size.
    """
    kind = np.dtype(dtype)
    most = CHUNK * kind.itemsize if size is None else min(CHUNK * kind.itemsize, size + 1)
    while True:
        piece = file.read(most)
        whole = len(piece) // kind.itemsize
        if whole:
            yield np.frombuffer(piece, kind, whole)
        if len(piece) < most:
            return


def odd_bytes(sink: Sink, size: int, record: int, what: str) -> None:
    """Raise for bytes left after the last whole record of `record` bytes, or note them if `repair` is on."""
    left = size % record
    if left and not sink.repair:
        raise DataError(
            f"{sink.name}: the events have {size:,} bytes, {left} more than whole {what} of {record} bytes; "
            "get the file again, or give repair=True to drop them"
        )
    if left:
        last = "byte" if left == 1 else f"{left} bytes"
        sink.note(f"the last {last}, an incomplete {what.removesuffix('s')}, dropped")


def text_header(file: IO[bytes], mark: bytes, ends: tuple[bytes, ...], last: bytes | None = None) -> list[str]:
    """Read the header: lines of printable text that begin with `mark` and end with one of `ends`.

    It stops after the line `last`, or before the first other line, where the events begin.
    """
    lines: list[str] = []
    while True:
        here = file.tell()
        line = file.readline(1 << 20)
        body = line.rstrip(b"\r\n")
        printable = all(code >= 32 or code == 9 for code in body)
        if not line.startswith(mark) or not line.endswith(ends) or not printable:
            file.seek(here)
            return lines
        lines.append(body.decode("utf-8", "replace"))
        if last is not None and body.strip() == last:
            return lines


def sensor_size(size: Size) -> Size:
    """Return (height, width) if they are whole numbers within reach; otherwise raise `ConfigError`."""
    if size is None:
        return None
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ConfigError(f"size must be (height, width), got {size!r}")
    pair = require_whole("size", size[0]), require_whole("size", size[1])
    if max(pair) > MOST_SIDE:
        raise ConfigError(f"size must be at most {MOST_SIDE:,} pixels a side, got {size!r}")
    return pair
