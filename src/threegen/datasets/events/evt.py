"""Prophesee's raw streams: EVT 2.0 (32-bit words) and EVT 3.0 (16-bit words), after text lines that begin with `%`.

EVT 2.0, by the upper 4 bits of a word: 0 OFF and 1 ON (6 low bits of the time, column 11 bits, row 11 bits), 8 the
upper 28 bits of the time.

EVT 3.0, by the upper 4 bits of a word: 0 row; 2 column and polarity, an event; 3 first column and polarity of a vector;
4 and 5 the next 12 and 8 pixels, an event for each bit that is set; 6 and 8 the low and high 12 bits of the time. Each
value holds until another comes. A high word that decreases by more than half its range has wrapped; nothing is inferred
from a decreasing low word.

Source: Prophesee's pages on both formats.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np

from threegen.checks import require_choice
from threegen.datasets.events.prophesee import header_size
from threegen.datasets.events.stream import (
    Array,
    Events,
    Sink,
    Size,
    Source,
    Unwrap,
    odd_bytes,
    opened,
    read_records,
    sensor_size,
    text_header,
)
from threegen.errors import DataError

ORDERS = {"little": "<", "big": ">"}
_WIDTHS = np.zeros(16, np.int64)
_WIDTHS[4], _WIDTHS[5] = 12, 8
_BIT = np.arange(12)
_BITS_SET = np.array([bin(number).count("1") for number in range(1 << 12)], np.int64)


def read_evt(
    source: Source,
    *,
    version: int | None = None,
    size: Size = None,
    order: str = "little",
    start_at_zero: bool = False,
    repair: bool = False,
    name: str | None = None,
) -> Events:
    """Read the brightness changes of an EVT 2.0 or EVT 3.0 stream (`.raw`).

    Args:
        source: a path, or the file's bytes.
        version: 2 or 3; None takes the header's.
        size: the sensor's (height, width). None takes the header's, else the smallest that holds all events.
        order: byte order of the words, "little" or, on some sensors, "big".
        start_at_zero: subtract the time of the first event; by default times are kept.
        repair: drop events off the sensor and incomplete last bytes, and sort times, with a warning, instead of
            raising. name: the recording's name in messages; by default its file name.

    Events before the first word of time have none; they are left out with a warning. Raises `DataError` for a header
    that does not say which version it is, and for faults, with the event's number.
    """
    require_choice("order", order, ORDERS)
    with opened(source, name) as (file, length, label):
        header = text_header(file, b"%", (b"\n",), b"% end")
        known = _version(header, label) if version is None else version
        if known not in (2, 3):
            raise DataError(f"{label}: EVT version must be 2 or 3, got {known!r}")
        sensor = sensor_size(size) or header_size(header)
        begin, word = file.tell(), np.dtype(ORDERS[order] + ("u4" if known == 2 else "u2"))
        most = (length - begin) // 4 if known == 2 else _count_events(file, word)
        file.seek(begin)
        sink = Sink(most, sensor, label, repair, start_at_zero)
        odd_bytes(sink, length - begin, word.itemsize, "words")
        decoder: Any = _Evt2(sink) if known == 2 else _Evt3(sink)
        for piece in read_records(file, word):
            decoder.decode(piece.astype(np.int64))
        if decoder.untimed:
            sink.note(f"{decoder.untimed:,} events come before the first word of time and were left out")
        return sink.close()


def _version(header: list[str], label: str) -> int:
    text = "\n".join(header).lower()
    for known in (2, 3):
        if f"evt {known}.0" in text or f"format evt{known}" in text:
            return known
    raise DataError(f"{label}: its header does not say EVT 2.0 or EVT 3.0; give version=2 or version=3")


def _held(values: Array, set_here: Array, before: int | None) -> tuple[Array, int | None]:
    """Return at each word the last value that was set, -1 before there is any; and the one that holds at the end."""
    last = np.maximum.accumulate(np.where(set_here, np.arange(len(values)), -1))
    held = np.where(last >= 0, values[last], -1 if before is None else before)
    return held, (None if int(held[-1]) < 0 else int(held[-1]))


class _Evt2:
    """Decodes words of EVT 2.0; the upper part of the time holds from piece to piece."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.untimed = sink, 0
        self.high: int | None = None
        self.unwrap = Unwrap(28)

    def decode(self, word: Array) -> None:
        kind = word >> 28
        is_high = kind == 8
        value = np.zeros(len(word), np.int64)
        value[is_high] = self.unwrap(word[is_high] & 0xFFFFFFF)
        high, self.high = _held(value, is_high, self.high)
        chosen = kind <= 1
        self.untimed += int((chosen & (high < 0)).sum())
        chosen &= high >= 0
        word, high = word[chosen], high[chosen]
        self.sink.put(high << 6 | (word >> 22 & 0x3F), word >> 11 & 0x7FF, word & 0x7FF, word >> 28)


