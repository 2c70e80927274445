"""Shared by both sides of the events benchmark: the recordings' files, and timing with a comparison of results.

Standard library and NumPy only: tonic's environment has no threegen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "THREEGEN_BENCH_EVENTS"
FRAMES, MILLISECONDS = 10, 300.0
NOISE_MILLISECONDS = 10.0


def paths() -> list[Path]:
    """Return the recordings' files."""
    return sorted(Path(os.environ[FOLDER]).glob("*.bin"))


def late(events: Any) -> Any:
    """Return the events [4, N] but those of the first `NOISE_MILLISECONDS`: tonic keeps those without support too."""
    return events[:, events[0] >= 1000 * NOISE_MILLISECONDS]


class Timed:
    """A timed work over all recordings; its first call compares the results with those of the side that is `first`.

    `inputs` gives the arguments of `work`, one per recording; `plain` turns a result into an array of whole numbers.
    """

    def __init__(
        self,
        name: str,
        inputs: Callable[[], Sequence[Any]],
        work: Callable[[Any], Any],
        plain: Callable[[Any], Any],
        *,
        first: bool = False,
    ) -> None:
        self.name, self.inputs, self.work, self.plain, self.first = name, inputs, work, plain, first
        self.compared = False

    def __call__(self, quick: bool) -> float:
        """Return milliseconds per recording."""
        given = self.inputs()
        if not self.compared:
            self.compare([self.plain(self.work(one)) for one in given])
        passes = 1 if quick else 5
        begun = time.perf_counter()
        for _ in range(passes):
            for one in given:
                self.work(one)
        return 1e3 * (time.perf_counter() - begun) / (passes * len(given))

    def compare(self, found: list[Any]) -> None:
        """Write the results, or compare them with those written; raises `AssertionError` at the first that differs."""
        self.compared = True
        for number, one in enumerate(found):
            path = Path(os.environ[FOLDER]) / f"{self.name}-{number:03}.npy"
            if self.first:
                np.save(path, one)
            elif not np.array_equal(np.load(path), one):
                raise AssertionError(f"{self.name}: recording {number} differs from threegen's result")
