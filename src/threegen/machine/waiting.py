"""How many threads run and how they wait, chosen before torch is loaded, so nothing here imports it.

A thread of OpenMP that waits for another one spins. On a quiet machine that is quickest. Beside a busy process the
spinning takes the core from the very thread that is waited for, and an update costs up to five times as much. How long
threads spin is read once, when the library is loaded, and the number of threads is fixed for a run, because sums over
another number of threads may differ in the last bit.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # any of these is the user's own choice
_THREADS = "OMP_NUM_THREADS"
_LOOKS, _PAUSE = 25, 0.01  # how often the number of running threads is read, seconds between


def available_cores() -> int:
    """Return how many cores this process may use (not how many the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_neighbours() -> int:
    """Return how many other threads keep a core busy: the fewest seen within a quarter of a second.

    The first look at which nobody else runs ends it, so a quiet machine waits for nothing. 0 if it cannot be known.
    """
    fewest: int | None = None
    try:
        for _ in range(_LOOKS):
            running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]) - 1  # this thread runs too
            fewest = running if fewest is None else min(fewest, running)
            if fewest <= 0:
                return 0
            time.sleep(_PAUSE)
    except (OSError, ValueError, IndexError):
        return 0
    return fewest or 0


def choose_waiting(environment: MutableMapping[str, str] | None = None) -> int | None:
    """Make room for busy neighbours, if torch is not loaded yet; return the number of threads chosen, or None.

    On a quiet machine nothing is changed. Otherwise the neighbours' cores are left to them, and waiting threads sleep
    at once. What the user has set is left alone. Only the command line calls this, before anything else: a library must
    not change the settings of its user's process.
    """
    environment = os.environ if environment is None else environment
    cores = available_cores()
    if "torch" in sys.modules or _THREADS in environment or "MKL_NUM_THREADS" in environment or cores == 1:
        return None
    busy = busy_neighbours()
    if not busy:
        return None
    threads = max(1, cores - busy)
    environment[_THREADS] = str(threads)
    if not any(name in environment for name in _WAITING):
        environment["GOMP_SPINCOUNT"] = "0"
    return threads


def waiting_note(environment: MutableMapping[str, str] | None = None) -> tuple[str, str]:
    """Return how many threads were asked for and how they wait, and what to set beside a busy neighbour, or nothing."""
    environment = os.environ if environment is None else environment
    chosen = [f"{name}={environment[name]}" for name in (_THREADS, *_WAITING) if name in environment]
    if chosen:
        return ", ".join(chosen), ""
    fewer = max(1, available_cores() - 1)
    return (
        "all cores; waiting threads spin, then sleep",
        f"beside a busy program set {_THREADS}={fewer} and GOMP_SPINCOUNT=0 before Python starts "
        "(the command line does so by itself)",
    )
