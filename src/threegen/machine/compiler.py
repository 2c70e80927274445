"""Kernels: functions that numba compiles on their first call, for one thread and for several.

numba is imported on first use only, through `ready_numba`. A kernel made by `parallel` exists in two versions: a
threaded one, used if numba's threading layer works well with torch's ("omp" or "tbb"), and a serial one. Both run the
same code over the same blocks, so the number of threads never changes a result.

The user's numba settings are not changed: see `compile_cache` for the folder and `processor` for the instruction set.
numba's order of threading layers is not changed either.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import cache, cached_property
from types import FunctionType
from typing import Any, cast

import torch

from threegen.machine.compile_cache import cached_here
from threegen.machine.processor import choose_instructions

LAYERS = ("omp", "tbb")  # the third one, "workqueue", aborts when several Python threads launch kernels
_OURS = __name__.partition(".")[0]


@cache
def ready_numba() -> Any:
    """Return the module numba with its instruction set chosen if that is still possible; call this instead of
    import."""
    numba: Any = importlib.import_module("numba")
    choose_instructions()
    _announce_compilation()
    return numba


def _announce_compilation() -> None:
    """Print one line on standard error when the first kernel of this process is compiled."""
    event: Any = importlib.import_module("numba.core.event")

    class Announcement(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            kernel = event.data["dispatcher"].py_func
            if kernel.__module__.partition(".")[0] == _OURS and not announced:
                announced.append(True)
                sys.stderr.write("compiling kernels, once: about 15 s\n")
                sys.stderr.flush()

        def on_end(self, event: Any) -> None:
            pass

    announced: list[bool] = []
    event.register("numba:compile", Announcement())


@cache
def threading_layer() -> str:
    """Return numba's threading layer: "omp" and "tbb" share threads well with torch, "workqueue" does not.

    Returns "none" if no layer can be loaded. Starts numba's threads, once per process.
    """
    numba = ready_numba()
    try:
        parallel = importlib.import_module("numba.np.ufunc.parallel")
        parallel._launch_threads()  # as the first parallel kernel does; there is no public function for that
        return str(numba.threading_layer())
    except (ImportError, AttributeError, ValueError):
        return "none"


def serial(function: Callable[..., Any]) -> Any:
    """Return `function` compiled by numba for one thread; it runs without Python's global lock."""
    return _compiled(function)


def regrouping(function: Callable[..., Any]) -> Any:
    """Return `function` compiled as by `serial`; its sums may be computed in another order, many terms at a time."""
    return _compiled(function, fastmath={"reassoc", "nsz", "contract"})


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    numba = ready_numba()
    njit = numba.njit(cache=True, nogil=True, error_model="numpy", **options)
    return cached_here(lambda: njit(function), numba.config)


def parallel(function: Callable[..., Any]) -> ParallelKernel:
    """Return `function`, which loops over independent blocks by `prange`, as a kernel for one thread and several."""
    return ParallelKernel(function)


class ParallelKernel:
    """A numba kernel with a serial version; each is compiled on its first call and stored in the cache folder.

    A file with only such kernels may contain `numba: Any = None`: the name is bound to the module before the first
    kernel is compiled, so that importing the file does not import numba.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = cast(FunctionType, function)
        self.__doc__ = function.__doc__

    @cached_property
    def serial(self) -> Any:
        """The version for one thread."""
        self.function.__globals__["numba"] = ready_numba()
        return serial(self.function)

    @cached_property
    def threaded(self) -> Any:
        """The version over numba's threads. It has its own name, or numba would confuse the two in its cache."""
        own = self.function
        own.__globals__["numba"] = ready_numba()
        twin = FunctionType(own.__code__, own.__globals__, f"{own.__name__}_threaded", own.__defaults__)
        twin.__qualname__ = f"{own.__qualname__}_threaded"
        twin.__module__ = own.__module__
        return _compiled(twin, parallel=True)

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
