"""The available memory, and checks that raise before an allocation that cannot fit."""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from threegen.errors import ResourceError

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_CGROUP_LIMITS = (  # (the limit, its usage): version 2, version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # numbers of settings in glibc's malloc.h
_NEVER, _AT_ONCE = 2**31 - 1, 16 * 2**20
OWN_SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
_keeping, _before = 0, 0  # of `freed_memory_kept`: how many blocks are open, bytes in memory before the first
_lock = threading.Lock()


def size_text(count: float) -> str:
    """Return a number of bytes as `12.3 MB` (powers of 1,000)."""
    power = 0
    while count >= 1000 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.0f} {_UNITS[power]}" if power == 0 else f"{count:.1f} {_UNITS[power]}"


def available_memory() -> int | None:
    """Return how many bytes this process may still allocate, or None if the system does not say.

    It is the smallest of: the machine's available memory, the rest of the control group's limit, and the address space
    (`ulimit -v`).
    """
    known = [value for value in (_machine(), *_control_groups(), _address_space()) if value is not None]
    return min(known) if known else None


def require_memory(owner: str, needed: int, advice: str = "reduce sizes") -> None:
    """Raise `ResourceError` if `owner` needs more bytes than are available; nothing is allocated."""
    free = available_memory()
    if free is not None and needed > free:
        raise ResourceError(f"{owner} needs about {size_text(needed)}, {size_text(free)} free; {advice}")


def require_weights(owner: str, shapes: Iterable[tuple[int, ...]], advice: str = "reduce sizes") -> None:
    """Raise `ResourceError` if float32 weights of these shapes do not fit; model constructors call it first."""
    numbers = sum(math.prod(shape) for shape in shapes)
    if torch.get_default_device().type != "cpu":  # other memory, or none: torch.device("meta")
        return
    if numbers > 2**20:  # a few megabytes always fit, and querying the system takes longer than building a small model
        require_memory(owner, 4 * numbers, advice)


def give_back_freed() -> None:
    """Hand memory that was freed back to the system, where the C library can do that (glibc can); else do nothing.

    Worth it before a process forks (what it holds then stays in memory until its children end, even where it is
    overwritten) and after sizes have changed (blocks of other sizes leave gaps). The time is that of touching the
    pages again, about a quarter of a millisecond per megabyte.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep memory that is freed in this block for the next allocation, where the C library can do that (glibc can).

    Every update of a network allocates and frees the same large tensors. glibc requests new pages for each of them, and
    the system clears every page: a sixth of the time in which AlexNet learns. At the end free memory is returned to the
    system if the process has grown by more than 64 MB. Blocks may be nested, also in several threads: the outermost
    one counts. Nothing is changed if the user has set the allocator up (MALLOC_..., GLIBC_TUNABLES, an allocator in
    LD_PRELOAD).
    """
    change = _allocator()
    if change is None or any(name.startswith(OWN_SETTINGS) for name in os.environ):
        yield
        return
    global _keeping, _before
    with _lock:
        _keeping += 1
        if _keeping == 1:
            _before = _resident()
            change(_MMAP_MAX, 0)
            change(_TRIM_THRESHOLD, _NEVER)
            change(_TOP_PAD, _AT_ONCE)
    try:
        yield
    finally:
        with _lock:
            _keeping -= 1
            if _keeping == 0:  # what glibc itself would have arrived at after some large blocks were freed
                change(_MMAP_MAX, 65536)
                change(_MMAP_THRESHOLD, 32 * 2**20)
                change(_TRIM_THRESHOLD, 64 * 2**20)
                change(_TOP_PAD, 128 * 2**10)
                if _resident() - _before > 64 * 2**20:
                    give_back_freed()


class GrowthWatch:
    """Give memory back when the process has grown by half since the first `look`: gaps between blocks may add up."""

    def __init__(self) -> None:
        self._first: int | None = None

    def look(self) -> None:
        """Compare the memory in use with that of the first call."""
        now = _resident()
        if self._first is None:
            self._first = now
        elif now > 1.5 * self._first:
            give_back_freed()


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None


@cache
def _allocator() -> Callable[[int, int], int] | None:
    if _trim() is None:  # the numbers below are glibc's
        return None
    try:
        return ctypes.CDLL(None).mallopt
    except AttributeError:
        return None


def _resident() -> int:
    """Return how many bytes of the process are in memory; 0 if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _control_groups() -> list[int]:
    found = []
    for limit, used in _CGROUP_LIMITS:
        try:
            found.append(max(0, int(Path(limit).read_text()) - int(Path(used).read_text())))
        except (OSError, ValueError):  # missing, or "max": no limit
            continue
    return found


def _address_space() -> int | None:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
    except (ImportError, OSError, ValueError):
        return None
