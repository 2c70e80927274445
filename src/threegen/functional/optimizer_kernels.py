"""Updates of weights in one pass over memory: each number is read once and written once.

torch's plain optimisers walk over weights, gradients and averages five times; for nets of this size, whose gradients
just fit into the cache, that is a fifth of a training step. The kernels are branch-free, so that they are vectorised,
and each number depends on its own gradient alone: the number of threads does not change a bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.threads import parallel, ready_numba

numba: Any = None  # loaded by the first call: whoever trains without these kernels does not wait for it

_BLOCK = 16_384  # numbers a block: three arrays of it fit into a core's second-level cache
_FEW = 32_768  # below this starting threads costs more than they bring


@parallel
def _rmsprop(
    weights: Any, gradients: Any, averages: Any, rate: Any, keep: Any, take: Any, eps: Any, decay: Any
) -> None:
    """Walk over flat arrays of one type; the constants have that type too."""
    size = weights.size
    for block in numba.prange((size + _BLOCK - 1) // _BLOCK):
        start, end = block * _BLOCK, min(size, (block + 1) * _BLOCK)
        w, g, v = weights[start:end], gradients[start:end], averages[start:end]
        for i in range(w.size):
            gradient = g[i] + decay * w[i]
            average = keep * v[i] + take * gradient * gradient
            v[i] = average
            w[i] -= rate * gradient / np.sqrt(average + eps)


def can_fuse(*tensors: Tensor) -> bool:
    """Return whether tensors can be walked over as flat arrays: on the CPU, of one type and one dense layout."""
    first = tensors[0]
    return first.dtype in (torch.float32, torch.float64) and all(
        tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype == first.dtype
        and tensor.stride() == first.stride()
        and _is_dense(tensor)
        for tensor in tensors
    )


def _is_dense(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or (tensor.dim() == 2 and tensor.mT.is_contiguous())


@torch.no_grad()
def rmsprop_(
    weight: Tensor, gradient: Tensor, average: Tensor, *, lr: float, rho: float, eps: float, weight_decay: float = 0.0
) -> None:
    """Apply one update of RMSprop to `weight` and `average` in place; all three have one shape, type and layout.

        v <- rho v + (1 - rho) g^2        w <- w - lr g / sqrt(v + eps)        g includes weight_decay * w

    The caller asks `can_fuse` first. Source: as `KerasRMSprop`, whose plain form is the oracle of this one.
    """
    global numba
    if numba is None:
        numba = ready_numba()
    number = np.float64 if weight.dtype == torch.float64 else np.float32
    arrays = [_as_flat(tensor) for tensor in (weight.detach(), gradient, average)]
    constants = [number(value) for value in (lr, rho, 1.0 - rho, eps, weight_decay)]
    kernel = _rmsprop.serial if weight.numel() <= _FEW else _rmsprop
    kernel(*arrays, *constants)


def _as_flat(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return the tensor's memory as a flat array that shares it."""
    return (tensor if tensor.is_contiguous() else tensor.mT).view(-1).numpy()
