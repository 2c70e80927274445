"""One picture from a file, safely: its size is read before it is decoded. Needs Pillow (the extra `images`)."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.datasets.mnist_form import mnist_form
from threegen.errors import ConfigError, DataError, MissingExtraError

MAX_PIXELS = 4_000_000
PHOTO_PIXELS, PHOTO_SIDE = 88_000_000, 560  # limit for a single photograph, and the side to which it is first shrunk

_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112  # of EXIF
_GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
_PLAIN = (*_GREY, "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    RuntimeError,
)

Size = int | tuple[int, int] | None


def open_picture(
    file: str | os.PathLike[str],
    *,
    channels: int | None = None,
    size: Size = None,
    max_pixels: int = MAX_PIXELS,
    most_side: int | None = None,
) -> np.ndarray[Any, Any]:
    """Return one picture as uint8 `[channels, height, width]`; options as in `read_image_folder`.

    A picture that is larger than `most_side` is shrunk to it with its aspect ratio kept, a JPEG while it is decoded.

    Raises `ConfigError` if Pillow is missing, `DataError` if the file is damaged, too large or animated.
    """
    path = Path(file)
    with _opened(path, short_name(path), max_pixels) as (picture, ops):
        if most_side is not None:
            picture.draft(None, (most_side, most_side))  # a JPEG is decoded at 1/2, 1/4 or 1/8 of its size
            picture.thumbnail((most_side, most_side), resample=2)
        return _to_array(short_name(path), ops.exif_transpose(picture), channels, as_size(size))


def read_window(
    source: str | os.PathLike[str] | bytes,
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    max_pixels: int = PHOTO_PIXELS,
) -> np.ndarray[Any, Any]:
    """Return the middle of a picture as uint8 `[channels, *size]`: scaled with its aspect ratio kept, the rest cut off.

    source: a path, or the bytes of a file; name: its name in messages. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size
    if that is enough. Errors as in `open_picture`.
    """
    height, width = size
    opened = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    with _opened(opened, name, max_pixels) as (picture, ops):
        picture.draft(None, (max(size), max(size)))
        turned = picture.getexif().get(_ORIENTATION, 1) != 1  # turning copies a picture even if it stands upright
        upright = _plain_picture(ops.exif_transpose(picture) if turned else picture, channels)
        if upright.size != (width, height):
            scale = min(upright.width / width, upright.height / height)
            across = max(0.0, upright.width - scale * width) / 2
            along = max(0.0, upright.height - scale * height) / 2
            box = (across, along, upright.width - across, upright.height - along)
            upright = upright.resize((width, height), resample=2, box=box)
        return _as_planes(name, upright)


def picture_shape(source: str | os.PathLike[str] | bytes, name: str) -> tuple[int, int, int]:
    """Return (channels, height, width) of a picture from its header alone; errors as in `open_picture`."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    with _opened(opened, name, PHOTO_PIXELS) as (picture, _):
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION, 1) >= 5:  # it is rotated by a quarter turn
            width, height = height, width
        return 1 if picture.mode in _GREY else 3, height, width


@contextmanager
def _opened(source: Any, name: str, max_pixels: int) -> Iterator[tuple[Any, Any]]:
    """Open a picture whose header has been checked; every error inside becomes a `DataError` that names it."""
    image_module, ops = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)
            with image_module.open(source) as picture:
                _check_header(name, picture, max_pixels)
                yield picture, ops
    except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
        raise DataError(f"{name} has more than {max_pixels:,} pixels; shrink it or raise max_pixels=") from error
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"{name} cannot be read as a picture; it is damaged or another kind of file") from error


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError.of("a picture file", "Pillow", "images") from error
    return Image, ImageOps


def _check_header(name: str, picture: Any, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise DataError(
            f"{name} is {width} x {height}, {width * height:,} pixels; the limit is {max_pixels:,} (max_pixels=)"
        )
    if getattr(picture, "is_animated", False):
        raise DataError(f"{name} is an animation; save one frame as a single picture")
    if picture.mode not in _PLAIN:
        raise DataError(f"{name} has pixels of the type {picture.mode}; save it with 8 or 16 bits per channel")


def _to_array(name: str, picture: Any, channels: int | None, size: tuple[int, int] | None) -> np.ndarray[Any, Any]:
    picture = _plain_picture(picture, channels or (1 if picture.mode in _GREY else 3))
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), resample=2)  # 2 is bilinear, smoothed where it shrinks
    return _as_planes(name, picture)


