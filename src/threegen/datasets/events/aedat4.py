"""AEDAT 4, the files of iniVation's DV software: packets of several streams, compressed one by one.

The file begins with `#!AER-DAT4.0`, CR LF, and a size-prefixed flatbuffer `IOHE`: the compression, the place of the
table at the end (-1 if the recording was not closed), and an XML text that lists the streams. Then come packets: the
stream's number and the size (int32 each), and that many bytes, which hold a size-prefixed flatbuffer. In the streams of
type `EVTS` it holds one vector of events of 16 bytes: time in microseconds (int64), column and row (int16), ON (bool).
All numbers are little-endian. Frames, triggers and measurements of motion are skipped.

The packages lz4 and zstandard decompress (`pip install "threegen[events]"`). iniVation's format has a reader in the
package `aedat`, which ends the whole process on some damaged files; so the container is read here.

Source: iniVation's page on the format, AEDAT 4.0; flatbuffers' page on its binary form.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np

from threegen.datasets.events.stream import Array, Events, Sink, Size, Source, opened, sensor_size
from threegen.errors import DataError, MissingExtraError

_START = b"#!AER-DAT4.0\r\n"
_EVENT = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "itemsize": 16})
_LARGEST_HEADER, _LARGEST_PACKET = 1 << 24, 1 << 28  # bytes; a camera's packets hold ten milliseconds, far below


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
        repair: drop events off the sensor and sort times, with a warning, instead of raising. name: the recording's
            name in messages; by default its file name.

    A truncated last packet is left out with a warning: the format allows it for an interrupted recording. Raises
    `MissingExtraError` without the packages for decompression, `DataError` for a damaged file, with the position in the
    file, and for invalid events, with the event's number.
    """
    with opened(source, name) as (file, length, label):
        head = _read_head(file, length, label)
        chosen = _choose(head.streams, stream, label)
        sink = Sink(0, sensor_size(size) or head.streams[chosen], label, repair, start_at_zero)
        for piece in _packets_of(file, head, chosen, sink):
            sink.put(piece["t"], piece["x"].astype(np.int64), piece["y"].astype(np.int64), piece["p"] & 1)
        return sink.close()


@dataclass(frozen=True)
class _Head:
    compression: int
    end: int  # where the packets end, in bytes
    streams: dict[int, Size]  # the streams of events and their sensors' (height, width)


def _read_head(file: IO[bytes], length: int, label: str) -> _Head:
    start = file.read(len(_START))
    if start != _START:
        raise DataError(f"{label} begins with {start[:14]!r}, not with AEDAT 4's {_START[:12]!r}; use read_events")
    size = int.from_bytes(file.read(4), "little")
    if size > min(length, _LARGEST_HEADER):
        raise _damaged(label, len(_START), f"its header would take {size:,} of {length:,} bytes")
    table = _Table.at_root(file.read(size), b"IOHE", label, len(_START))
    compression, end = table.number(0, "<i"), table.number(1, "<q", -1)
    text = table.bytes(2)
    streams: dict[int, Size] = {}
    try:
        root = ElementTree.fromstring(text.decode("utf-8"))
        for node in root.iterfind("./node[@name='outInfo']/node"):
            facts = {attr.get("key"): attr.text or "" for attr in node.iter("attr")}
            if facts.get("typeIdentifier") == "EVTS":
                streams[int(node.get("name", ""))] = int(facts["sizeY"]), int(facts["sizeX"])
        for sensor in streams.values():
            sensor_size(sensor)
    except (ElementTree.ParseError, ValueError, KeyError) as problem:
        raise _damaged(label, len(_START) + 4, f"its list of streams cannot be read: {problem}") from problem
    return _Head(compression, end if file.tell() <= end <= length else length, streams)


def _choose(streams: dict[int, Size], stream: int | None, label: str) -> int:
    if stream is None and len(streams) == 1:
        return next(iter(streams))
    if stream is None or stream not in streams:
        raise DataError(f"{label} has the streams of events {sorted(streams)}; choose one of them with stream=")
    return stream


