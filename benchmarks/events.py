"""Milliseconds per recording to read events, to count them in frames and to remove noise: threegen and tonic.

100 simulated recordings of MNIST digits (about 4,000 events, 34 x 34 pixels) are written as N-MNIST `.bin` files. The
untimed first request of each contestant writes or compares the results: the same events read, the same counts in every
frame, the same events kept (after the first 10 ms, in which tonic keeps events without support). There is no floor: the
cost of reading bytes depends on the machine's cache.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, Contestant, Job, main

from threegen.datasets.events.bin40 import read_bin, write_bin
from threegen.datasets.events.filters import denoise
from threegen.datasets.events.frames import to_frames
from threegen.datasets.events.stream import Events
from threegen.datasets.load import load_data
from threegen.datasets.saccades import simulate

sys.path.insert(0, str(HERE / "peers"))
from event_folder import FOLDER, FRAMES, MILLISECONDS, NOISE_MILLISECONDS, Timed, late, paths

RECORDINGS = 100


def write_recordings() -> dict[str, str]:
    """Write the recordings for all contestants."""
    folder = Path(tempfile.gettempdir()) / "threegen-bench-events"
    folder.mkdir(exist_ok=True)
    for number, events in enumerate(simulate(load_data("mnist").train.inputs[:RECORDINGS])):
        write_bin(folder / f"{number:03}.bin", events)
    return {**os.environ, FOLDER: str(folder)}


@cache
def recordings() -> list[Events]:
    """Return the recordings in memory."""
    return [read_bin(path) for path in paths()]


def whole(events: Events) -> Any:
    """Return the events as [4, N]: t, x, y, p."""
    return np.stack([events.array[name].astype(np.int64) for name in "txyp"])


def job(name: str, ours: Callable[[bool], float]) -> Job:
    """Return one comparison with tonic."""
    peer = Contestant("tonic", HERE / "peers" / "tonic_events.py", name, "tonic")
    return Job(
        name=name,
        unit=lambda quick: "milliseconds per recording",
        ours=ours,
        peers=[peer],
        threads=1,
        packages=("threegen", "numpy", "numba", "torch"),
        prepare=write_recordings,
    )


JOBS = [
    job("events-read", Timed("read", paths, read_bin, whole, first=True)),
    job(
        "events-frames",
        Timed(
            "frames",
            recordings,
            lambda events: to_frames(events, FRAMES, milliseconds=MILLISECONDS),
            lambda frames: frames.numpy().astype(np.int64),
            first=True,
        ),
    ),
    job(
        "events-denoise",
        Timed(
            "denoise",
            recordings,
            lambda events: denoise(events, NOISE_MILLISECONDS),
            lambda events: late(whole(events)),
            first=True,
        ),
    ),
]

if __name__ == "__main__":
    main(JOBS, __file__)
