"""What the deep nets of single spikes have in common: grey images in, spike times that fit into bytes."""

from __future__ import annotations

from collections.abc import Sequence

from threegen.checks import require_whole
from threegen.errors import ConfigError

MOST_STEPS = 255  # spike times are kept as bytes


def require_grey_sizes(owner: str, shape: Sequence[int], classes: int, steps: int) -> tuple[tuple[int, ...], int, int]:
    """Return the shape (1, H, W) of an image, the number of classes and of time steps; raises `ConfigError`."""
    if len(shape) != 3 or shape[0] != 1:
        raise ConfigError(f"{owner} takes grey images (1, H, W), got {tuple(shape)}; choose another model")
    image = (1, require_whole("rows", shape[1]), require_whole("columns", shape[2]))
    counts = require_whole("classes", classes, least=2), require_whole("steps", steps)
    if steps > MOST_STEPS:
        raise ConfigError(f"spike times are bytes: steps must be at most {MOST_STEPS}, got {steps}")
    return image, *counts
