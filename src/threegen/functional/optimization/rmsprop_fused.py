"""A step of RMSprop, epsilon inside the root, in one pass over memory; it is called through `optimizer_kernels.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.machine.compiler import parallel

numba: Any = None  # the module, once a kernel is compiled: the optimisers are always imported

BLOCK = 16_384  # weights at a time, for one thread


def move_weights(weight: Any, *rest: Any) -> None:
    """Update flat weights; the arguments are those of the kernel below. One thread updates small ones."""
    kernel = _move if weight.size > BLOCK else _move.serial
    kernel(weight, *rest)


@parallel
def _move(weight: Any, gradient: Any, shifted: Any, rho: Any, eps: Any, rate: Any, decay: Any) -> None:
    for block in numba.prange((len(weight) + BLOCK - 1) // BLOCK):
        low, high = block * BLOCK, min((block + 1) * BLOCK, len(weight))
        w, g, s = weight[low:high], gradient[low:high], shifted[low:high]
        for i in range(len(w)):
            slope = g[i] + decay * w[i]
            s[i] = rho * s[i] + eps + slope * slope
            w[i] -= rate * slope / np.sqrt(s[i])
