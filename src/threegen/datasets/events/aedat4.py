"""AEDAT 4, the files of iniVation's DV software, through the package `aedat` (`pip install "threegen[events]"`)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from threegen.datasets.events.stream import Events, Sink, Size, Source, sensor_size
from threegen.errors import DataError, MissingExtraError


def read_aedat4(
    source: Source,
    *,
    stream: int | None = None,
    size: Size = None,
    start_at_zero: bool = False,
    repair: bool = False,
    name: str | None = None,
) -> Events:
    """Read the events of an AEDAT 4 recording.

    Args:
        source: a path, or the file's bytes.
        stream: the number of the stream of events; None takes the only one.
        size: the sensor's (height, width); None takes the header's.
        start_at_zero: subtract the time of the first event; by default times are kept.
        repair: drop events off the sensor and sort times, with a warning, instead of refusing.
        name: what messages call the recording; by default its file name.

    Raises `MissingExtraError` without the package, `DataError` for a damaged file, with the event's number for faults.
    """
    if isinstance(source, bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recording.aedat4"
            path.write_bytes(source)
            return _read(path, stream, size, start_at_zero, repair, name or "the recording")
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{path.name}: cannot read {path}: no such file")
    return _read(path, stream, size, start_at_zero, repair, name or path.name)


def _read(path: Path, stream: int | None, size: Size, start_at_zero: bool, repair: bool, label: str) -> Events:
    try:
        import aedat
    except ImportError as problem:
        raise MissingExtraError.of("an AEDAT 4 file", "aedat", "events") from problem
    try:
        decoder: Any = aedat.Decoder(str(path))
        streams = {number: facts for number, facts in decoder.id_to_stream().items() if facts["type"] == "events"}
    except Exception as problem:  # the package raises its own kinds, plain exceptions among them
        raise DataError(f"{label} cannot be read as AEDAT 4: {problem}") from problem
    if stream is None and len(streams) == 1:
        stream = next(iter(streams))
    if stream is None or stream not in streams:
        raise DataError(f"{label} has the streams of events {sorted(streams)}; choose one of them by stream=")
    facts = streams[stream]
    sensor = sensor_size(size) or (int(facts["height"]), int(facts["width"]))
    pieces = _packets(decoder, stream, label)
    sink = Sink(sum(len(piece) for piece in pieces), sensor, label, repair, start_at_zero)
    pieces.reverse()
    while pieces:  # each piece is freed once it is copied: both together take no more memory than one
        piece = pieces.pop()
        on = piece["on"] if "on" in piece.dtype.names else piece["p"]
        x, y = piece["x"].astype(np.int64), piece["y"].astype(np.int64)
        sink.put(piece["t"].astype(np.int64), x, y, on)
    return sink.close()


def _packets(decoder: Any, stream: int, label: str) -> list[Any]:
    pieces: list[Any] = []
    try:
        for packet in decoder:
            if packet["stream_id"] == stream and "events" in packet:
                pieces.append(packet["events"])
    except Exception as problem:  # see above; it stops at frame formats that it does not know
        if not pieces:
            raise DataError(f"{label} cannot be read as AEDAT 4: {problem}") from problem
        raise DataError(
            f"{label}: the package aedat stopped after {sum(map(len, pieces)):,} events: {problem}"
        ) from problem
    return pieces
