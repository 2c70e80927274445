"""The one place that sets how many threads torch and numba use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from threegen.checks import require_whole


def available_cores() -> int:
    """Return how many cores this process may use (not how many the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Run a block on `threads` threads and put the former number back, also after an exception."""
    require_whole("threads", threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threading_layer() -> str:
    """Return numba's threading layer: "omp" and "tbb" share threads well with torch, "workqueue" does not.

    Answers "none" where no layer can be loaded. Compiles a tiny parallel kernel, which takes a second or so.
    """
    import numba

    @numba.njit(parallel=True)  # type: ignore[untyped-decorator]
    def launch(values: Any) -> None:
        for i in numba.prange(len(values)):
            values[i] = i

    try:
        launch(np.zeros(4))
    except ValueError:
        return "none"
    return str(numba.threading_layer())
