"""The number of threads and how they wait, chosen before torch is loaded, so nothing here imports it.

An OpenMP thread that waits for another one spins. On an idle machine that is fastest. If another process is busy, the
spinning takes the core from the thread that is waited for, and an update takes up to five times as long. The spin time
is read once, when the library is loaded. The number of threads is fixed for a run, because sums over another number of
threads may differ in the last bit.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # if any of these is set, the user has chosen
_THREADS = "OMP_NUM_THREADS"
_LOOKS, _PAUSE = 25, 0.01  # how often the number of running threads is read, seconds between


def available_cores() -> int:
    """Return how many cores this process may use (not how many the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_neighbours() -> int:
    """Return the number of other threads that keep a core busy: the minimum within a quarter of a second.

    It ends at the first sample without other running threads, so that an idle machine does not wait. 0 if unknown.
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
    """Adapt to other busy processes, if torch is not loaded yet; return the chosen number of threads, or None.

    On an idle machine nothing is changed. Otherwise the busy cores are left to the other processes, and waiting threads
    sleep at once. Settings of the user are kept. Only the command line calls this, before anything else: a library must
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
    """Return the number of threads and how they wait, and advice for a machine with other busy processes, or
    nothing."""
    environment = os.environ if environment is None else environment
    chosen = [f"{name}={environment[name]}" for name in (_THREADS, *_WAITING) if name in environment]
    if chosen:
        return ", ".join(chosen), ""
    fewer = max(1, available_cores() - 1)
    return (
        "all cores; waiting threads spin, then sleep",
        f"while another program is busy, set {_THREADS}={fewer} and GOMP_SPINCOUNT=0 before Python starts "
        "(the command line does so by itself)",
    )
