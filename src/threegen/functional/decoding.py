"""Spike decoders: reconstruct an image from the spikes of a window of time.

    binary      b[i] = 1 where pixel i fired at least `least` times in the window
    intensity   v[i] = n[i] / max_j n[j]         n[i] the spikes of pixel i in the window; 0 everywhere without spikes

Shapes: `spikes` is [T, B, ...] of 0 and 1, the images are [B, ...]; the largest count is taken over each image.
"""

from __future__ import annotations

from torch import Tensor

from threegen.checks import require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import check_currents


def binary_image(spikes: Tensor, *, start: int = 0, window: int | None = None, least: int = 1) -> Tensor:
    """Return images [B, ...] of 0 and 1: which pixels fired `least` times within `window` steps from `start` on.

    Raises `ShapeError` for spikes without a time axis, `ConfigError` for a window outside the steps.
    """
    require_whole("least", least)
    return (_counts(spikes, start, window) >= least).to(spikes.dtype)


def intensity_image(spikes: Tensor, *, start: int = 0, window: int | None = None) -> Tensor:
    """Return images [B, ...] in 0..1: spikes within `window` steps from `start` on, the most active pixel being 1.

    Raises like `binary_image`.
    """
    counts = _counts(spikes, start, window)
    if counts.dim() < 2:
        raise ShapeError(f"spikes must be [T, B, ...] with images after the batch axis, got {list(spikes.shape)}")
    most = counts.flatten(1).amax(1) if counts[0].numel() else counts.new_ones(len(counts))
    return counts / most.clamp(min=1).view(-1, *[1] * (counts.dim() - 1))


def _counts(spikes: Tensor, start: int, window: int | None) -> Tensor:
    check_currents(spikes)
    steps = len(spikes)
    require_whole("start", start, least=0)
    length = steps - start if window is None else require_whole("window", window)
    if start >= steps or start + length > steps:
        raise ConfigError(f"a window of {length} steps from step {start} on is not within the {steps} steps")
    return spikes[start : start + length].sum(0)
