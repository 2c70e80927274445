"""Pictures of a deep belief net: receptive fields of its units, reconstructions of images, dreams of each class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.errors import ShapeError
from threegen.gen2.dbn import DBN
from threegen.gif import animated_gif
from threegen.plots import contact_sheet
from threegen.randomness import make_generator
from threegen.training.persistence.files import write_whole

Images = np.ndarray[Any, Any]


def receptive_fields_picture(
    dbn: DBN, depth: int = 1, *, most: int = 100, shape: tuple[int, int] | None = None
) -> bytes:
    """Return a PNG of what `most` units of layer `depth`, evenly spaced, look for; blue is against, orange is for."""
    fields = dbn.receptive_fields(depth)
    chosen = torch.linspace(0, len(fields) - 1, min(most, len(fields))).round().long()
    return contact_sheet(_pictures(fields[chosen], shape), scale=2, diverging=True)


def reconstructions_picture(dbn: DBN, images: Tensor, *, shape: tuple[int, int] | None = None) -> bytes:
    """Return a PNG of `images` `[N, ...]` and, below each, its reconstruction from the top of the net."""
    seen = images.flatten(1)
    pairs = torch.cat([seen, dbn.reconstruct(images)])
    return contact_sheet(1.0 - _pictures(pairs, shape), columns=len(seen), scale=2)


def dream_film(
    dbn: DBN,
    *,
    frames: int = 40,
    every: int = 15,
    seconds: float = 0.12,
    seed: int = 0,
    shape: tuple[int, int] | None = None,
) -> bytes:
    """Return a GIF of the memory dreaming of every class at once, side by side: `frames` images, `every` Gibbs steps.

    From a random start, chains need some hundred steps to reach a digit. Raises `ConfigError` for a net without
    classes.
    """
    labels = torch.arange(max(1, dbn.classes))
    generator = make_generator(seed, "dream film")
    found = dbn.dream(labels, steps=frames * every, every=every, generator=generator)
    rows = 2 if dbn.classes > 5 else 1
    return animated_gif(np.stack([_tiled(_pictures(frame, shape), rows) for frame in found.images]), seconds)


def draw_belief_net(dbn: DBN, images: Tensor, folder: str | Path, *, seed: int = 0) -> list[str]:
    """Write all of these pictures into `folder` and return their names; `images` `[N, ...]` are reconstructed."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    pictures = {"dbn-reconstructions.png": reconstructions_picture(dbn, images)}
    for depth in range(1, len(dbn.sizes)):
        pictures[f"dbn-receptive-fields-{depth}.png"] = receptive_fields_picture(dbn, depth)
    if dbn.classes:
        pictures["dbn-dreams.gif"] = dream_film(dbn, seed=seed)
    for name, content in pictures.items():
        write_whole(target / name, content)
    return sorted(pictures)


def _pictures(rows: Tensor, shape: tuple[int, int] | None) -> Images:
    """Return `[n, pixels]` as `[n, h, w]`; without `shape` they must be squares."""
    side = math.isqrt(rows.shape[1])
    height, width = shape or (side, side)
    if height * width != rows.shape[1]:
        raise ShapeError(f"{rows.shape[1]} pixels do not form {height} x {width} pictures; give shape=(height, width)")
    return rows.detach().float().cpu().reshape(-1, height, width).numpy()


def _tiled(pictures: Images, rows: int, scale: int = 2) -> Images:
    """Return one frame of bytes, dark ink on white paper: the pictures in `rows`, each pixel `scale` wide."""
    columns = -(-len(pictures) // rows)
    height, width = pictures.shape[1:]
    frame = np.full((rows * (height + 2) - 2, columns * (width + 2) - 2), 255, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * (height + 2), number % columns * (width + 2)
        frame[y : y + height, x : x + width] = ((1.0 - picture.clip(0.0, 1.0)) * 255).round()
    return frame.repeat(scale, axis=0).repeat(scale, axis=1)
