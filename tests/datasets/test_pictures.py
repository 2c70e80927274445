"""Folders of class folders of pictures, single pictures, and what pictures can do wrong."""

from __future__ import annotations

import io
import re
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.images import read_image_folder
from threegen.datasets.load import load_data
from threegen.datasets.pictures import open_picture, read_picture
from threegen.errors import ConfigError, DataError, ResourceError

Image = pytest.importorskip("PIL.Image")


def save(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims any size: signature, header, and a few compressed bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for label, class_name in enumerate(("cat", "dog")):
        for number in range(5):
            save(folder / class_name / f"{number}.png", np.full((4, 6), 51 * (label + 1) + number, np.uint8))
    (folder / "cat" / "notes.txt").write_text("not a picture")
    (folder / ".hidden").mkdir()
    return folder


def test_class_folders(pets: Path) -> None:
    data = read_image_folder(pets)
    assert data.classes == ("cat", "dog")
    assert data.inputs.shape == (10, 1, 4, 6)
    assert data.targets.tolist() == [0] * 5 + [1] * 5
    assert data.inputs[:, 0, 0, 0].tolist() == pytest.approx([(51 * (k // 5 + 1) + k % 5) / 255 for k in range(10)])


def test_colour_and_size(pets: Path) -> None:
    assert read_image_folder(pets, channels=3).shape == (3, 4, 6)
    assert read_image_folder(pets, size=8).shape == (1, 8, 8)
    assert read_image_folder(pets, size=(2, 3)).shape == (1, 2, 3)
    save(pets / "cat" / "9.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(DataError, match=re.escape("cat/9.png is 1 x 5 x 6, cat/0.png is 1 x 4 x 6; give size=")):
        read_image_folder(pets)
    assert len(read_image_folder(pets, size=4)) == 11
    for options in ({"size": 0}, {"size": (1, 2, 3)}, {"channels": 2}):
        with pytest.raises(ConfigError):
            read_image_folder(pets, **options)


def test_red_green_blue_in_this_order(tmp_path: Path) -> None:
    values = np.zeros((2, 3, 3), np.uint8)
    values[0, 1] = (255, 102, 0)
    picture = open_picture(save(tmp_path / "x.png", values))
    assert picture.shape == (3, 2, 3)
    assert picture[:, 0, 1].tolist() == [255, 102, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_white_is_one_in_every_mode(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        path = save(tmp_path / "x.png", np.full((3, 3), 65535, np.uint16))
    else:
        path = save(tmp_path / "x.png", np.full((3, 3), 255, np.uint8), mode)
    assert read_picture(path, (1, 3, 3)).unique().tolist() == [1.0]
    assert read_picture(path, (3, 6, 6)).unique().tolist() == [1.0]


def test_sixteen_bits_are_scaled_and_transparency_is_black(tmp_path: Path) -> None:
    half = save(tmp_path / "half.png", np.full((2, 2), 32768, np.uint16))
    assert open_picture(half).flatten().tolist() == [127] * 4
    clear = np.full((2, 2, 4), 255, np.uint8)
    clear[0, 0, 3] = 0
    assert open_picture(save(tmp_path / "clear.png", clear))[0].tolist() == [[0, 255], [255, 255]]


def test_dark_on_light_is_inverted_on_request(tmp_path: Path) -> None:
    values = np.full((28, 28), 255, np.uint8)
    values[10:18, 10:18] = 0
    path = save(tmp_path / "x.png", values)
    assert read_picture(path)[0, 0, 0] == 1
    assert read_picture(path, invert=True)[0, 0, 0] == 0
    assert read_picture(path, invert=None)[0, 14, 14] == 1
    dark = save(tmp_path / "dark.png", 255 - values)
    assert read_picture(dark, invert=None)[0, 14, 14] == 1
    with pytest.raises(ConfigError, match="the model takes"):
        read_picture(path, (784,))


@pytest.mark.parametrize(("width", "height"), [(2001, 2000), (9000, 8960), (12800, 12800), (20032, 20032)])
def test_picture_bombs_are_refused_before_decoding(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"4,000,000"):
            open_picture(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_damaged_and_disguised_pictures_are_named(tmp_path: Path) -> None:
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n", png_header(300, 300)[:-40], b"GIF89a"):
        path = tmp_path / "x.png"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.png cannot be read as a picture"):
            open_picture(path)
    with pytest.raises(DataError, match="cannot be read"):
        open_picture(tmp_path / "nothing.png")


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((3, 3), k * 90, np.uint8)) for k in range(3)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="is an animation"):
        open_picture(tmp_path / "x.gif")


def test_no_mutation_crashes_the_reader(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (8, 8), dtype=np.uint8)
    path = tmp_path / "x"
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM"):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, kind)
        original = buffer.getvalue()
        for _ in range(60):
            content = bytearray(original)
            for _ in range(int(random.integers(1, 4))):
                content[int(random.integers(len(content)))] = int(random.integers(256))
            path.write_bytes(content)
            try:
                open_picture(path)
            except DataError:
                continue


def test_wrong_folders_are_named(tmp_path: Path, pets: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_image_folder(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no sub-folders"):
        read_image_folder(tmp_path / "empty")
    with pytest.raises(DataError, match="holds no class folders"):
        load_data(tmp_path / "empty")
    (pets / "mouse").mkdir()
    with pytest.raises(DataError, match="mouse holds no pictures"):
        read_image_folder(pets)


def test_more_than_memory_is_foreseen(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threegen.datasets.images.MAX_BYTES", 100)
    with pytest.raises(ResourceError, match="10 pictures of 1 x 4 x 6 need"):
        read_image_folder(pets)


def test_load_data_takes_folders(pets: Path, tmp_path: Path) -> None:
    whole = load_data(pets)
    assert (len(whole.train), len(whole.test), whole.classes) == (8, 2, ("cat", "dog"))
    both = tmp_path / "both"
    both.mkdir()
    pets.rename(both / "train")
    save(both / "test" / "cat" / "1.png", np.zeros((4, 6), np.uint8))
    data = load_data(both)
    assert (len(data.train), len(data.test)) == (10, 1)
    save(both / "test" / "fish" / "1.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match="the classes differ"):
        load_data(both)


def test_a_test_part_without_a_middle_class_is_refused(pets: Path, tmp_path: Path) -> None:
    """Labels would shift: the dogs of the test part would be counted as class 0."""
    both = tmp_path / "both"
    both.mkdir()
    pets.rename(both / "train")
    save(both / "test" / "dog" / "1.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match="the classes differ"):
        load_data(both)


def test_without_pillow_the_message_says_what_to_install(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=re.escape('pip install "threegen[images]"')):
        read_image_folder(pets)
