"""Encode images as the order of spikes: contrast by differences of Gaussians, then the strongest first.

    DoG(r) = 1/(2 pi) (e^(-r^2/2 s1^2)/s1^2 - e^(-r^2/2 s2^2)/s2^2), less its mean, over its largest value
    time   = floor(rank steps / count)       rank 0 is the largest of the `count` values above 0 of one example

Each neuron sends at most one spike, so a map of spikes is a map of times: 0..steps-1, and `steps` for never.

Kheradpisheh, Ganjtabesh, Thorpe and Masquelier, "STDP-based spiking deep convolutional neural networks for object
recognition", Neural Networks 99 (2018) 56-67; Mozafari et al., "Bio-inspired digit recognition using reward-modulated
spike-timing-dependent plasticity in deep convolutional networks", Pattern Recognition 94 (2019) 87-95.

Shapes: B examples, C maps of H rows and W columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_number, require_whole
from threegen.errors import ConfigError, ShapeError


def difference_of_gaussians(size: int, first: float, second: float) -> Tensor:
    """Return the filter [size, size] of two deviations in pixels: on-centre if `first` is the smaller one.

    Its mean is 0 and its largest value 1. Raises `ConfigError` for an even size or equal deviations.
    """
    if require_whole("size", size, least=3) % 2 == 0:
        raise ConfigError(f"size must be odd, so that the filter has a centre, got {size}")
    require_number("first", first, above=0.0)
    require_number("second", second, above=0.0)
    if first == second:
        raise ConfigError(f"the two deviations must differ, got {first} twice")
    across = torch.arange(size, dtype=torch.float64) - size // 2
    squares = across.square().unsqueeze(0) + across.square().unsqueeze(1)

    def bell(deviation: float) -> Tensor:
        return torch.exp(-squares / (2 * deviation**2)) / deviation**2

    found = (bell(first) - bell(second)) / (2 * math.pi)
    found = found - found.mean()
    return found / found.max()


def contrast_filters(sizes: Sequence[int] = (3, 7, 13)) -> Tensor:
    """Return on- and off-centre filters [2 len(sizes), 1, K, K], deviations size/9 and 2 size/9, K the largest size.

    The default is Mozafari's six. Smaller filters are padded with zeros. Raises `ConfigError`.
    """
    widest = max(sizes)
    filters = []
    for size in sizes:
        for first, second in ((size / 9, 2 * size / 9), (2 * size / 9, size / 9)):
            filters.append(F.pad(difference_of_gaussians(size, first, second), [(widest - size) // 2] * 4))
    return torch.stack(filters).unsqueeze(1)


def contrasts(images: Tensor, filters: Tensor, least: float) -> Tensor:
    """Return [B, C, H, W]: `images` [B, 1, H, W] in 0..1, times 255, filtered; values below `least` become 0.

    Borders are padded with zeros. Raises `ShapeError`.
    """
    if images.dim() != 4 or images.shape[1] != 1:
        raise ShapeError(f"contrast filters expect grey images [B, 1, H, W], got {list(images.shape)}")
    found = F.conv2d(255 * images, filters.to(images), padding=filters.shape[-1] // 2)
    return torch.where(found < least, 0.0, found)


def normalise_locally(maps: Tensor, radius: int) -> Tensor:
    """Return maps [B, C, H, W], each value divided by its map's mean within `radius` rows and columns (zeros
    outside)."""
    width = 2 * require_whole("radius", radius) + 1
    means = F.avg_pool2d(maps, width, stride=1, padding=radius)
    return maps / (means + 1e-12)


def rank_latencies(values: Tensor, steps: int, equal_bins: bool = False) -> Tensor:
    """Return spike times [B, ...] (int64) of values [B, ...]: in each example the largest first, equally many in each
    step.

    Values of 0 and below never fire: their time is `steps`. Among equal values the first in memory fires first. With
    `equal_bins=True` exactly floor(count / steps) values fire in each step and the remaining weakest never.
    """
    require_whole("steps", steps)
    flat = values.flatten(1)
    order = flat.sort(dim=1, descending=True, stable=True).indices
    ranks = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    count = (flat > 0).sum(1, keepdim=True)
    if equal_bins:
        each = count // steps
        return torch.where(ranks < each * steps, ranks // each.clamp(min=1), steps).view(values.shape)
    times = torch.where(flat > 0, ranks * steps // count.clamp(min=1), steps)
    return times.view(values.shape)


def first_spikes(frames: Tensor) -> Tensor:
    """Return times [B, ...] (int64) of the first frame above 0 in `frames` [B, T, ...]; T if there is none."""
    if frames.dim() < 3:
        raise ShapeError(f"frames must be [B, T, ...], got {list(frames.shape)}")
    steps = frames.shape[1]
    fired = frames > 0
    return torch.where(fired.any(1), fired.to(torch.uint8).argmax(1), steps)
