"""Reused memory for the large tensors that every training step allocates.

A large tensor that is freed returns to the system, and the next one of its size is faulted in page by page: for spiking
nets up to a tenth of a step. `empty` keeps the memory of its tensors, up to `LIMIT` unused bytes. Memory is reclaimed
when the last view of a tensor is gone, so results and gradients live as long as they are referenced.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]

LIMIT = 64 << 20
SMALLEST = 64 << 10  # the allocator itself keeps smaller blocks
LINE = 64  # bytes of a cache line, to which tensors are aligned
_TYPES: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.float64: np.float64, torch.uint8: np.uint8}

# Free memory by its identity, the longest unused first. A tensor may be freed at any moment, in another thread or by
# the garbage collector, so this is accessed only by single operations; searches use a copy.
_free: dict[int, Array] = {}


class _Lease:
    """Lends memory to numpy: arrays over it refer to this object, which ends with the last of them."""

    __slots__ = ("__array_interface__", "memory")

    def __init__(self, memory: Array) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, free: dict[int, Array] = _free) -> None:
        free[id(self.memory)] = self.memory
        kept = list(dict(free).values())
        surplus = sum(map(len, kept)) - LIMIT
        while surplus > 0:
            oldest = kept.pop(0)
            surplus -= len(oldest)
            free.pop(id(oldest), None)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return `torch.empty(shape, dtype=dtype)` on the CPU, over reused memory if a free block fits."""
    size = math.prod(shape) * dtype.itemsize
    if dtype not in _TYPES or size < SMALLEST:
        return torch.empty(shape, dtype=dtype)
    array = np.asarray(_Lease(_find(size)))
    return torch.from_numpy(array[:size].view(_TYPES[dtype]).reshape(shape))


def _find(size: int) -> Array:
    """Return free memory of `size` bytes, or up to an eighth more; new memory if there is none."""
    for key, memory in dict(_free).items():
        if size <= len(memory) <= size + size // 8:
            found = _free.pop(key, None)  # None: another thread took it
            if found is not None:
                return found
    whole = np.empty(size + LINE, np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + size]
