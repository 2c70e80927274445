"""Small folders of pictures for the tests of data on disk: each class has its own colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 60), "red": (220, 30, 30)}


def write_pictures(folder: Path, each: int = 12, *, side: int = 24, ending: str = "png") -> Path:
    """Write `each` pictures of every class, of slightly different sizes, and return the folder."""
    random = np.random.default_rng(3)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = side + number % 5, side + (3 * number) % 7
            noise = random.integers(-20, 20, (height, width, 3))
            values = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(values).save(folder / name / f"{number:03d}.{ending}")
    return folder


def break_picture(file: Path) -> None:
    """Cut a file off after its header."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3])
