"""Pictures on disk: a folder with one sub-folder for each class. Needs Pillow (`pip install "threegen[images]"`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threegen.checks import require_choice, require_whole
from threegen.datasets.dataset import Dataset
from threegen.datasets.pictures import MAX_PIXELS, Size, as_size, open_picture, short_name
from threegen.errors import DataError, ResourceError

ENDINGS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
MAX_BYTES = 8 << 30


def read_image_folder(
    path: str | os.PathLike[str],
    *,
    size: Size = None,
    channels: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Dataset:
    """Return a data set from a folder of class folders of pictures, `path/CLASS/PICTURE.png`.

    Classes are the sub-folders in alphabetical order. Pixels become 0..1, inputs `[N, channels, height, width]`.
    size: the side, or (height, width), that every picture is scaled to; by default all must have one size.
    channels: 1 (grey) or 3 (red, green, blue); by default 1 if the first picture is grey, else 3. max_pixels: the
    largest number of pixels of a picture, read from its header before anything is decoded.

    Pictures in folders inside a class's folder belong to that class. Transparent places become black, or white behind
    dark ink. Raises `ConfigError` if Pillow is missing, `DataError` for a picture that is damaged, too large, animated
    or of another size than the first, `ResourceError` if they do not fit into memory.
    """
    folder = Path(path)
    target = as_size(size)
    if channels is not None:
        require_choice("channels", str(channels), ("1", "3"))
    require_whole("max_pixels", max_pixels)
    found = _list_pictures(folder)
    classes = list(found)
    files = [(file, label) for label, files in enumerate(found.values()) for file in files]
    pixels: np.ndarray[Any, Any] | None = None
    for index, (file, _) in enumerate(files):
        picture = open_picture(file, channels=channels, size=target, max_pixels=max_pixels)
        if pixels is None:
            channels = picture.shape[0]
            pixels = _room_for(len(files), picture.shape)
        if picture.shape != pixels.shape[1:]:
            raise DataError(
                f"{short_name(file)} is {_times(picture.shape)}, {short_name(files[0][0])} is "
                f"{_times(pixels.shape[1:])}; give size= to scale all to one size"
            )
        pixels[index] = picture
    labels = torch.tensor([label for _, label in files])
    inputs = torch.from_numpy(pixels).to(torch.float32).div_(255.0)
    return Dataset(inputs, labels, classes, name or folder.name)


def has_class_folders(folder: Path) -> bool:
    """Tell whether a folder has sub-folders with pictures in them."""
    return any(_pictures_in(child) for child in _subfolders(folder))


def _list_pictures(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with a sub-folder of pictures for each class")
    children = _subfolders(folder)
    if not children:
        raise DataError(f"{folder} has no sub-folders; expected one for each class, with its pictures inside")
    found = {child.name: _pictures_in(child) for child in children}
    for class_name, files in found.items():
        if not files:
            raise DataError(f"{folder / class_name} holds no pictures ({', '.join(ENDINGS)}); remove it or fill it")
    return found


def _subfolders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith((".", "_")))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()
    )


def _room_for(count: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    needed = count * int(np.prod(shape)) * 5  # one byte per value while reading, four as float32
    if needed > MAX_BYTES:
        raise ResourceError(
            f"{count:,} pictures of {_times(shape)} need {needed / 2**30:.1f} GiB; "
            f"the limit is {MAX_BYTES / 2**30:.0f} GiB; give a smaller size="
        )
    return np.empty((count, *shape), dtype=np.uint8)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
