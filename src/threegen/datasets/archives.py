"""Safe reading of tar and zip archives: wanted files only, into memory, within stated limits.

Nothing is ever unpacked to a path that an archive names. An archive with a member outside the folder, or with a link,
is rejected as a whole. A member that is larger than expected is not read further. A single huge read (a bomb in a
header) and a stream longer than the limit are rejected.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from threegen.errors import DataError

_MOST_MEMBERS = 20_000
_MOST_AT_ONCE = 4 << 20
_CHUNK = 1 << 20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
    NotImplementedError,
    RuntimeError,
)


def is_archive(path: Path) -> bool:
    """Return whether a file's name is that of an archive that `read_members` reads."""
    name = path.name.lower()
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2"))


def read_members(
    source: Path | IO[bytes], wanted: Mapping[str, int], *, name: str | None = None, max_bytes: int = 1 << 30
) -> dict[str, bytes]:
    """Return the content of wanted members by their file name, from any sub-folder of the archive.

    source: a path or an open seekable file; a zip or a tar, plain or compressed by gzip or bzip2.
    wanted: file names and the largest size of each in bytes. name: the archive's name in error messages; by default its
    file name. max_bytes: the largest size to which the whole archive may expand while it is searched.

    Raises `DataError` if the archive is damaged, holds links or members that leave the folder, has two different
    members of one wanted name, or is larger than allowed.
    """
    label = name or (source.name if isinstance(source, Path) else "archive")
    try:
        if not isinstance(source, Path):
            return _read(source, label, wanted, max_bytes)
        with source.open("rb") as file:
            return _read(file, label, wanted, max_bytes)
    except DataError:
        raise
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{label}: damaged archive ({reason}); delete it and fetch again") from error


def _read(file: IO[bytes], label: str, wanted: Mapping[str, int], max_bytes: int) -> dict[str, bytes]:
    start = file.read(4)
    file.seek(0)
    if start in (b"PK\x03\x04", b"PK\x05\x06"):
        return _collect(label, wanted, _zip_members(label, file))
    return _collect(label, wanted, _tar_members(label, file, start, max_bytes))


Member = tuple[str, int, IO[bytes]]


def _collect(label: str, wanted: Mapping[str, int], members: Iterator[Member]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, size, file in members:
        base = PurePosixPath(name).name
        if base not in wanted:
            continue
        if size > wanted[base]:
            raise DataError(f"{label}: {name} has {size:,} bytes; at most {wanted[base]:,} were expected")
        content = _read_up_to(file, wanted[base])
        if content is None:
            raise DataError(f"{label}: {name} has more than the {wanted[base]:,} bytes that were expected")
        if found.setdefault(base, content) != content:
            raise DataError(f"{label}: two different members are called {base}; give the right file or folder")
    return found


def _read_up_to(file: IO[bytes], most: int) -> bytes | None:
    pieces: list[bytes] = []
    left = most + 1
    while left > 0 and (piece := file.read(min(left, _CHUNK))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces) if left > 0 else None


def _check_name(label: str, name: str) -> str:
    """Return a member's name with forward slashes; raise for a name outside the folder."""
    plain = name.replace("\\", "/")
    drive = len(plain) > 1 and plain[1] == ":"
    if plain.startswith("/") or drive or ".." in plain.split("/") or "\0" in plain:
        raise DataError(f"{label}: archive member leaves the folder: {name[:80]!r}; do not trust this archive")
    return plain


def _refuse_link(label: str, name: str) -> DataError:
    return DataError(f"{label}: archive member is a link or a device: {name[:80]!r}; do not trust this archive")


def _too_many(label: str) -> DataError:
    return DataError(f"{label}: more than {_MOST_MEMBERS:,} members; give the folder or the files instead")


def _zip_members(label: str, source: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        if len(entries) > _MOST_MEMBERS:
            raise _too_many(label)
        for entry in entries:
            _check_name(label, entry.filename)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise _refuse_link(label, entry.filename)
        for entry in entries:
            if not entry.is_dir():
                with archive.open(entry) as file:
                    yield _check_name(label, entry.filename), entry.file_size, file


def _tar_members(label: str, source: IO[bytes], start: bytes, max_bytes: int) -> Iterator[Member]:
    with _decompressed(source, start) as stream:
        limited = cast(IO[bytes], _Limited(stream, label, max_bytes))
        with tarfile.open(fileobj=limited, mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= _MOST_MEMBERS:
                    raise _too_many(label)
                name = _check_name(label, member.name)
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise _refuse_link(label, member.name)
                file = archive.extractfile(member)
                if file is not None:
                    yield name, member.size, file


@contextmanager
def _decompressed(source: IO[bytes], start: bytes) -> Iterator[IO[bytes]]:
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(source, "rb") as stream:
            yield cast(IO[bytes], stream)
    elif start.startswith(b"BZh"):
        with bz2.open(source, "rb") as stream:
            yield cast(IO[bytes], stream)
    else:
        yield source


class _Limited(io.RawIOBase):
    """A stream that raises for reads beyond a limit, or for a single read larger than any valid header needs."""

    def __init__(self, stream: IO[bytes], name: str, limit: int) -> None:
        super().__init__()
        self._stream = stream
        self._name = name
        self._limit = limit

    def _check(self, end: int) -> None:
        if end > self._limit:
            raise DataError(f"{self._name}: the archive expands to more than {self._limit:,} bytes; do not trust it")

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MOST_AT_ONCE:
            raise DataError(f"{self._name}: damaged archive (a header of {size:,} bytes); do not trust it")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only seeks from the start")
        self._check(offset)
        return self._stream.seek(offset)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
