"""Animated GIFs of grey pictures, written byte by byte: GIF89a with a palette of 128 greys, not compressed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from threegen.checks import require_number
from threegen.errors import ConfigError, ShapeError

_CLEAR, _END, _RUN = 128, 129, 120  # codes; a clear at least every 126 codes keeps all codes 8 bits wide


def animated_gif(frames: np.ndarray[Any, Any], seconds: float = 0.2) -> bytes:
    """Return a GIF that shows `frames` [n, h, w] of bytes, each for `seconds`, in an endless loop.

    Raises `ShapeError` for other frames, `ConfigError` for a time that is not above 0 or is more than 655 seconds.
    """
    if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape:
        raise ShapeError(f"an animation takes uint8 frames [n, h, w], got {frames.dtype} {frames.shape}")
    hundredths = round(100 * require_number("seconds", seconds, above=0.0))
    if hundredths > 0xFFFF:
        raise ConfigError(f"seconds must be at most 655, got {seconds!r}")
    height, width = frames.shape[1:]
    greys = bytes(round(level * 255 / 127) for level in range(128) for _ in range(3))
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0xF6, 0, 0), greys]
    parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
    for frame in frames:
        parts.append(b"\x21\xf9\x04\x04" + struct.pack("<H", hundredths) + b"\x00\x00")
        parts.append(b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07")
        levels = (frame >> 1).tobytes()
        codes = bytearray()
        for start in range(0, len(levels), _RUN):
            codes.append(_CLEAR)
            codes += levels[start : start + _RUN]
        codes.append(_END)
        for start in range(0, len(codes), 255):
            piece = codes[start : start + 255]
            parts.append(bytes([len(piece)]) + bytes(piece))
        parts.append(b"\x00")
    return b"".join([*parts, b"\x3b"])
