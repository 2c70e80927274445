"""Recordings in a folder or in a zip archive, one file each, named CLASS/NUMBER.ending."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from threegen.errors import DataError

LARGEST = 1 << 30  # bytes of one recording
_DAMAGE = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def recording_names(path: Path, endings: tuple[str, ...] = (".bin", ".bs2")) -> list[str]:
    """Return the names of all recordings below a folder or in a zip archive, in the order of their numbers.

    Raises `DataError` for another path, and for a damaged archive.
    """
    if path.is_dir():
        found = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.suffix.lower() in endings]
    else:
        with _opened(path) as archive:
            found = [info.filename for info in archive.infolist() if info.filename.lower().endswith(endings)]
    return sorted(found, key=_by_number)


def _by_number(name: str) -> tuple[str, int, str]:
    stem = PurePosixPath(name).stem
    digits = "".join(letter for letter in stem if letter.isdigit())
    return "", int(digits[:18]) if digits else -1, name


def recording_files(path: Path, endings: tuple[str, ...] = (".bin", ".bs2")) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of all recordings below a folder or in a zip archive, in the order of their numbers."""
    names = recording_names(path, endings)
    if path.is_dir():
        for name in names:
            yield name, (path / name).read_bytes()
        return
    with _opened(path) as archive:
        for name in names:
            yield name, read_member(archive, name, path.name)


def read_member(archive: zipfile.ZipFile, name: str, label: str) -> bytes:
    """Return one file of an archive; raises `DataError` if it is damaged or too large."""
    try:
        size = archive.getinfo(name).file_size
        if size > LARGEST:
            raise DataError(f"{label}: {name} has {size:,} bytes, more than a recording may have ({LARGEST:,})")
        return archive.read(name)
    except (*_DAMAGE, KeyError) as problem:
        if isinstance(problem, DataError):
            raise
        raise DataError(f"{label}: {name} is damaged: {problem}; get the archive again") from problem


def _opened(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected a folder or a zip archive of recordings CLASS/NUMBER.bin")
    try:
        return zipfile.ZipFile(path)
    except _DAMAGE as problem:
        raise DataError(f"{path.name} is not a complete zip archive: {problem}; get it again") from problem
