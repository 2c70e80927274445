"""Stored pictures: in a folder of class folders, in an archive of one, or by a list file. Nothing is decoded here.

| kind    | form                                                                                           |
|---------|------------------------------------------------------------------------------------------------|
| folder  | `CLASS/PICTURE.png`, pictures in deeper folders belong to the class                              |
| archive | the same in a `.zip` or an uncompressed `.tar`, read in place, never unpacked; a compressed     |
|         | `.tar` is refused: single pictures cannot be read from it without unpacking all before them     |
| list    | `.lst`, or `.txt` of such lines: `PATH<tab, comma or blank>CLASS`, paths relative to the list     |

Each may have a training and a test part: the folders `train` and `test` (or `val`), in an archive too; for lists
`train.lst` and `test.lst` in one folder. Names are stored in one block of bytes, which worker processes share.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

import torch
from torch import Tensor

from threegen.datasets.images import ENDINGS
from threegen.errors import DataError

MOST_FILE_BYTES = 256 << 20
_TEST_PARTS = ("test", "val")
_LISTS = (".lst", ".txt")
_ARCHIVES = (".zip", ".tar")
_COMPRESSED = (*(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst")), ".tgz", ".tbz2", ".txz")
_COMPRESSION_MARKS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
_HIDDEN = (".", "_")

_BROKEN = (OSError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError, KeyError)

Member = tuple[str, int, int, int]  # name, bytes, offset in the archive, bytes of the deflated member or -1
Found = tuple[str, str, int, int, int]  # name, class, then as in Member


class Names(Sequence[str]):
    """Texts in one block of bytes: 100 bytes less per name than a list of texts, and shared between processes."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._block = b"".join(encoded)
        self._ends = torch.tensor([0, *map(len, encoded)], dtype=torch.int64).cumsum(0)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        first, end = int(self._ends[place]), int(self._ends[place + 1])
        return os.fsdecode(self._block[first:end])


@dataclass(frozen=True)
class PictureFiles:
    """Pictures that can be read one by one: `read(place)`.

    `root` is the folder or the archive, `kind` folder, zip or tar. `labels`, `sizes` (bytes), `offsets` (in
    the archive) and `packed` (bytes of a deflated member, else -1) are int64 `[N]`; `classes` names the labels. No file
    stays open.
    """

    root: Path
    kind: str
    names: Names
    labels: Tensor
    classes: tuple[str, ...]
    sizes: Tensor
    offsets: Tensor
    packed: Tensor

    def __len__(self) -> int:
        return len(self.names)

    def read(self, place: int) -> bytes:
        """Return the bytes of one file; raises `DataError` naming it if it is missing or too large."""
        name, size = self.names[place], int(self.sizes[place])
        if size > MOST_FILE_BYTES:
            raise DataError(f"{name} has {size:,} bytes; at most {MOST_FILE_BYTES:,} are read; shrink it")
        try:
            path = self.root / name if self.kind == "folder" else self.root
            with path.open("rb") as file:
                if self.kind == "folder":
                    return file.read(MOST_FILE_BYTES)
                file.seek(int(self.offsets[place]))
                return file.read(size) if self.kind == "tar" else _inflated(file, int(self.packed[place]), size)
        except _BROKEN as error:
            raise DataError(f"{name} cannot be read from {self.root.name}: {error}") from error


def _inflated(file: IO[bytes], packed: int, size: int) -> bytes:
    """Return the content of the zip member whose header is at the file's position: stored (packed < 0) or deflated."""
    header = file.read(30)
    if header[:4] != b"PK\x03\x04":
        raise ValueError("no member begins there")
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)
    return file.read(size) if packed < 0 else zlib.decompressobj(-15).decompress(file.read(packed), size)


def is_picture_store(path: Path) -> bool:
    """Tell whether a path is a list or an archive of pictures by its name and its first line; folders are not."""
    if not path.is_file():
        return False
    ending = path.suffix.lower()
    if path.name.lower().endswith(_COMPRESSED):
        return True  # `find_pictures` refuses it and says what to do
    return ending in _ARCHIVES or ending == ".lst" or (ending == ".txt" and _first_is_picture(path))


def find_pictures(path: Path) -> tuple[PictureFiles, PictureFiles | None]:
    """Return the pictures of a folder, an archive or a list: (all of them, None), or (training part, test part).

    Raises `DataError` if there are none, where an archive is damaged, compressed as a whole, or holds links, and if a
    list names a missing file.
    """
    if path.is_dir():
        for part in _TEST_PARTS:
            if (path / "train").is_dir() and (path / part).is_dir():
                return _pair(_folder(path / "train"), _folder(path / part), path)
            if (path / "train.lst").is_file() and (path / f"{part}.lst").is_file():
                return _pair(_list(path / "train.lst"), _list(path / f"{part}.lst"), path)
        return _folder(path), None
    if path.suffix.lower() in _LISTS:
        return _list(path), None
    return _archive_parts(path)


def _folder(root: Path) -> PictureFiles:
    found: list[Found] = []
    empty = []
    for child in sorted(root.iterdir()):
        if not child.is_dir() or child.name.startswith(_HIDDEN):
            continue
        inside = [(f"{child.name}/{name}", child.name, size, 0, -1) for name, size in _walk(child)]
        if not inside:
            empty.append(child.name)
        found += inside
    if not found or empty:
        which = f"{root / empty[0]} holds" if empty else f"{root} has no class folders with"
        raise DataError(f"{which} no pictures ({', '.join(ENDINGS)}); expected {root.name}/CLASS/PICTURE.png")
    return _made(root, "folder", found)


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield (path below `folder`, bytes) of its pictures in alphabetical order; only plain files are used."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from ((f"{entry.name}/{name}", size) for name, size in _walk(Path(entry.path)))
        elif entry.name.lower().endswith(ENDINGS) and entry.is_file():
            yield entry.name, entry.stat().st_size


