"""Faults 1 to 8 of the list of faults: an IDX file is read exactly, or refused with one clear sentence."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from threegen.datasets.idx import read_idx, write_idx
from threegen.datasets.mnist import read_idx_pair
from threegen.errors import DataError


def idx(shape: tuple[int, ...], body: bytes, code: int = 8) -> bytes:
    """An IDX file from its definition, independent of `write_idx`."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + body


GOOD = idx((2, 3, 4), bytes(range(24)))


def test_reads_the_bytes_in_order() -> None:
    values = read_idx(GOOD, kind="images")
    assert values.dtype == np.uint8
    assert values.tolist() == np.arange(24).reshape(2, 3, 4).tolist()
    assert read_idx(gzip.compress(GOOD, mtime=0)).tolist() == values.tolist()


def test_values_are_big_endian() -> None:
    assert read_idx(idx((2,), b"\x00\x00\x00\x01\xff\xff\xff\xff", code=0x0C)).tolist() == [1, -1]
    # 1.5 is 0x3fc00000 in IEEE 754.
    assert read_idx(idx((1,), b"\x3f\xc0\x00\x00", code=0x0D)).tolist() == [1.5]


@pytest.mark.parametrize(
    ("content", "kind", "sentence"),
    [
        (idx((10, 28, 28), bytes(7056)), "images", "header announces 7,840 bytes (10, 28, 28), the body has 7,056"),
        (
            idx((2**31 - 1, 2**31 - 1, 4), b""),
            "images",
            "announces 18,446,744,056,529,682,436 bytes (2147483647, 2147483647, 4); the limit is 268,435,456 (max_b",
        ),
        (idx((0, 2**31, 2**31), b""), "images", "the limit is 268,435,456"),
        (idx((3,), b"abc"), "images", "magic 00000801 is labels (n); expected 00000803 images"),
        (GOOD, "labels", "magic 00000803 is images (n, rows, columns); expected 00000801 labels"),
        (b"PK\x03\x04....", "images", "magic 504b0304 is neither images nor labels; expected 00000803 images"),
        (b"PK\x03\x04....", None, "magic 504b0304 is not that of an IDX file"),
        (b"", "images", "0 bytes, too short for an IDX header of 16"),
        (GOOD[:5], "images", "5 bytes, too short for an IDX header of 16"),
        (GOOD[:3], "labels", "3 bytes, too short for an IDX header of 8"),
        (GOOD + b"x", "images", "header announces 24 bytes (2, 3, 4), the body has more"),
        (gzip.compress(GOOD + b"x", mtime=0), "images", "header announces 24 bytes (2, 3, 4), the body has more"),
        (gzip.compress(GOOD, mtime=0)[:-9], "images", "damaged gzip (it ends too early); delete it and fetch again"),
        (gzip.compress(GOOD, mtime=0)[:-4], "images", "damaged gzip (it ends too early); delete it and fetch again"),
        (
            gzip.compress(GOOD, mtime=0) + b"x",
            "images",
            "damaged gzip (other bytes follow its end); delete it and fetch",
        ),
        (gzip.compress(GOOD, mtime=0) * 2, "images", "damaged gzip (other bytes follow its end); delete it and fetch"),
        (b"\x1f\x8b", "images", "damaged gzip"),
        (idx((1,) * 200, b"x"), None, "is not that of an IDX file"),
    ],
)
def test_damage_is_named(content: bytes, kind: str | None, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        read_idx(content, kind=kind)


def test_flipped_bit_fails_the_crc() -> None:
    packed = bytearray(gzip.compress(idx((1, 28, 28), bytes(784)), 0))  # level 0: stored, so any flip still unpacks
    packed[400] ^= 1
    with pytest.raises(DataError, match=re.escape("damaged gzip (CRC check failed); delete it and fetch again")):
        read_idx(bytes(packed), kind="images")


def test_bomb_is_refused_at_small_memory() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(idx((1, 28, 28), b""))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    assert len(bomb) < 250_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"header announces 784 bytes .* the body has more"):
            read_idx(bomb, kind="images")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_huge_promise_costs_nothing() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="the body has 0"):
            read_idx(idx((300_000, 28, 28), b""), kind="images")  # 235 MB, below the limit
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_another_sum_is_refused_and_the_right_one_passes(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(GOOD, mtime=0))
    read_idx(path, sha256=hashlib.sha256(GOOD).hexdigest())
    expected = r"^train-images sha256 [0-9a-f]{4}\.\. != 440f\.\.: .*; delete it or pass verify=False$"
    with pytest.raises(DataError, match=expected):
        read_idx(path, sha256="440f" + "0" * 60)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nothing"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot read"):
        read_idx(tmp_path)


def test_unequal_lengths_are_named() -> None:
    images, labels = idx((3, 2, 2), bytes(12)), idx((2,), bytes(2))
    with pytest.raises(DataError, match="3 images but 2 labels"):
        read_idx_pair(images, labels, classes="0123456789")


def test_label_outside_the_classes_is_named() -> None:
    images, labels = idx((2, 2, 2), bytes(8)), idx((2,), b"\x00\x0a")
    with pytest.raises(DataError, match=re.escape("label 10 at index 1 is outside 0..9")):
        read_idx_pair(images, labels, classes="0123456789")


def test_no_images_are_an_empty_data_set() -> None:
    with pytest.raises(DataError, match="the data set is empty"):
        read_idx_pair(idx((0, 28, 28), b""), idx((0,), b""), classes="01")


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_what_is_written_is_read_again(tmp_path: Path, ending: str, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(kind)
    read = read_idx(write_idx(tmp_path / f"x{ending}", values))
    assert read.dtype == values.dtype
    assert np.array_equal(read, values)


def test_writer_names_what_idx_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got int64"):
        write_idx(tmp_path / "x", np.zeros(3, np.int64))
    with pytest.raises(DataError, match="dimensions"):
        write_idx(tmp_path / "x", np.array(3, np.uint8))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)))
@settings(max_examples=200, deadline=None)
def test_any_array_survives_a_round_trip(values: np.ndarray) -> None:
    assert np.array_equal(read_idx(idx(values.shape, values.tobytes())), values)


@given(st.binary(max_size=80), st.booleans(), st.sampled_from([None, "images", "labels"]))
@settings(max_examples=1500, deadline=None)
def test_any_bytes_are_read_or_refused(content: bytes, packed: bool, kind: str | None) -> None:
    source = gzip.compress(content, 1, mtime=0) if packed else content
    try:
        values = read_idx(source, kind=kind)
    except DataError:
        return
    assert content == idx(values.shape, content[4 + 4 * values.ndim :], code=content[2])


def test_no_mutation_crashes_the_reader() -> None:
    """100,000 files with one to three bytes changed, cut or doubled: each is read or gives a `DataError`."""
    random = np.random.default_rng(0)
    plain, packed = GOOD, gzip.compress(GOOD, mtime=0)
    refused = 0
    for number in range(100_000):
        content = bytearray(packed if number % 5 == 0 else plain)
        for _ in range(int(random.integers(1, 4))):
            content[int(random.integers(len(content)))] = int(random.integers(256))
        if number % 7 == 0:
            del content[int(random.integers(len(content))) :]
        try:
            read_idx(bytes(content))
        except DataError:
            refused += 1
    assert 30_000 < refused < 100_000