def _count_events(file: IO[bytes], word: Any) -> int:
    """Return the number of events in the words of EVT 3.0."""
    total = 0
    for piece in read_records(file, word):
        kind = piece >> 12
        total += int((kind == 2).sum())
        total += int(_BITS_SET[piece[kind == 4] & 0xFFF].sum()) + int(_BITS_SET[piece[kind == 5] & 0xFF].sum())
    return total


class _Evt3:
    """Decodes words of EVT 3.0; row, base, low and high time hold from piece to piece."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.untimed = sink, 0
        self.row: int | None = None
        self.base: int | None = None  # column | polarity << 11, before the vectors that have moved it on
        self.moved = 0
        self.low: int | None = None
        self.high: int | None = None
        self.unwrap = Unwrap(12)

    def decode(self, word: Array) -> None:
        kind, load = word >> 12, word & 0xFFF
        row, self.row = _held(load & 0x7FF, kind == 0, self.row)
        low, self.low = _held(load, kind == 6, self.low)
        lap = np.zeros(len(word), np.int64)
        is_high = kind == 8
        lap[is_high] = self.unwrap(load[is_high])
        high, self.high = _held(lap, is_high, self.high)
        base, step = self._bases(kind, load)
        vector = (kind == 4) | (kind == 5)
        counts = np.where(kind == 2, 1, 0)
        bits = np.where(kind == 5, load & 0xFF, load)
        counts[vector] = _BITS_SET[bits[vector]]
        known = (high >= 0) & (low >= 0) & (row >= 0) & (base >= 0)
        known[kind == 2] = ((high >= 0) & (low >= 0) & (row >= 0))[kind == 2]
        self.untimed += int(counts[~known].sum())
        counts[~known] = 0
        start = np.concatenate([[0], np.cumsum(counts)])
        column = np.empty(int(start[-1]), np.int64)
        single = (kind == 2) & known
        column[start[:-1][single]] = load[single] & 0x7FF
        rows = np.flatnonzero(vector & known)
        mask = (bits[rows, None] >> _BIT) & 1 == 1
        line, bit = np.nonzero(mask)
        place = start[rows[line]] + (np.cumsum(mask, 1)[line, bit] - 1)
        column[place] = (base[rows] & 0x7FF)[line] + step[rows[line]] + bit
        polarity = np.where(kind == 2, load >> 11, base >> 11)
        of = np.repeat(np.arange(len(word)), counts)
        self.sink.put((high << 12 | low)[of], column, row[of], polarity[of])

    def _bases(self, kind: Array, load: Array) -> tuple[Array, Array]:
        """Return at each word the base that holds (-1 before there is any) and how far vectors have moved it on."""
        before = self.base
        base, self.base = _held(load, kind == 3, before)
        moved = np.concatenate([[0], np.cumsum(_WIDTHS[kind])])
        last = np.maximum.accumulate(np.where(kind == 3, np.arange(len(kind)), -1))
        step = moved[:-1] - np.where(last >= 0, moved[last], -self.moved)
        self.moved = int(step[-1] + _WIDTHS[kind[-1]]) if self.base is not None else 0
        return base, step
