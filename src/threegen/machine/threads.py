"""The number of threads of torch and the kernels. Nothing else sets a number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from threegen.checks import require_whole
from threegen.machine.waiting import available_cores

__all__ = ["available_cores", "use_threads"]


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Run a block on `threads` threads and restore the former number, also after an exception."""
    require_whole("threads", threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
