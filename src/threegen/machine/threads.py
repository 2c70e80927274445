"""The one place that sets how many threads torch and numba use, and where numba keeps what it compiled.

numba is imported on first use only, through `ready_numba`. A kernel made by `parallel` exists twice: over several
threads, used where numba's threading layer shares them well with torch ("omp" or "tbb"), and as its serial twin.
Both run the same code over the same blocks, so the number of threads never changes a result.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import torch

from threegen.checks import require_whole

LAYERS = ("omp", "tbb")  # the third one, "workqueue", aborts when several Python threads launch kernels


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


@cache
def ready_numba() -> Any:
    """Return the module numba, its cache folder and its threading layer set; call this instead of importing it.

    Compiled kernels are kept in the user's cache folder, or where NUMBA_CACHE_DIR says.
    """
    folder = os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))
    numba: Any = importlib.import_module("numba")

    numba.config.CACHE_DIR = folder
    if numba.config.CPU_FEATURES is None and (wide := _features_with_wide_vectors()):
        numba.config.CPU_FEATURES = wide
    if not os.environ.get("NUMBA_THREADING_LAYER"):
        numba.config.THREADING_LAYER_PRIORITY = [*LAYERS, "workqueue"]
    return numba


def _features_with_wide_vectors() -> str | None:
    """Return what the processor can do, for numba, with vectors of 512 bits where they cost no clock rate.

    LLVM takes 256 bits on Intel's processors, for the sake of the first ones with AVX-512, which slowed down; those
    that know bfloat16 do not. Sums of rows then take two thirds of the time. None where nothing is to be said.
    """
    binding: Any = importlib.import_module("llvmlite.binding")
    features = binding.get_host_cpu_features()
    return f"{features.flatten()},-prefer-256-bit" if features.get("avx512bf16") else None


@cache
def has_half_vectors() -> bool:
    """Return whether the processor adds and multiplies vectors of sixteen-bit numbers, twice as many as of float32."""
    ready_numba()
    binding: Any = importlib.import_module("llvmlite.binding")
    return bool(binding.get_host_cpu_features().get("avx512fp16"))


def _cache_folder() -> Path:
    """Return a folder for compiled kernels that can be written, the system's temporary one where no other can."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "threegen" / "numba" / _kernel_sources()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="threegen-numba-"))


def kernel_files() -> list[Path]:
    """Return every file whose text can change what is compiled: all of `functional` and `machine`, and data kernels."""
    package = Path(__file__).parents[1]
    rooms = [path for room in ("functional", "machine") for path in (package / room).rglob("*.py")]
    return sorted([*rooms, *(package / "datasets").rglob("*kernels.py")])


def _kernel_sources() -> str:
    """Return a name for the present text of all kernels.

    numba compiles a changed file again, but not what calls it from another one: kernels of an older release would go on
    with the code that they were compiled with.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in kernel_files():
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@cache
def threading_layer() -> str:
    """Return numba's threading layer: "omp" and "tbb" share threads well with torch, "workqueue" does not.

    Answers "none" where no layer can be loaded. Starts numba's threads, once in the life of a process.
    """
    numba = ready_numba()
    try:
        parallel = importlib.import_module("numba.np.ufunc.parallel")
        parallel._launch_threads()  # what the first parallel kernel does; there is no public way without compiling one
        return str(numba.threading_layer())
    except (ImportError, AttributeError, ValueError):
        return "none"


def serial(function: Callable[..., Any]) -> Any:
    """Return `function` compiled by numba for one thread; it runs without Python's global lock."""
    return ready_numba().njit(cache=True, nogil=True, error_model="numpy")(function)


def regrouping(function: Callable[..., Any]) -> Any:
    """Return `function` compiled as by `serial`; sums in it may be added up in another order, many terms at a time."""
    free = {"reassoc", "nsz", "contract"}
    return ready_numba().njit(cache=True, nogil=True, error_model="numpy", fastmath=free)(function)


def parallel(function: Callable[..., Any]) -> ParallelKernel:
    """Return `function`, which loops over independent blocks by `prange`, as a kernel for one thread and several."""
    return ParallelKernel(function)


class ParallelKernel:
    """A numba kernel with a serial twin; each is compiled on its first call and kept in the cache folder.

    A file of such kernels alone may say `numba: Any = None`: the name gets its module before the first one is compiled,
    and whoever imports the file need not wait for it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = cast(FunctionType, function)
        self.__doc__ = function.__doc__

    @cached_property
    def serial(self) -> Any:
        """The twin for one thread."""
        self.function.__globals__["numba"] = ready_numba()
        return serial(self.function)

    @cached_property
    def threaded(self) -> Any:
        """The kernel over numba's threads. It has a name of its own, or numba would mix up the two in its cache."""
        own = self.function
        own.__globals__["numba"] = ready_numba()
        twin = FunctionType(own.__code__, own.__globals__, f"{own.__name__}_threaded", own.__defaults__)
        twin.__qualname__ = f"{own.__qualname__}_threaded"
        twin.__module__ = own.__module__
        return ready_numba().njit(cache=True, nogil=True, error_model="numpy", parallel=True)(twin)

    def __call__(self, *arguments: Any) -> Any:
        """Run the kernel on as many threads as torch uses."""
        threads = torch.get_num_threads()
        if threads == 1 or threading_layer() not in LAYERS:
            return self.serial(*arguments)
        numba = ready_numba()
        allowed = min(threads, numba.config.NUMBA_NUM_THREADS)
        if numba.get_num_threads() != allowed:
            numba.set_num_threads(allowed)
        return self.threaded(*arguments)
