"""A run's folder belongs to one process at a time: a file `.lock` in it names the process.

The file holds the process id and the moment at which that process started (in clock ticks since boot, with the
boot's id), because ids are reused. A lock is stale, and is taken over, if its process has ended or its id now belongs
to another one. Checking and taking happen under the kernel's lock on the file, so that two runs that start at the same
moment cannot both get it. The kernel's lock is not held for longer, since forked workers would inherit it.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from threegen.errors import ConfigError
from threegen.training.persistence.files import out_of_space

try:
    import fcntl
except ImportError:  # pragma: no cover  # not on Windows: there the file alone has to suffice
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_Holder = tuple[int, int]  # process and thread: a forked child inherits the table below, but not its locks
_held: dict[tuple[Path, _Holder], int] = {}  # how often a holder has taken a folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process while the block runs; the thread that holds it may take it again inside.

    Raises `ConfigError` naming the process that holds it, `CheckpointError` if no lock file can be written.
    """
    key = (folder.resolve(), (os.getpid(), threading.get_ident()))
    if not _held.get(key):
        _take(folder)
    _held[key] = _held.get(key, 0) + 1
    try:
        yield
    finally:
        _held[key] -= 1
        if not _held[key]:
            del _held[key]
            _release(folder)


def process_start(pid: int) -> str | None:
    """Return a text that distinguishes a process from others with the same id at other times, None if it does not run.

    An empty text means that it runs, but its start time is unknown.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"  # a zombie no longer runs
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it runs, under another user
        return ""
    return ""


def _take(folder: Path) -> None:
    path = folder / LOCK
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not _same_file(descriptor, path):
                    continue  # its owner has just removed it; there may already be a new one
                _refuse_if_alive(folder, os.pread(descriptor, 4096, 0))
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(_own_mark()).encode(), 0)
                return
            finally:
                os.close(descriptor)
    except OSError as problem:
        raise out_of_space(problem, path, 200) from problem


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _own_mark() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "start": process_start(os.getpid()) or "",
        "host": socket.gethostname(),
        "since": datetime.now().isoformat(timespec="seconds"),
    }


def _refuse_if_alive(folder: Path, content: bytes) -> None:
    """Raise `ConfigError` if the lock's process runs; an unreadable lock was truncated while it was written."""
    try:
        mark = json.loads(content)
        pid, start, host = int(mark["pid"]), str(mark["start"]), str(mark["host"])
        since = datetime.fromisoformat(mark["since"])
    except (ValueError, KeyError, TypeError):
        return
    clock = since.strftime("%H:%M" if since.date() == datetime.now().date() else "%Y-%m-%d %H:%M")
    if host != socket.gethostname():
        raise ConfigError(
            f"{folder} is locked by pid {pid} on {host} since {clock}; choose another out=, "
            f"or delete {folder / LOCK} if that run is dead"
        )
    running = process_start(pid)
    if running is not None and (running == start or "" in (running, start)):
        raise ConfigError(
            f"{folder} is locked by pid {pid} since {clock}; wait for that run, stop it, or choose another out="
        )


def _release(folder: Path) -> None:
    with suppress(OSError, ValueError):
        path = folder / LOCK
        mark = json.loads(path.read_bytes() or b"{}")
        if isinstance(mark, dict) and mark.get("pid") == os.getpid():
            path.unlink()
