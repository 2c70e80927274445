"""Convert the strokes of a drawn digit to the format of MNIST's images: points are scaled, then drawn once, finely.

Scaling a picture of a small drawing gives thick or broken lines; here the points are scaled and the line keeps its
width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from threegen.datasets.mnist_form import BOX, centred
from threegen.errors import ConfigError, DataError, ShapeError

FINE = 4  # fine pixels along a pixel of the image
LINE = 2.6  # pixels: with it the mean ink of one hundred drawings is that of MNIST, .131

Strokes = Sequence[Sequence[Sequence[float]]]


def mnist_form_of_strokes(strokes: Strokes, *, line: float = LINE) -> Tensor:
    """Return strokes, each a list of points (x, y), as an image `[1, 28, 28]` in the format of MNIST, float32.

    The unit and origin of the points are arbitrary; y grows downwards. The longer side of the drawing, its line of
    `line` pixels included, becomes 20 pixels; then it is moved by whole pixels until its centre of mass is at pixel 14.
    A tap is a dot as wide as the line.

    Raises `DataError` if nothing is drawn or a point is not finite, `ShapeError` if a point is not two numbers,
    `ConfigError` for a `line` outside 0.5 to 10.

    Example:
        model(mnist_form_of_strokes([[(10, 10), (60, 10)], [(60, 10), (30, 90)]])[None])
    """
    if not 0.5 <= line <= 10:
        raise ConfigError(f"line is the width of the pen in pixels, 0.5 to 10, got {line}")
    starts, ends = _pieces(strokes)
    points = torch.cat([starts, ends])
    low, high = points.min(0).values, points.max(0).values
    longer = float((high - low).max())
    scale = (BOX - line) / longer if longer > 0 else 0.0
    starts, ends = ((part - low) * scale + line / 2 for part in (starts, ends))
    width, height = (max(1, math.ceil(side - 1e-6)) for side in ((high - low) * scale + line).tolist())
    return centred(_drawn(starts, ends, height, width, line))[None]


def _pieces(strokes: Strokes) -> tuple[Tensor, Tensor]:
    """Return the start and end points of the straight pieces of all strokes, each [pieces, 2], float64."""
    starts: list[tuple[float, float]] = []
    ends: list[tuple[float, float]] = []
    for number, stroke in enumerate(strokes):
        points = []
        for point in stroke:
            if len(point) != 2:
                raise ShapeError(f"a point is (x, y), two numbers; stroke {number} has one of {len(point)}")
            points.append((float(point[0]), float(point[1])))
        starts += points[:1] if len(points) == 1 else points[:-1]
        ends += points[:1] if len(points) == 1 else points[1:]
    if not starts:
        raise DataError("the page is empty: nothing is drawn on it")
    found = torch.tensor(starts, dtype=torch.float64), torch.tensor(ends, dtype=torch.float64)
    if not all(bool(part.isfinite().all()) for part in found):
        raise DataError("a stroke has a point that is not finite (nan or infinite)")
    return found


def _drawn(starts: Tensor, ends: Tensor, height: int, width: int, line: float) -> Tensor:
    """Return ink [height, width]: the share of each pixel within half a line width of a piece.

    Each piece is compared only with the fine pixels around it, so that a page can draw while the pen moves.
    """
    rows = (np.arange(height * FINE) + 0.5) / FINE
    columns = (np.arange(width * FINE) + 0.5) / FINE
    covered = np.zeros((height * FINE, width * FINE), dtype=bool)
    half = line / 2
    for (x0, y0), (x1, y1) in zip(starts.tolist(), ends.tolist(), strict=True):
        top, bottom = _around(y0, y1, half, height)
        left, right = _around(x0, x1, half, width)
        down, across = rows[top:bottom, None] - y0, columns[None, left:right] - x0
        dx, dy = x1 - x0, y1 - y0
        share = ((across * dx + down * dy) / max(dx * dx + dy * dy, 1e-12)).clip(0.0, 1.0)
        covered[top:bottom, left:right] |= (across - share * dx) ** 2 + (down - share * dy) ** 2 <= half * half
    ink = covered.reshape(height, FINE, width, FINE).mean((1, 3), dtype=np.float32)
    return torch.from_numpy(ink)


def _around(first: float, last: float, half: float, length: int) -> tuple[int, int]:
    """Return the fine pixels along an axis, from and up to, that a piece between two places can reach."""
    low, high = (first, last) if first < last else (last, first)
    return max(0, int((low - half) * FINE) - 1), min(length * FINE, int((high + half) * FINE) + 2)
