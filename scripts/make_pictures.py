"""Make a folder of varied pictures to test training from disk: shapes, textures and glyphs in ten classes.

    python scripts/make_pictures.py FOLDER --count 20000
    threegen train alexnet-small --data FOLDER --on-disk

FOLDER/CLASS/NUMBER.(jpg|png|bmp|gif|webp): sizes of 40 to 160 pixels, colour, grey, palette and transparent, some
rotated by an orientation tag. Kind, position, size, colours and background of each picture depend only on its number
and --seed. `--broken N` breaks N pictures: truncated, empty, text, or only a header.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("circle", "square", "triangle", "star", "stripes", "checks", "dots", "letter-a", "letter-t", "letter-z")
ENDINGS = ("jpg", "jpg", "jpg", "png", "png", "bmp", "gif", "webp")
_STROKES = {  # glyphs as strokes in a unit square
    "letter-a": (((0, 1), (0.5, 0)), ((0.5, 0), (1, 1)), ((0.2, 0.6), (0.8, 0.6))),
    "letter-t": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
    "letter-z": (((0, 0), (1, 0)), ((1, 0), (0, 1)), ((0, 1), (1, 1))),
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--broken", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for name in CLASSES:
        (chosen.folder / name).mkdir(parents=True, exist_ok=True)
    files = [write_picture(chosen.folder, number, chosen.seed) for number in range(chosen.count)]
    random = np.random.default_rng([chosen.seed, 1])
    for number, place in enumerate(random.permutation(len(files))[: chosen.broken].tolist()):
        spoil(files[place], number)


def write_picture(folder: Path, number: int, seed: int) -> Path:
    """Write one picture and return its file."""
    random = np.random.default_rng([seed, 0, number])
    name = CLASSES[number % len(CLASSES)]
    width, height = (int(side) for side in random.integers(40, 161, 2))
    picture = draw(name, width, height, random)
    ending = ENDINGS[int(random.integers(len(ENDINGS)))]
    mode = str(random.choice(["RGB", "RGB", "RGB", "L"]))
    if ending == "png":
        mode = str(random.choice(["RGB", "L", "P", "RGBA"]))
    file = folder / name / f"{number:06d}.{ending}"
    options: dict[str, Any] = {"quality": 85} if ending in ("jpg", "webp") else {}
    if ending == "jpg" and random.random() < 0.1:
        mark = Image.Exif()
        mark[0x0112] = int(random.integers(2, 9))
        options["exif"] = mark
    picture.convert(mode).save(file, **options)
    return file


def draw(name: str, width: int, height: int, random: np.random.Generator) -> Image.Image:
    """Return one picture of a class on a background of noise, slightly blurred."""
    ground, ink = random.integers(0, 256, 3), random.integers(0, 256, 3)
    while abs(int(ground.sum()) - int(ink.sum())) < 150:
        ink = random.integers(0, 256, 3)
    noise = random.normal(0, 12, (height, width, 3))
    picture = Image.fromarray(np.clip(ground + noise, 0, 255).astype(np.uint8))
    pen, colour = ImageDraw.Draw(picture), tuple(int(value) for value in ink)
    size = min(width, height) * random.uniform(0.4, 0.75)
    left = random.uniform(0.05, 0.95) * (width - size)
    top = random.uniform(0.05, 0.95) * (height - size)
    box = (left, top, left + size, top + size)
    if name == "circle":
        pen.ellipse(box, fill=colour)
    elif name == "square":
        pen.rectangle(box, fill=colour)
    elif name in ("triangle", "star"):
        pen.polygon(corners(3 if name == "triangle" else 10, box, name == "star", random), fill=colour)
    elif name in _STROKES:
        for start, end in _STROKES[name]:
            line = [(left + size * x, top + size * y) for x, y in (start, end)]
            pen.line(line, fill=colour, width=max(2, round(size / 7)))
    else:
        texture(pen, name, width, height, colour, int(random.integers(6, 16)))
    return picture.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 0.8))))


def corners(
    count: int, box: tuple[float, ...], pointed: bool, random: np.random.Generator
) -> list[tuple[float, float]]:
    """Return the corners of a polygon inside `box`, randomly rotated."""
    middle_x, middle_y, radius = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2
    turn, found = random.uniform(0, 2 * math.pi), []
    for number in range(count):
        reach = radius * (0.45 if pointed and number % 2 else 1.0)
        angle = turn + 2 * math.pi * number / count
        found.append((middle_x + reach * math.cos(angle), middle_y + reach * math.sin(angle)))
    return found


def texture(pen: Any, name: str, width: int, height: int, colour: tuple[int, ...], step: int) -> None:
    """Fill a picture with stripes, checks or dots, `step` pixels apart."""
    for row, y in enumerate(range(0, height, step)):
        if name == "stripes":
            if row % 2:
                pen.rectangle((0, y, width, y + step - 1), fill=colour)
            continue
        for column, x in enumerate(range(0, width, step)):
            if name == "dots":
                pen.ellipse((x, y, x + 0.6 * step, y + 0.6 * step), fill=colour)
            elif (row + column) % 2:
                pen.rectangle((x, y, x + step - 1, y + step - 1), fill=colour)


def spoil(file: Path, number: int) -> None:
    """Break one file: truncated, empty, text, or only its header."""
    content = file.read_bytes()
    file.write_bytes((content[: len(content) // 2], b"", b"this is no picture\n", content[:40])[number % 4])


if __name__ == "__main__":
    main()