def _list(path: Path) -> PictureFiles:
    found: list[Found] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, label = _fields(line)
        if not label:
            raise DataError(f"{path.name}, line {number}: expected PATH and CLASS, got {line[:80]!r}")
        file = path.parent / name
        if not file.is_file():
            raise DataError(f"{path.name}, line {number}: {name} does not exist; paths are relative to the list")
        found.append((name, label, file.stat().st_size, 0, -1))
    if not found:
        raise DataError(f"{path.name} names no picture; expected lines of PATH and CLASS")
    return _made(path.parent, "folder", found, numbers=True)


def _fields(line: str) -> tuple[str, str]:
    for mark in ("\t", ","):
        if mark in line:
            name, _, label = line.rpartition(mark)
            return name.strip(), label.strip()
    name, _, label = line.strip().rpartition(" ")
    return name.strip(), label.strip()


def _first_is_picture(path: Path) -> bool:
    with path.open("rb") as file:
        lines = file.read(65536).decode("utf-8", "replace").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return _fields(first)[0].lower().endswith(ENDINGS)


def _archive_parts(path: Path) -> tuple[PictureFiles, PictureFiles | None]:
    kind = path.suffix.lower()[1:]
    _refuse_compressed(path)
    try:
        members = _zip_members(path) if kind == "zip" else _tar_members(path)
        pictures = [one for one in members if one[0].lower().endswith(ENDINGS)]
    except _BROKEN as error:
        raise DataError(
            f"{path.name} cannot be read: {error}; expected a .zip or an uncompressed .tar of class folders"
        ) from error
    found = [(parts, one) for one in pictures if (parts := _visible(one[0]))]
    while len({parts[0] for parts, _ in found}) == 1 and all(len(parts) > 2 for parts, _ in found):
        found = [(parts[1:], one) for parts, one in found]
    deep = [(parts, one) for parts, one in found if len(parts) > 1]
    if not deep:
        raise DataError(f"{path.name} holds no class folders with pictures; expected CLASS/PICTURE.png inside")
    for part in _TEST_PARTS:
        if {parts[0] for parts, _ in deep} == {"train", part}:
            inside = [(parts, one) for parts, one in deep if len(parts) > 2]
            both = [
                _made(path, kind, [(one[0], parts[1], *one[1:]) for parts, one in inside if parts[0] == wanted])
                for wanted in ("train", part)
            ]
            return _pair(both[0], both[1], path)
    return _made(path, kind, [(one[0], parts[0], *one[1:]) for parts, one in deep]), None


def _refuse_compressed(path: Path) -> None:
    """Refuse a tar that is compressed as a whole, whatever its name."""
    with path.open("rb") as file:
        start = file.read(6)
    if path.name.lower().endswith(_COMPRESSED) or start.startswith(_COMPRESSION_MARKS):
        raise DataError(
            f"{path.name} is a compressed archive, from which single pictures cannot be read; unpack it and give the "
            f"folder: mkdir pictures && tar -xf {path.name} -C pictures (a .zip or a plain .tar is read in place)"
        )


def _visible(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in PurePosixPath(name).parts if part not in (".", "/"))
    return () if any(part.startswith(_HIDDEN) or part == ".." for part in parts[:-1]) else parts


def _zip_members(path: Path) -> list[Member]:
    with zipfile.ZipFile(path) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.filename)
    found = []
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"{path.name}: {entry.filename[:80]!r} is a link; do not trust this archive")
        if entry.is_dir():
            continue
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{path.name}: {entry.filename[:80]!r} is encrypted or not deflated; pack it as usual")
        packed = -1 if entry.compress_type == zipfile.ZIP_STORED else entry.compress_size
        found.append((entry.filename, entry.file_size, entry.header_offset, packed))
    return found


def _tar_members(path: Path) -> list[Member]:
    found = []
    with tarfile.open(path, mode="r:") as archive:
        for member in archive:
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise DataError(f"{path.name}: {member.name[:80]!r} is a link or a device; do not trust this archive")
            found.append((member.name, member.size, member.offset_data, -1))
    return sorted(found)


def _made(root: Path, kind: str, found: Sequence[Found], *, numbers: bool = False) -> PictureFiles:
    """Return the files with their classes in alphabetical order, or in numerical order if a list has numbers."""
    texts = {one[1] for one in found}
    numbered = numbers and all(text.isdecimal() and str(int(text)) == text for text in texts)
    classes = sorted(texts, key=int) if numbered else sorted(texts)
    places = {label: number for number, label in enumerate(classes)}
    columns = torch.tensor([(places[label], *rest) for _, label, *rest in found], dtype=torch.int64).reshape(-1, 4)
    labels, sizes, offsets, packed = (column.contiguous() for column in columns.unbind(1))
    return PictureFiles(root, kind, Names(one[0] for one in found), labels, tuple(classes), sizes, offsets, packed)


def _pair(train: PictureFiles, test: PictureFiles, path: Path) -> tuple[PictureFiles, PictureFiles]:
    """Return both parts with one list of classes; raises `DataError` for a test class that training lacks."""
    foreign = [name for name in test.classes if name not in train.classes]
    if foreign:
        raise DataError(f"{path.name}: the test part has the class {foreign[0]!r}, which the training part lacks")
    numbers = torch.tensor([train.classes.index(name) for name in test.classes])
    return train, replace(test, labels=numbers[test.labels], classes=train.classes)
