"""Reading, framing and denoising as tonic's documentation calls them."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tonic
from tonic.io import events_struct, read_mnist_file

sys.path.insert(0, str(Path(__file__).parents[1]))
from event_folder import FRAMES, MILLISECONDS, NOISE_MILLISECONDS, Timed, late, paths
from worker import serve

SENSOR = (34, 34, 2)
window = round(1000 * MILLISECONDS / FRAMES)
to_frame = tonic.transforms.ToFrame(SENSOR, time_window=window, start_time=0, end_time=round(1000 * MILLISECONDS))
denoise = tonic.transforms.Denoise(filter_time=round(1000 * NOISE_MILLISECONDS))


def read(path: Path) -> Any:
    """Read a file."""
    return read_mnist_file(path, dtype=events_struct)


@cache
def recordings() -> list[Any]:
    """Return the recordings in memory."""
    return [read(path) for path in paths()]


def whole(events: Any) -> Any:
    """Return the events as [4, N]: t, x, y, p."""
    return np.stack([events[name].astype(np.int64) for name in "txyp"])


WORKS = {
    "events-read": Timed("read", paths, read, whole),
    "events-frames": Timed("frames", recordings, to_frame, lambda frames: frames.astype(np.int64)),
    "events-denoise": Timed("denoise", recordings, denoise, lambda events: late(whole(events))),
}
serve(WORKS[sys.argv[-1]], ("tonic", "numpy"))
