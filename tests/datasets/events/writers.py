"""Writers of every event format for the tests: independent of the package, one event at a time, by the formats' pages.

An event is (t, x, y, p): microseconds, column, row from the top, 1 for ON.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

Event = tuple[int, int, int, int]


def bin40(events: Iterable[Event]) -> bytes:
    """N-MNIST: x, y, polarity and 23 bits of time; times wrap at 2^23."""
    out = b""
    for t, x, y, p in events:
        t %= 1 << 23
        out += bytes([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255])
    return out


def aedat2_dvs128(events: Iterable[Event], header: bytes = b"#!AER-DAT2.0\r\n") -> bytes:
    """The picture as SpikingJelly's reader of CIFAR10-DVS gives it: x = 127 - bits 14..8, y = 127 - bits 7..1."""
    out = header
    for t, x, y, p in events:
        address = ((127 - x) << 8) | ((127 - y) << 1) | (0 if p else 1)
        out += struct.pack(">II", address, t % (1 << 32))
    return out


def aedat1_dvs128(events: Iterable[Event]) -> bytes:
    """The same addresses in 16 bits, without a header."""
    out = b""
    for t, x, y, p in events:
        out += struct.pack(">HI", ((127 - x) << 8) | ((127 - y) << 1) | (0 if p else 1), t % (1 << 32))
    return out


def aedat2_davis(events: Iterable[Event], height: int, header: bytes) -> bytes:
    """DAVIS addresses: row from the bottom in bits 30..22, column 21..12, polarity bit 11."""
    out = header
    for t, x, y, p in events:
        out += struct.pack(">II", ((height - 1 - y) << 22) | (x << 12) | (p << 11), t)
    return out


def aedat3_packet(events: list[Event], *, valid: list[int] | None = None, capacity: int = 0) -> bytes:
    """One packet of polarity events of AEDAT 3.1; all share the overflow of the first time."""
    count = len(events)
    capacity = max(capacity, count)
    overflow = events[0][0] >> 31 if events else 0
    body = b""
    for number, (t, x, y, p) in enumerate(events):
        good = 1 if valid is None else valid[number]
        body += struct.pack("<II", (x << 17) | (y << 2) | (p << 1) | good, t & 0x7FFFFFFF)
    head = struct.pack("<hhiiiiii", 1, 0, 8, 4, overflow, capacity, count, sum(valid) if valid else count)
    return head + body + bytes(8 * (capacity - count))


def aedat3_other(kind: int, size: int, count: int) -> bytes:
    """A packet of another type, filled with ones."""
    head = struct.pack("<hhiiiiii", kind, 0, size, 4, 0, count, count, count)
    return head + b"\xff" * (size * count)


AEDAT3_HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"


def dat(events: Iterable[Event], header: bytes = b"% Data file\n% Version 2\n% Width 304\n% Height 240\n") -> bytes:
    """Prophesee's DAT: type 0x00, 8 bytes an event."""
    out = header + b"\x00\x08"
    for t, x, y, p in events:
        out += struct.pack("<II", t % (1 << 32), x | (y << 14) | (p << 28))
    return out


def evt2(events: Iterable[Event], header: bytes = b"% evt 2.0\n% geometry 64x48\n") -> bytes:
    """EVT 2.0: a word of high time whenever it changes."""
    out, high = header, None
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            out += struct.pack("<I", (8 << 28) | (high & 0xFFFFFFF))
        out += struct.pack("<I", (p << 28) | ((t & 63) << 22) | (x << 11) | y)
    return out


def evt3(events: Iterable[Event], header: bytes = b"% evt 3.0\n% geometry 64x48\n") -> bytes:
    """EVT 3.0 without vectors: high and low time and row whenever they change."""
    out = header
    state: list[Any] = [None, None, None]

    def word(kind: int, load: int) -> bytes:
        return struct.pack("<H", (kind << 12) | load)

    for t, x, y, p in events:
        now = [(t >> 12) & 0xFFF, t & 0xFFF, y]
        for place, kind in ((0, 8), (1, 6), (2, 0)):
            if state[place] != now[place]:
                out += word(kind, now[place])
        state = list(now)
        out += word(2, (p << 11) | x)
    return out


def as_tuples(array: Any) -> list[Event]:
    """Return a structured array of events as tuples."""
    return [(int(e["t"]), int(e["x"]), int(e["y"]), int(e["p"])) for e in array]
