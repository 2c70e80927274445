"""A picture uploaded by the browser: it must be a readable still image of 8 bits per channel, and not too large."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.datasets.pictures import MAX_PIXELS, digit_of_grey
from threegen.errors import DataError, MissingExtraError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")


class Refused(DataError):
    """A rejected picture; `status` is 413 if it is too large, else 415; `code` identifies the message."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code = status, code


def picture_from_bytes(content: bytes) -> tuple[Tensor, bool]:
    """Return the bytes of a picture file as an image [1, 28, 28] in the format of MNIST, and whether it was inverted.

    The header is checked before anything is decoded. Raises `Refused`, and `DataError` for an empty page.
    """
    try:
        from PIL import Image
    except ImportError as problem:
        raise MissingExtraError.of("the live page", "Pillow", "web") from problem
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(BytesIO(content), formats=FORMATS) as picture:
                _check(picture)
                grey = _grey(Image, picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise _too_many() from problem
    except DataError:
        raise
    except Exception as problem:  # a damaged file can make a decoder raise anything
        raise Refused(
            415, "not-a-picture", "this is not a picture that can be read: PNG, JPEG, WebP, BMP or GIF"
        ) from problem
    return digit_of_grey(torch.from_numpy(grey.astype(np.float32) / 255.0))


def _check(picture: Any) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _too_many()
    if getattr(picture, "is_animated", False) or getattr(picture, "n_frames", 1) > 1:
        raise Refused(415, "animated", "this is an animation; send a single picture")
    if picture.mode == "CMYK":
        raise Refused(415, "cmyk", "this picture has the colour mode for printing (CMYK); save it as RGB")
    if picture.mode not in MODES or _sixteen_bits(picture):
        raise Refused(415, "depth", "this picture has more than 8 bits for each channel; save it with 8")


def _sixteen_bits(picture: Any) -> bool:
    """Return whether a PNG has 16 bits per channel: Pillow shows colours of 16 bits as if they had 8."""
    modes = [str(tile[3]) for tile in picture.tile] if picture.format == "PNG" else []
    return any("16" in mode for mode in modes)


def _too_many() -> Refused:
    return Refused(413, "pixels", f"this picture has more than {MAX_PIXELS // 1_000_000} million pixels; shrink it")


def _grey(image_module: Any, picture: Any) -> np.ndarray[Any, Any]:
    """Return a picture as grey values; transparent pixels are put on white, or on black if the ink is light."""
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        values = np.asarray(clear, np.float64)
        weight = values[:, :, 3].sum()
        light = weight > 0 and (values[:, :, :3].mean(2) * values[:, :, 3]).sum() / weight > 127
        paper = image_module.new("RGBA", clear.size, (0, 0, 0, 255) if light else (255, 255, 255, 255))
        picture = image_module.alpha_composite(paper, clear)
    values = np.asarray(picture.convert("L"), dtype=np.uint8)
    if values.size == 0:
        raise Refused(415, "not-a-picture", "this picture has no pixels")
    return values
