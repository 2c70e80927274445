"""The cache of compiled kernels: a separate folder, only for functions of threegen.

numba reads `numba.config.CACHE_DIR` when a function is decorated and remembers the folder for that function. It is set
only for that moment and then restored, so that the user's functions stay in numba's usual folder. If the user has set
`NUMBA_CACHE_DIR`, threegen's folder is inside that one.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_deciding = threading.RLock()


@cache
def cache_folder() -> Path:
    """Return the folder of compiled kernels, the system's temporary one if no other can be written."""
    folder = _base() / kernel_fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="threegen-numba-"))


def _base() -> Path:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen) / "threegen"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "threegen" / "numba"


def kernel_files() -> list[Path]:
    """Return every file that can affect the compiled code: `functional`, `machine`, and each `*kernels.py`."""
    package = Path(__file__).parents[1]
    inside = {path for part in ("functional", "machine") for path in (package / part).rglob("*.py")}
    return sorted(inside | set(package.rglob("*kernels.py")))


def kernel_fingerprint() -> str:
    """Return a name for the current text of all kernels.

    numba recompiles a changed file, but not its callers in other files: kernels of an older release would keep the code
    that they were compiled with.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in kernel_files():
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cached_here(decorate: Callable[[], Any], config: Any) -> Any:
    """Return the result of `decorate`: a numba function whose compiled code is cached in threegen's folder.

    Args:
        decorate: calls `numba.njit(cache=True, ...)` on a kernel.
        config: the module `numba.config`; its folder is restored.
    """
    with _deciding:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(cache_folder())
        try:
            kernel = decorate()
        finally:
            config.CACHE_DIR = before
    _save_in_turn(kernel)
    return kernel


def _save_in_turn(kernel: Any) -> None:
    """Allow only one process at a time to write a kernel's files.

    If two processes add different signatures at once, numba gives both files the same number, and the index could then
    refer to code for the wrong types.
    """
    kept: Any = kernel._cache  # private to numba, and tested (`tests/machine`)
    save = kept.save_overload

    def save_alone(signature: Any, compiled: Any) -> None:
        with _one_process_at_a_time():
            save(signature, compiled)

    kept.save_overload = save_alone


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    """Hold the folder's lock; the operating system frees it if this process dies."""
    if sys.platform == "win32":  # numba itself retries there
        yield
        return
    import fcntl

    with (cache_folder() / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