def _plain_picture(picture: Any, channels: int) -> Any:
    """Return the picture in 8 bits per value, grey or in colours, on a background where it is transparent."""
    if picture.mode == _MODES[channels] and "transparency" not in picture.info:
        return picture
    image_module, _ = _pillow()
    if picture.mode.startswith("I;16"):
        # Pillow would clip 16-bit values at 255 instead of scaling them.
        picture = image_module.fromarray((np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        picture = image_module.alpha_composite(image_module.new("RGBA", clear.size, _ground(clear)), clear)
    return picture.convert(_MODES[channels])


def _as_planes(name: str, picture: Any) -> np.ndarray[Any, Any]:
    values = np.asarray(picture, dtype=np.uint8)
    if values.size == 0:
        raise DataError(f"{name} has no pixels")
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _ground(picture: Any) -> tuple[int, int, int, int]:
    """Return the background of a transparent picture: white behind dark ink, else black."""
    values = np.asarray(picture, np.float64)
    weight = values[:, :, 3].sum()
    brightness = (values[:, :, :3].mean(2) * values[:, :, 3]).sum() / weight if weight else 255.0
    return (255, 255, 255, 255) if brightness < 64 else (0, 0, 0, 255)


def read_digit(file: str | os.PathLike[str]) -> Tensor:
    """Return the picture of one digit in the format of MNIST's images, `[1, 28, 28]`: see `mnist_form`.

    Dark on light is turned into light on dark, decided by the median of the border. Photographs of up to 88 megapixels
    are shrunk while they are decoded. Errors as in `open_picture`; `DataError` for an empty page.
    """
    pixels = open_picture(file, channels=1, max_pixels=PHOTO_PIXELS, most_side=PHOTO_SIDE)
    return digit_of_grey(torch.from_numpy(pixels[0].copy()).to(torch.float32).div_(255.0))[0]


def digit_of_grey(values: Tensor) -> tuple[Tensor, bool]:
    """Return a grey picture [H, W] in 0..1 as an image `[1, 28, 28]` in the format of MNIST, and whether it was
    inverted.

    The paper is the median of the border; `DataError` for an empty page.
    """
    border = torch.cat([values[0], values[-1], values[:, 0], values[:, -1]])
    paper = border.median()
    dark = bool(paper <= 0.5)
    ink = (values - paper if dark else paper - values).clamp_(min=0.0)
    strongest = float(ink.max())
    return mnist_form(ink / strongest if strongest > 0 else ink), not dark


def read_picture(
    file: str | os.PathLike[str],
    shape: tuple[int, ...] = (1, 28, 28),
    *,
    invert: bool | None = False,
    max_pixels: int = PHOTO_PIXELS,
) -> Tensor:
    """Return one picture as float32 `[C, H, W]` in 0..1, scaled to `shape`, the input shape of a model.

    invert: True turns dark on light into light on dark, as in MNIST; None does so if the border is light. Errors as in
    `open_picture`; `ConfigError` if `shape` is not that of a grey or a colour picture.
    """
    if len(shape) != 3 or shape[0] not in _MODES:
        raise ConfigError(f"a picture gives (1, H, W) or (3, H, W), the model takes {tuple(shape)}")
    channels, height, width = shape
    larger = max(PHOTO_SIDE, 2 * height, 2 * width)
    pixels = open_picture(file, channels=channels, size=(height, width), max_pixels=max_pixels, most_side=larger)
    values = torch.from_numpy(pixels.copy()).to(torch.float32).div_(255.0)
    if invert is None:
        border = torch.cat([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], dim=1)
        invert = float(border.mean()) > 0.5
    return 1.0 - values if invert else values


def as_size(size: Size) -> tuple[int, int] | None:
    """Return (height, width) from a side or a pair; otherwise raise `ConfigError`."""
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2:
        raise ConfigError(f"size must be a side or (height, width), got {size!r}")
    return require_whole("size", pair[0]), require_whole("size", pair[1])


def short_name(path: Path) -> str:
    """Return a file's name with that of its folder, enough to find it."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else str(path)
