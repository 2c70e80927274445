"""Find and verify the files of a known data set among files, folders or archives from a user or a mirror."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from threegen.datasets.archives import is_archive, read_members
from threegen.datasets.catalogue import KnownData, KnownFile
from threegen.datasets.cifar10 import check_records
from threegen.datasets.idx import read_idx
from threegen.datasets.sums import compare_sum
from threegen.errors import DataError

_MOST_ENTRIES = 100_000
_ADVICE = "nothing was imported"


def gather(known: KnownData, paths: Sequence[Path]) -> dict[str, bytes]:
    """Return the verified content of every file of a data set, under its storage name (`.gz` if compressed).

    Raises `DataError` if a file is missing, damaged or not the published one, or an archive cannot be trusted.
    """
    candidates = _candidates(known, paths)
    missing = [file.name for file in known.files if not candidates[file.name]]
    if missing:
        raise DataError(
            f"{known.name}: found no {', '.join(missing)} in {', '.join(str(path) for path in paths)}; "
            "give the folder, the archive or all the files"
        )
    stored: dict[str, bytes] = {}
    for file in known.files:
        content = _first_good(known, file, candidates[file.name])
        stored[file.name + (".gz" if is_packed(content) else "")] = content
    return stored


def is_packed(content: bytes) -> bool:
    """Tell whether bytes are a gzip stream."""
    return content.startswith(b"\x1f\x8b")


def most_bytes(file: KnownFile) -> int:
    """Return the largest size of a file: its decompressed length, or a little more (gzip can expand by some bytes)."""
    return file.length + file.length // 100 + 4096


def verify_content(known: KnownData, file: KnownFile, content: bytes) -> None:
    """Raise `DataError` if `content`, gzip-compressed or not, is not the published file."""
    values = _unpack(file, content) if is_packed(content) else content
    digest = hashlib.sha256(values).hexdigest()
    if digest == file.sha256:
        return
    # A wrong sum says little: a check of the structure can name the damage.
    if known.kind == "idx":
        read_idx(values, kind="images" if "images" in file.name else "labels", name=file.name)
    else:
        check_records(values, file.name, file.length)
    compare_sum(file.name, digest, file.sha256, _ADVICE)


def _unpack(file: KnownFile, content: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        values = stream.decompress(content, file.length + 1)
    except zlib.error as error:
        raise DataError(f"{file.name}: damaged gzip ({error}); delete it and fetch again") from error
    if len(values) > file.length:
        raise DataError(f"{file.name}: expected {file.length:,} bytes, the file has more; {_ADVICE}")
    if not stream.eof or stream.unused_data:
        reason = "other bytes follow its end" if stream.eof else "it ends too early"
        raise DataError(f"{file.name}: damaged gzip ({reason}); delete it and fetch again")
    return values


def _first_good(known: KnownData, file: KnownFile, candidates: list[Path | bytes]) -> bytes:
    """A folder may hold several data sets whose files have equal names: take the file whose sum is right."""
    first_error: DataError | None = None
    for candidate in candidates:
        try:
            content = candidate if isinstance(candidate, bytes) else _read_file(candidate, most_bytes(file))
            verify_content(known, file, content)
            return content
        except DataError as error:
            first_error = first_error or error
    raise first_error or DataError(f"{known.name}: found no {file.name}")


def _read_file(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path.name}: cannot read {path}: {error.strerror or error}") from error
    if len(content) > most:
        raise DataError(f"{path.name}: more than the {most:,} bytes that were expected; {_ADVICE}")
    return content


def _variants(known: KnownData) -> dict[str, KnownFile]:
    """Return the file names under which a data set's files are distributed."""
    names: dict[str, KnownFile] = {}
    for file in known.files:
        for name in (file.name, file.name.replace("-idx", ".idx")):
            names[name] = names[name + ".gz"] = file
    return names


def _candidates(known: KnownData, paths: Sequence[Path]) -> dict[str, list[Path | bytes]]:
    names = _variants(known)
    found: dict[str, list[Path | bytes]] = {file.name: [] for file in known.files}
    archives: list[Path] = []
    for path in _files(paths):
        if path.name in names:
            found[names[path.name].name].append(path)
        elif path in paths and "python" in path.name and known.kind == "cifar":
            raise DataError(
                f"{path.name} is the Python version, a pickle; pickles can run code and are never opened; "
                f"get {known.archive.name if known.archive else 'the binary version'}"
            )
        elif is_archive(path) and (path in paths or (known.archive and path.name == known.archive.name)):
            archives.append(path)
        elif path in paths:
            raise DataError(
                f"{path.name} is not a file of {known.name}; expected {', '.join(f.name for f in known.files)}"
            )
    for path in archives:
        wanted = {name: most_bytes(file) for name, file in names.items()}
        for name, content in read_members(path, wanted).items():
            found[names[name].name].append(content)
    return found


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from _walk(path)
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path} does not exist; give a file, a folder or an archive")


def _walk(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > _MOST_ENTRIES:
                raise DataError(f"{folder} holds more than {_MOST_ENTRIES:,} files; give the folder of the data set")
            yield Path(place, name)
