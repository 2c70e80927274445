"""Fault 30 and its kin: archives that leave the folder, link elsewhere, lie about sizes or are damaged."""

from __future__ import annotations

import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.archives import read_members
from threegen.errors import DataError

WANTED = {"a.bin": 100, "b.bin": 100}


def tar_of(*members: tuple[str, bytes], mode: str = "w:gz") -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    file.seek(0)
    return file


def tar_with(info: tarfile.TarInfo) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(info)
    file.seek(0)
    return file


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    file.seek(0)
    return file


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "zip"])
def test_wanted_members_are_read_from_any_folder(mode: str) -> None:
    members = (("package/data/a.bin", b"one"), ("package/b.bin", b"two"), ("c.bin", b"not wanted"))
    file = zip_of(*members) if mode == "zip" else tar_of(*members, mode=mode)
    assert read_members(file, WANTED) == {"a.bin": b"one", "b.bin": b"two"}


@pytest.mark.parametrize("name", ["../a.bin", "x/../../a.bin", "/etc/a.bin", "C:/a.bin", "..\\a.bin", "\\a.bin"])
def test_members_that_leave_the_folder_are_refused(name: str) -> None:
    for file in (tar_of((name, b"x")), zip_of((name, b"x")), tar_of(("a.bin", b"x"), (name + "x", b"x"))):
        with pytest.raises(DataError, match="archive member leaves the folder"):
            read_members(file, WANTED)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    info = tarfile.TarInfo("a.bin")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match="is a link or a device"):
        read_members(tar_with(info), WANTED)


def test_links_in_a_zip_are_refused() -> None:
    info = zipfile.ZipInfo("a.bin")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match="is a link or a device"):
        read_members(zip_of((info, b"/etc/passwd")), WANTED)


def test_oversized_members_are_refused() -> None:
    for file in (tar_of(("a.bin", bytes(101))), zip_of(("a.bin", bytes(101)))):
        with pytest.raises(DataError, match=r"a\.bin has 101 bytes; at most 100 were expected"):
            read_members(file, WANTED)


def test_a_zip_that_lies_about_a_size_is_refused() -> None:
    honest, lie = (5000).to_bytes(4, "little"), (50).to_bytes(4, "little")
    content = zip_of(("a.bin", bytes(5000))).getvalue().replace(honest, lie)
    with pytest.raises(DataError):
        read_members(io.BytesIO(content), WANTED)


def test_bombs_are_refused_at_small_memory() -> None:
    bomb = tar_of(("unwanted", bytes(60_000_000)), ("a.bin", b"x"))
    assert len(bomb.getvalue()) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="the archive expands to more than 50,000,000 bytes"):
            read_members(bomb, WANTED, max_bytes=50_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_a_bomb_in_a_header_is_refused() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 40_000_000
    file = io.BytesIO(info.tobuf() + b"a" * 40_000_000)
    with pytest.raises(DataError, match=r"a header of 40,000,\d+ bytes"):
        read_members(file, WANTED)


def test_two_members_of_one_name_must_agree() -> None:
    assert read_members(tar_of(("x/a.bin", b"1"), ("y/a.bin", b"1")), WANTED) == {"a.bin": b"1"}
    with pytest.raises(DataError, match=r"two different members are called a\.bin"):
        read_members(tar_of(("x/a.bin", b"1"), ("y/a.bin", b"2")), WANTED)


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    for content in (b"", b"hello", b"\x1f\x8bhello", b"PK\x03\x04hello", b"BZh9hello"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.tar\.gz: damaged archive"):
            read_members(path, WANTED)


def test_no_mutation_crashes_the_reader() -> None:
    random = np.random.default_rng(0)
    originals = [
        tar_of(("p/a.bin", b"one" * 9), ("p/b.bin", b"two"), mode=mode).getvalue() for mode in ("w", "w:gz", "w:bz2")
    ]
    originals.append(zip_of(("p/a.bin", b"one" * 9), ("p/b.bin", b"two")).getvalue())
    refused = 0
    for number in range(4000):
        content = bytearray(originals[number % 4])
        for _ in range(int(random.integers(1, 5))):
            content[int(random.integers(min(len(content), 1100)))] = int(random.integers(256))
        if number % 9 == 0:
            del content[int(random.integers(len(content))) :]
        try:
            read_members(io.BytesIO(bytes(content)), WANTED)
        except DataError:
            refused += 1
    assert 1000 < refused < 4000
