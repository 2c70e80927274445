"""Images as frames of simulated events: a training set of any size for an event camera, from still pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from threegen.datasets.dataset import Dataset
from threegen.datasets.events.frames import to_frames
from threegen.datasets.events.stream import Events
from threegen.datasets.lazy import CountedFrames
from threegen.datasets.saccades import Camera, simulate_blocks

THREE_SACCADES = (0.0, 103.0, 206.0, 310.0)  # boundaries between the strokes of N-MNIST, milliseconds


def simulate_data(
    data: Dataset,
    frames: int | Sequence[float] = 10,
    *,
    milliseconds: float | None = 300.0,
    camera: Camera | None = None,
    seed: int = 0,
    first: int = 0,
    binary: bool = False,
    scale: float = 1.0,
    most: float | None = None,
) -> CountedFrames:
    """Show the images of `data` to the camera and count the events in frames, stored as bytes.

    Args:
        data: images in 0..1.
        frames: how many frames, or the boundaries between them in milliseconds, such as `THREE_SACCADES`.
        milliseconds: the time that is split into frames, if `frames` is a number.
        camera: the sensor; by default that of N-MNIST.
        seed, first: an image's events depend on `seed` and on `first` plus its index.
        binary: frames of 0 and 1.
        scale, most: counts become `min(scale * count, most)` when a batch is read.

    60,000 digits take about four minutes on one core. Raises `ShapeError` and `ConfigError` as `simulate` does.

    Example:
        data = tg.load_data("mnist")
        seen = tg.datasets.simulate_data(data.train, 10)        # frames [N, 10, 2, 34, 34]
    """
    known = camera or Camera()
    count = frames if isinstance(frames, int) else len(frames) - 1
    kept = torch.empty(len(data), count, 2, known.height, known.width, dtype=torch.uint8)
    span = milliseconds if isinstance(frames, int) else None
    for start, array, offsets in simulate_blocks(data.inputs, known, seed=seed, first=first):
        for number in range(len(offsets) - 1):
            events = Events(array[offsets[number] : offsets[number + 1]], known.height, known.width)
            counts = to_frames(events, frames, milliseconds=span, binary=binary)
            kept[start + number] = counts.clamp_(max=255).to(torch.uint8)
    return CountedFrames(kept, data.targets, data.classes, f"{data.name}-simulated", scale=scale, most=most)
