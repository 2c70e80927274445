"""A strict reader and a writer of IDX, the file format of MNIST.

The format: two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit number,
then the values in C order. The reader reads the header, then exactly the number of bytes that it announces, never more:
a small file that would expand without limit is rejected using little memory.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from threegen.checks import require_choice
from threegen.datasets.sums import compare_sum
from threegen.errors import DataError

MAX_BYTES = 268_435_456
_MAX_DIMENSIONS = 8
_CHUNK = 65_536

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(text).newbyteorder("="): code for code, text in _TYPES.items()}
_KINDS = {"images": 0x00000803, "labels": 0x00000801}
_MAGIC_NAMES = {0x00000803: "images (n, rows, columns)", 0x00000801: "labels (n)"}

Source = str | os.PathLike[str] | bytes


def read_idx(
    source: Source,
    *,
    kind: str | None = None,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
    sha256: str | None = None,
) -> np.ndarray[Any, Any]:
    """Return the array of an IDX file, gzip-compressed or not, given as a path or as bytes.

    kind: `"images"` (magic 00000803) or `"labels"` (magic 00000801); None takes any type and up to 8 dimensions.
    name: the file's name in error messages; by default its file name. max_bytes: the largest size that a header may
    announce. sha256: if given, the sum (hexadecimal) that the decompressed bytes, header included, must have.

    Raises `DataError` if the file is missing, damaged, longer or shorter than announced, or not the published one.
    """
    if kind is not None:
        require_choice("kind", kind, _KINDS)
    label = name or ("IDX bytes" if isinstance(source, bytes) else _stem(Path(source).name))
    with _opened(source, label) as raw:
        body = _Gzip(raw, label) if _starts_as_gzip(raw) else _Plain(raw)
        digest = hashlib.sha256()
        dtype, shape = _read_header(body, digest, kind, label, max_bytes)
        values = _read_values(body, digest, dtype, shape, label)
    if sha256 is not None:
        compare_sum(label, digest.hexdigest(), sha256)
    return values


def write_idx(path: str | os.PathLike[str], values: np.ndarray[Any, Any]) -> Path:
    """Write an array as IDX, gzip-compressed if the name ends in `.gz`; return the path.

    values: 1 to 8 dimensions of uint8, int8, int16, int32, float32 or float64; else `DataError`.
    """
    code = _CODES.get(values.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise DataError(f"IDX holds {known}; got {values.dtype}; convert with .astype(...)")
    if not 1 <= values.ndim <= _MAX_DIMENSIONS or max(values.shape) >= 2**32:
        raise DataError(f"IDX holds 1 to {_MAX_DIMENSIONS} dimensions below 2^32, got shape {values.shape}")
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    body = header + values.astype(_TYPES[code]).tobytes()
    target = Path(path)
    # mtime=0: the same array gives the same file.
    target.write_bytes(gzip.compress(body, 6, mtime=0) if target.suffix == ".gz" else body)
    return target


def _stem(filename: str) -> str:
    for ending in (".gz", "-idx3-ubyte", "-idx1-ubyte", ".idx3-ubyte", ".idx1-ubyte"):
        filename = filename.removesuffix(ending)
    return filename


@contextmanager
def _opened(source: Source, label: str) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        with open(source, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{label}: cannot read {os.fspath(source)}: {error.strerror or error}") from error


def _starts_as_gzip(raw: BinaryIO) -> bool:
    start = raw.read(2)
    raw.seek(0)
    return start == b"\x1f\x8b"


class _Plain:
    """The bytes of a file as they are."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def chunk(self, most: int) -> bytes:
        """Return 1 to `most` bytes, or none at the end of the file."""
        return self._raw.read(most)


class _Gzip:
    """The bytes inside one gzip member; never holds more than one chunk beyond the requested bytes."""

    def __init__(self, raw: BinaryIO, label: str) -> None:
        self._raw = raw
        self._label = label
        self._stream = zlib.decompressobj(wbits=31)

    def chunk(self, most: int) -> bytes:
        """Return 1 to `most` bytes, or none at the (verified) end of the member and of the file."""
        while not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._raw.read(_CHUNK)
            try:
                # With no input left, the stream may still hold bytes: it yields them, or it is truncated.
                values = self._stream.decompress(packed, most)
            except zlib.error as error:
                reason = "CRC check failed" if "check" in str(error) else "invalid data"
                raise self._damage(reason) from error
            if values:
                return values
            if not packed and not self._stream.eof:
                raise self._damage("it ends too early")
        if self._stream.unused_data or self._raw.read(1):
            raise self._damage("other bytes follow its end")
        return b""

    def _damage(self, reason: str) -> DataError:
        return DataError(f"{self._label}: damaged gzip ({reason}); delete it and fetch again")


def _read_exactly(body: _Plain | _Gzip, digest: hashlib._Hash, count: int) -> bytearray:
    """Return `count` bytes, or fewer if the body ends; memory grows with the bytes that exist, not with the announced
    size."""
    values = bytearray()
    while len(values) < count:
        piece = body.chunk(min(count - len(values), 1 << 20))
        if not piece:
            break
        digest.update(piece)
        values += piece
    return values


def _read_header(
    body: _Plain | _Gzip, digest: hashlib._Hash, kind: str | None, label: str, max_bytes: int
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    start = _read_exactly(body, digest, 4)
    wanted = {"images": 16, "labels": 8, None: 8}[kind]
    if len(start) < 4:
        raise _too_short(label, len(start), wanted)
    magic = int.from_bytes(start, "big")
    if kind is not None and magic != _KINDS[kind]:
        found = _MAGIC_NAMES.get(magic, "neither images nor labels")
        raise DataError(f"{label}: magic {magic:08x} is {found}; expected {_KINDS[kind]:08x} {kind}")
    code, dimensions = start[2], start[3]
    if start[0] or start[1] or code not in _TYPES or not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataError(f"{label}: magic {magic:08x} is not that of an IDX file, such as 00000803 for images")
    sizes = _read_exactly(body, digest, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _too_short(label, 4 + len(sizes), 4 + 4 * dimensions)
    dtype = np.dtype(_TYPES[code])
    shape = struct.unpack(f">{dimensions}I", sizes)
    # Zero counts as one here: numpy refuses (0, 2^31, 2^31) although it holds nothing.
    promised = math.prod(max(1, size) for size in shape) * dtype.itemsize
    if promised > max_bytes:
        raise DataError(
            f"{label}: header announces {promised:,} bytes {shape}; the limit is {max_bytes:,} (max_bytes=)"
        )
    return dtype, shape


def _too_short(label: str, found: int, wanted: int) -> DataError:
    return DataError(f"{label}: {found} bytes, too short for an IDX header of {wanted}; delete it and fetch again")


def _read_values(
    body: _Plain | _Gzip, digest: hashlib._Hash, dtype: np.dtype[Any], shape: tuple[int, ...], label: str
) -> np.ndarray[Any, Any]:
    promised = math.prod(shape) * dtype.itemsize
    values = _read_exactly(body, digest, promised)
    if len(values) < promised:
        raise DataError(
            f"{label}: header announces {promised:,} bytes {shape}, the body has {len(values):,}; fetch it again"
        )
    if body.chunk(1):
        raise DataError(f"{label}: header announces {promised:,} bytes {shape}, the body has more; fetch it again")
    array = np.frombuffer(values, dtype=dtype).reshape(shape)
    return array if dtype.itemsize == 1 else array.astype(dtype.newbyteorder("="))
