"""Digits of any size and place in MNIST's form, and pictures of them as users have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from threegen.datasets.images import read_image_folder
from threegen.datasets.load import load_data
from threegen.datasets.mnist_form import mnist_form
from threegen.datasets.pictures import open_picture, read_digit
from threegen.errors import DataError, ShapeError

Image = pytest.importorskip("PIL.Image")


def test_mnist_itself_has_this_form() -> None:
    """Of 300 test images nearly all come back as they are, but for ink fainter than a twentieth."""
    images = load_data("mnist").test.inputs[:300]
    same = [float((mnist_form(one[0]) - one).abs().max()) < 0.06 for one in images]
    assert sum(same) >= 285


def test_a_small_digit_in_a_corner_is_found() -> None:
    """Twice as large, off centre, on a page of 90 x 120: nearly the image itself again."""
    alike = []
    images = load_data("mnist").test.inputs[:50]
    for one in images:
        page = torch.zeros(90, 120)
        page[3:59, 61:117] = F.interpolate(one[None], scale_factor=2, mode="bilinear")[0, 0]
        found = mnist_form(page)
        box = (found[0] > 0.05).nonzero()
        assert int((box.max(0).values - box.min(0).values).max()) + 1 in (19, 20)
        alike.append(float(torch.corrcoef(torch.stack([found.ravel(), one.ravel()]))[0, 1]))
    assert sum(alike) / len(alike) > 0.9  # enlarged and shrunk again
    assert min(alike) > 0.7


def test_centre_of_mass_and_empty_pages() -> None:
    page = torch.zeros(40, 40)
    page[5:35, 20] = 1  # a stroke without width
    found = mnist_form(page)[0]
    rows = (found.sum(1) * torch.arange(28)).sum() / found.sum()
    columns = (found.sum(0) * torch.arange(28)).sum() / found.sum()
    assert abs(float(rows) - 14) <= 0.5
    assert abs(float(columns) - 14) <= 0.5
    with pytest.raises(DataError, match="the page is empty"):
        mnist_form(torch.zeros(28, 28))
    with pytest.raises(ShapeError, match=r"takes ink \[H, W\]"):
        mnist_form(torch.zeros(1, 28, 28))


def digit_values(scale: int = 8) -> np.ndarray:
    """A three of MNIST, enlarged, as bytes of ink."""
    image = load_data("mnist").test.inputs[18]
    return (255 * F.interpolate(image[None], scale_factor=scale, mode="bilinear")[0, 0]).byte().numpy()


def test_pictures_as_users_have_them(tmp_path: Path) -> None:
    """Black on white, grey paper, black ink on a transparent page, a photograph of 12 megapixels: one digit."""
    ink = digit_values()
    plain = load_data("mnist").test.inputs[18]
    clear = np.zeros((*ink.shape, 4), np.uint8)
    clear[..., 3] = ink
    photo = np.full((3000, 4000), 200, np.uint8)
    photo[1000:2120, 2000:3120] = np.minimum(200, 255 - digit_values(40))
    pictures = {
        "white.png": Image.fromarray(255 - ink),
        "grey.png": Image.fromarray((230 - 0.8 * ink).astype(np.uint8)),
        "clear.png": Image.fromarray(clear),
        "light.png": Image.fromarray(ink),
        "photo.jpg": Image.fromarray(photo),
        "photo.png": Image.fromarray(photo),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
        found = read_digit(tmp_path / name)
        alike = torch.corrcoef(torch.stack([found.ravel(), plain.ravel()]))[0, 1]
        assert float(alike) > 0.9, name
    with pytest.raises(DataError, match="12,000,000 pixels; the limit is 4,000,000"):
        open_picture(tmp_path / "photo.jpg")
    Image.fromarray(np.full((50, 50), 255, np.uint8)).save(tmp_path / "blank.png")
    with pytest.raises(DataError, match="the page is empty"):
        read_digit(tmp_path / "blank.png")


def test_nested_pictures_and_jfif(tmp_path: Path) -> None:
    ink = digit_values(1)
    for place in ("three/a.png", "three/left/b.png", "four/c.jfif"):
        (tmp_path / "all" / place).parent.mkdir(parents=True, exist_ok=True)
        form = "JPEG" if place.endswith("jfif") else "PNG"
        Image.fromarray(ink).save(tmp_path / "all" / place, form)
    data = read_image_folder(tmp_path / "all")
    assert data.classes == ("four", "three")
    assert data.targets.tolist() == [0, 1, 1]
