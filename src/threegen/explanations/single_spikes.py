"""Receptive fields of a deep net of single spikes, and the spread of its first spikes: pictures and an animation.

    S1   sum of its weights times the encoder's filters                       edges, [F, 17, 17] pixels
    S2   sum of its weights (less their mean) times the pictures of S1, every second pixel       parts
    S3   the same with those of S2, every sixth pixel                         digits

Kheradpisheh et al., Neural Networks 99 (2018), figure of the features: a feature is the weighted sum of those below it.

Shapes: F maps, T steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from threegen.checks import require_choice
from threegen.gen3.mozafari import Mozafari2019
from threegen.gif import animated_gif
from threegen.plots import contact_sheet

LAYERS = ("s1", "s2", "s3")
Array = np.ndarray[Any, Any]


@torch.no_grad()
def seen_by(model: Mozafari2019, layer: str) -> Tensor:
    """Return the receptive field of each map of "s1", "s2" or "s3" as pictures [F, h, w] in pixels. Raises
    `ConfigError`."""
    require_choice("layer", layer, LAYERS)
    pictures = _spread(model.s1.weight, model.encoder.filters.flip((2, 3)), 1)
    if layer == "s1":
        return pictures[:, 0]
    pictures = _spread(model.s2.weight - model.s2.weight.mean(), pictures, 2)
    if layer == "s2":
        return pictures[:, 0]
    weight = model.s3.weight - model.s3.weight.mean(0, keepdim=True)
    return _spread(weight, pictures, 6)[:, 0]


def _spread(weight: Tensor, below: Tensor, stride: int) -> Tensor:
    """Return sums [F, 1, h, w] of pictures `below` [C, 1, h, w], `stride` pixels apart, times weights [F, C, k, k]."""
    return functional.conv_transpose2d(weight, below, stride=stride)


def seen_sheet(model: Mozafari2019, layer: str, *, columns: int = 20, scale: int = 2) -> bytes:
    """Return the pictures of `seen_by` as one PNG in diverging colours. Raises `ConfigError`."""
    return contact_sheet(seen_by(model, layer).numpy(), columns=columns, scale=scale, diverging=True)


@torch.no_grad()
def first_spike_frames(model: Mozafari2019, image: Tensor) -> Array:
    """Return how the first spikes of one image [1, H, W] spread: frames [T + 1, h, w] (uint8), the last one empty.

    From left to right: the image, encoded maps, C1 and C2. The brightness of a place is the share of its maps that have
    fired by then, relative to the largest share of the layer.
    """
    encoded = model.encode(image.unsqueeze(0))
    pooled = model.c1(encoded)
    layers = [encoded[0], pooled[0], model.c2(pooled)[0]]
    height, width = encoded.shape[2:]
    frames = []
    for step in range(model.steps):
        tiles = [image[0]]
        for times in layers:
            share = (times <= step).float().mean(0)
            most = float((times < model.steps).float().mean(0).max())
            tile = share / most if most else share
            tiles.append(functional.interpolate(tile[None, None], size=(height, width))[0, 0])
        frames.append(torch.cat([functional.pad(tile, [2, 2, 2, 2], value=0.3) for tile in tiles], 1))
    frames.append(torch.zeros_like(frames[0]))
    enlarged = torch.stack(frames).repeat_interleave(3, 1).repeat_interleave(3, 2)
    found: Array = (255 * enlarged.clamp(0, 1)).to(torch.uint8).numpy()
    return found


def first_spike_gif(model: Mozafari2019, image: Tensor, seconds: float = 0.25) -> bytes:
    """Return `first_spike_frames` as an animated GIF."""
    return animated_gif(first_spike_frames(model, image), seconds)
