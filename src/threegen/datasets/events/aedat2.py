"""AEDAT 1.0 and 2.0, jAER's files: address and time per event, big-endian, after a text header.

    2.0: 32-bit address, 32-bit time in microseconds        1.0: 16-bit address, 32-bit time

Nothing marks the end of the header: it is the lines of printable text that begin with `#` and end with CR LF. Times are
signed; where one is smaller than the last by more than 2^31, the counter has wrapped and 2^32 is added.

| chip | row | column | polarity | not an event |
|---|---|---|---|---|
| DVS128 | bits 14..8 | bits 7..1 | bit 0, 0 = ON | any of bits 15..31 |
| DAVIS | bits 30..22 | bits 21..12 | bit 11, 1 = ON | bit 31 (a sample of the image), bit 10 (motion unit) |

Source: the file format's pages of iniVation and the chip classes of jAER. CIFAR10-DVS and MNIST-DVS are DVS128 files.
"""

from __future__ import annotations

import os

import numpy as np

from threegen.checks import require_choice
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
    write_recording,
)
from threegen.errors import ConfigError, DataError

CHIPS = {"dvs128": (128, 128), "davis240": (180, 240), "davis346": (260, 346), "davis640": (480, 640)}
ORIENTATIONS = ("spikingjelly", "jaer", "raw")
_AT = {"spikingjelly": "transposed and mirrored", "jaer": "as jAER draws", "raw": "as in the file"}


def read_aedat2(
    source: Source,
    *,
    chip: str | None = None,
    orientation: str | None = None,
    on: int | None = None,
    size: Size = None,
    start_at_zero: bool = False,
    repair: bool = False,
    name: str | None = None,
) -> Events:
    """Read an AEDAT 1.0 or 2.0 recording of a DVS128 or a DAVIS.

    Args:
        source: a path, or the file's bytes.
        chip: "dvs128", "davis240", "davis346" or "davis640". None takes the one that the header names, else DVS128.
        orientation: for the DVS128, whose origin is the lower left corner: "spikingjelly" gives x = 127 - row,
            y = 127 - column, the orientation behind most published accuracies of CIFAR10-DVS (transposed); "jaer" the
            picture as jAER draws it, x = 127 - column, y = 127 - row; "raw" the numbers of the file. None takes
            "spikingjelly" for the DVS128 and, for a DAVIS, "jaer": y = height - 1 - row.
        on: the value of the polarity bit that means ON. None means 0 for the DVS128, as in jAER and iniVation's library
            (an old page of the format says 1), and 1 for a DAVIS.
        size: the sensor's (height, width), if it is not the chip's.
        start_at_zero: subtract the time of the first event; by default times are kept.
        repair: drop events off the sensor and incomplete last bytes, and sort times, with a warning, instead of
            raising. name: the recording's name in messages; by default its file name.

    Raises `DataError`, with the event's number, for a fault, `ConfigError` for an unknown chip or orientation.
    """
    with opened(source, name) as (file, length, label):
        header = text_header(file, b"#", (b"\r\n",))
        version = _version(header, label)
        kind = _chip(header) if chip is None else require_choice("chip", chip, CHIPS)
        at = orientation or ("spikingjelly" if kind == "dvs128" else "jaer")
        require_choice("orientation", at, ORIENTATIONS)
        if at == "spikingjelly" and kind != "dvs128":
            raise ConfigError(f'orientation="spikingjelly" is for the DVS128, the chip is {kind}; choose jaer or raw')
        meaning = (0 if kind == "dvs128" else 1) if on is None else on
        if meaning not in (0, 1):
            raise ConfigError(f"on must be 0 or 1, the polarity bit that means ON, got {on!r}")
        sensor = sensor_size(size) or CHIPS[kind]
        record = 6 if version == 1 else 8
        sink = Sink((length - file.tell()) // record, sensor, label, repair, start_at_zero)
        odd_bytes(sink, length - file.tell(), record, "events")
        unwrap, skipped = Unwrap(32), 0
        for piece in read_records(file, [("address", ">u2" if version == 1 else ">u4"), ("time", ">i4")]):
            address, time = piece["address"].astype(np.int64), unwrap(piece["time"].astype(np.int64))
            row, column, bit, real = _places(address, kind)
            if not real.all():
                skipped += int((~real).sum())
                row, column, bit, time = row[real], column[real], bit[real], time[real]
            x, y = _turn(row, column, at, kind, sensor)
            sink.put(time, x, y, bit == meaning)
        return sink.close()


def _version(header: list[str], label: str) -> int:
    if not header or not header[0].startswith("#!AER-DAT"):
        return 1
    if header[0].startswith("#!AER-DAT1"):
        return 1
    if not header[0].startswith("#!AER-DAT2"):
        raise DataError(f"{label} begins with {header[0][:20]!r}; this reader takes AEDAT 1.0 and 2.0; use read_events")
    return 2


def _chip(header: list[str]) -> str:
    text = " ".join(header).lower()
    for kind in ("davis346", "davis640", "davis240", "davis"):
        if kind in text:
            return "davis240" if kind == "davis" else kind
    return "dvs128"


def _places(address: Array, chip: str) -> tuple[Array, Array, Array, Array]:
    """Return row, column, polarity bit and whether it is a change of brightness at all, of each address."""
    if chip == "dvs128":
        return (address >> 8) & 0x7F, (address >> 1) & 0x7F, address & 1, (address >> 15) == 0
    real = (address & (1 << 31 | 1 << 10)) == 0
    return (address >> 22) & 0x1FF, (address >> 12) & 0x3FF, (address >> 11) & 1, real


def _turn(row: Array, column: Array, orientation: str, chip: str, sensor: tuple[int, int]) -> tuple[Array, Array]:
    if orientation == "raw":
        return column, row
    if chip != "dvs128":
        return column, sensor[0] - 1 - row
    return (127 - row, 127 - column) if orientation == "spikingjelly" else (127 - column, 127 - row)


def write_aedat2(path: str | os.PathLike[str], events: Events, *, orientation: str = "spikingjelly") -> None:
    """Write a DVS128 recording as AEDAT 2.0; `read_aedat2` returns the same events.

    Raises `DataError` for places off the 128 x 128 sensor and for pauses of more than 35.8 minutes.
    """
    require_choice("orientation", orientation, ORIENTATIONS)
    t, x, y = events.t, events.x.astype(np.int64), events.y.astype(np.int64)
    if len(events):
        if max(x.max(), y.max()) > 127:
            raise DataError(
                f"a DVS128 has 128 x 128 pixels, got events at x={int(x.max())}, y={int(y.max())}; crop them"
            )
        gaps = np.diff(t)
        if t[0] < 0 or t[0] >= 1 << 31 or (len(gaps) and (gaps.min() < 0 or gaps.max() >= 1 << 31)):
            raise DataError(
                "AEDAT 2.0 holds times from 0 on, in order, the first within 35.8 minutes; shift or cut them"
            )
    row, column = {"spikingjelly": (127 - x, 127 - y), "jaer": (127 - y, 127 - x), "raw": (y, x)}[orientation]
    out = np.empty(len(events), [("address", ">u4"), ("time", ">u4")])
    out["address"] = (row << 8) | (column << 1) | (1 - events.p.astype(np.int64))
    out["time"] = t & 0xFFFFFFFF
    header = f"#!AER-DAT2.0\r\n# DVS128, {_AT[orientation]}, written by threegen\r\n"
    write_recording(path, header.encode() + out.tobytes())