def _packets_of(file: IO[bytes], head: _Head, stream: int, sink: Sink) -> Iterator[Array]:
    """Yield the events `[N]` of each packet of a stream."""
    decompress = _decompressor(head.compression, sink.name)
    while (here := file.tell()) < head.end:
        which, size = struct.unpack("<ii", file.read(8).ljust(8, b"\xff"))
        left = head.end - here
        if size < 0 and left >= 8:
            raise _damaged(sink.name, here, f"a packet would take {size:,} bytes")
        if not 0 <= size <= left - 8:
            sink.note(f"the last packet, at byte {here:,}, is truncated and was left out: {left:,} bytes")
            return
        if which != stream:
            file.seek(size, 1)
            continue
        try:
            content = decompress(file.read(size))
        except Exception as problem:  # each of the packages raises its own error types
            raise _damaged(sink.name, here, f"a packet cannot be decompressed: {problem}") from problem
        yield _Table.at_root(content[4:], b"EVTS", sink.name, here).vector(0, _EVENT)


def _decompressor(compression: int, label: str) -> Callable[[bytes], bytes]:
    """Return the function that decompresses a packet's bytes, to at most `_LARGEST_PACKET`."""
    if compression == 0:
        return lambda content: content
    try:
        import lz4.frame
        import zstandard
    except ImportError as problem:
        raise MissingExtraError.of("an AEDAT 4 file", str(problem.name), "events") from problem
    if compression in (1, 2):

        def decompress(content: bytes) -> bytes:
            engine = lz4.frame.LZ4FrameDecompressor()
            out: bytes = engine.decompress(content, max_length=_LARGEST_PACKET)
            if not engine.eof:
                raise ValueError("its end is missing, or it is too large")
            return out

        return decompress
    if compression in (3, 4):
        limit = zstandard.ZstdDecompressor(max_window_size=_LARGEST_PACKET)

        def from_zstd(content: bytes) -> bytes:
            with limit.stream_reader(content) as reader:
                pieces = []
                while piece := reader.read(1 << 20):
                    pieces.append(piece)
                    if len(pieces) << 20 > _LARGEST_PACKET:
                        raise ValueError("it is too large")
                return b"".join(pieces)

        return from_zstd
    raise _damaged(label, len(_START) + 4, f"its compression is {compression}; 0 to 4 are known")


class _Table:
    """A table of a flatbuffer: fields by number, each found through a list of offsets; every access is checked."""

    def __init__(self, content: bytes, at: int, fail: Callable[[str], DataError]) -> None:
        self.content, self.at, self.fail = content, at, fail
        where = at - self._read("<i", at)
        self.offsets = where, self._read("<H", where)

    @classmethod
    def at_root(cls, content: bytes, identifier: bytes, label: str, place: int) -> _Table:
        """Return the table that a buffer begins with; `place` is its position in the file."""

        def fail(what: str) -> DataError:
            return _damaged(label, place, what)

        if content[4:8] != identifier:
            raise fail(f"expected {identifier.decode()}, found {content[4:8]!r}")
        return cls(content, int.from_bytes(content[:4], "little"), fail)

    def _read(self, form: str, at: int) -> int:
        if not 0 <= at <= len(self.content) - struct.calcsize(form):
            raise self.fail(f"an offset leads to byte {at:,} of {len(self.content):,}")
        return int(struct.unpack_from(form, self.content, at)[0])

    def _field(self, number: int) -> int | None:
        where, size = self.offsets
        entry = 4 + 2 * number
        offset = self._read("<H", where + entry) if entry + 2 <= size else 0
        return self.at + offset if offset else None

    def number(self, number: int, form: str, otherwise: int = 0) -> int:
        """Return a number, or `otherwise` if the field is absent."""
        at = self._field(number)
        return otherwise if at is None else self._read(form, at)

    def vector(self, number: int, dtype: Any) -> Array:
        """Return a vector `[N]` of fixed structs; empty if the field is absent."""
        at = self._field(number)
        if at is None:
            return np.empty(0, dtype)
        at += self._read("<I", at)
        count, each = self._read("<I", at), np.dtype(dtype).itemsize
        if count * each > len(self.content) - at - 4:
            raise self.fail(f"{count:,} entries of {each} bytes do not fit into {len(self.content):,} bytes")
        return np.frombuffer(self.content, dtype, count, at + 4)

    def bytes(self, number: int) -> bytes:
        """Return a text's bytes."""
        return self.vector(number, np.dtype("u1")).tobytes()


def _damaged(label: str, place: int, what: str) -> DataError:
    return DataError(f"{label} is damaged at byte {place:,}: {what}; get the file again")
