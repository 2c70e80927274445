"""Updates of weights in one pass over memory.

An optimiser written with elementary operations reads and writes each weight's numbers a dozen times; for nets of this
size that is a fifth of a training step. The kernel here reads and writes each number once. It is serial: a second pool
of threads beside torch's loses more at the hand-over than it saves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.threads import serial


def shift_average(average: Tensor, rho: float, eps: float) -> Tensor:
    """Return s = (v + eps) / (1 - rho), the form in which `rmsprop_` keeps the running average v of squares."""
    return (average + eps) / (1.0 - rho)


def unshift_average(shifted: Tensor, rho: float, eps: float) -> Tensor:
    """Return v = (1 - rho) s - eps; values far below eps lose their digits, which no update can notice."""
    return (shifted * (1.0 - rho) - eps).clamp_(min=0.0)


@torch.no_grad()
def rmsprop_(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    shifted: Sequence[Tensor],
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float = 0.0,
    fused: bool = True,
) -> None:
    """Apply one update of RMSprop, epsilon inside of the root, to `weights` and `shifted` in place.

        v <- rho v + (1 - rho) g^2        w <- w - lr g / sqrt(v + eps)        g includes weight_decay * w

    With s = (v + eps) / (1 - rho) these two lines are

        s <- (rho s + eps) + g^2          w <- w - lr / sqrt(1 - rho) * g / sqrt(s)

    which one compiled pass carries out. Tensors on other devices, of other types than float32 or scattered in memory
    take elementary operations, as all do with `fused=False`.
    """
    rate = lr / math.sqrt(1.0 - rho)
    rest = []
    numbers = [np.float32(number) for number in (rate, rho, eps, weight_decay)]
    for triple in zip(weights, gradients, shifted, strict=True):
        if fused and can_fuse(*triple):
            _one_pass()(*(_flat(tensor) for tensor in triple), *numbers)
        else:
            rest.append(triple)
    if rest:
        _elementary(rest, rate, rho, eps, weight_decay)


def _elementary(
    triples: list[tuple[Tensor, Tensor, Tensor]], rate: float, rho: float, eps: float, weight_decay: float
) -> None:
    weights, gradients, sums = (list(tensors) for tensors in zip(*triples, strict=True))
    if weight_decay:
        gradients = list(torch._foreach_add(gradients, weights, alpha=weight_decay))
    torch._foreach_mul_(sums, rho)
    torch._foreach_add_(sums, eps)
    torch._foreach_addcmul_(sums, gradients, gradients)
    torch._foreach_addcdiv_(weights, gradients, torch._foreach_sqrt(sums), -rate)


def can_fuse(*tensors: Tensor) -> bool:
    """Return whether the kernel may walk over the tensors as flat memory: float32 on the CPU, dense alike."""
    first = tensors[0]
    stride = first.stride()
    return all(
        tensor.dtype == torch.float32
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.stride() == stride
        and (tensor.is_contiguous() or (tensor.dim() == 2 and tensor.mT.is_contiguous()))
        for tensor in tensors
    )


def _flat(tensor: Tensor) -> Any:
    """Return the memory of a dense tensor as a numpy vector."""
    values = tensor.detach()
    return (values if values.is_contiguous() else values.mT).numpy().reshape(-1)


@cache
def _one_pass() -> Any:
    """Return the compiled kernel; numba is loaded on the first update only."""
    return serial(_rmsprop)


def _rmsprop(weights: Any, gradients: Any, sums: Any, rate: Any, rho: Any, eps: Any, decay: Any) -> None:
    """Walk once over weights, gradients and sums, float32 vectors of one length.

    The reciprocal root is found by Newton's iteration, three steps from the well-known guess by halving the exponent,
    which is exact to the last digits of float32: a vector processor multiplies a dozen times while it divides once.
    """
    magic, one, half, more = np.int32(0x5F3759DF), np.int32(1), np.float32(0.5), np.float32(1.5)
    largest = np.float32(1e38)  # of the sums kept: its root and all products below stay finite
    for place in range(weights.size):
        slope = gradients[place] + decay * weights[place]
        total = np.float32(min(rho * sums[place] + eps + slope * slope, largest))
        sums[place] = total
        root = np.int32(magic - (total.view(np.int32) >> one)).view(np.float32)
        halved = half * total
        root = root * (more - halved * root * root)
        root = root * (more - halved * root * root)
        root = root * (more - halved * root * root)
        weights[place] -= rate * slope * root
