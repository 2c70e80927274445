"""Prophesee's DAT files, such as those of N-Cars: text lines that begin with `%`, then 8 bytes per event.

After the text: the type of the events (0x00 or 0x0C for changes of brightness) and their size, a byte each. An event
is, little-endian, its time in microseconds (32 bits, wraps) and a word: column bits 0..13, row bits 14..27, polarity
bits 28..31.

Source: Prophesee's page on the DAT format.
"""

from __future__ import annotations

import re

import numpy as np

from threegen.datasets.events.stream import (
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

CHANGES = (0x00, 0x0C)


def read_dat(
    source: Source,
    *,
    size: Size = None,
    start_at_zero: bool = False,
    repair: bool = False,
    name: str | None = None,
) -> Events:
    """Read the brightness changes of a DAT file.

    Args:
        source: a path, or the file's bytes.
        size: the sensor's (height, width). None takes the header's, else the smallest that holds all events.
        start_at_zero: subtract the time of the first event; by default times are kept.
        repair: drop events off the sensor and incomplete last bytes, and sort times, with a warning, instead of
            raising. name: the recording's name in messages; by default its file name.

    Raises `DataError` for files of triggers and the like, and for faults, with the event's number.
    """
    with opened(source, name) as (file, length, label):
        header = text_header(file, b"%", (b"\n",), b"% end")
        kind = file.read(2)
        if len(kind) < 2 or kind[0] not in CHANGES or kind[1] != 8:
            found = ", ".join(str(code) for code in kind) or "nothing"
            raise DataError(
                f"{label}: expected events of type 0 or 12 with 8 bytes each after the header, found {found}; "
                "triggers and other types are not read"
            )
        body = length - file.tell()
        sink = Sink(body // 8, sensor_size(size) or header_size(header), label, repair, start_at_zero)
        odd_bytes(sink, body, 8, "events")
        unwrap = Unwrap(32)
        for piece in read_records(file, [("time", "<u4"), ("word", "<u4")]):
            word = piece["word"].astype(np.int64)
            polarity = (word >> 28) & 1
            sink.put(unwrap(piece["time"].astype(np.int64)), word & 0x3FFF, (word >> 14) & 0x3FFF, polarity)
        return sink.close()


def header_size(header: list[str]) -> Size:
    """Return (height, width) as the lines of a header of Prophesee's formats state it, or None."""
    text = "\n".join(header)
    found = re.search(r"geometry:?\s*(\d{1,5})x(\d{1,5})", text)
    width, height = found.groups() if found else (None, None)
    for line in (r"[Ww]idth[ =](\d{1,5})", r"[Hh]eight[ =](\d{1,5})"):
        match = re.search(line, text)
        if match and line.startswith("[W"):
            width = match[1]
        elif match:
            height = match[1]
    if width is None or height is None or not int(width) or not int(height):
        return None
    return sensor_size((int(height), int(width))) if max(int(width), int(height)) <= 1 << 15 else None
