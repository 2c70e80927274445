"""Updates of weights in one pass over memory.

An optimiser written with elementary operations reads and writes the numbers of each weight a dozen times; for nets of
this size that takes a fifth of a training step. torch has no fused kernel for RMSprop with epsilon inside the root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from threegen.functional.optimization.rmsprop_fused import move_weights
from threegen.machine.sparse.layouts import flat, is_table

Triple = tuple[Tensor, Tensor, Tensor]  # a weight, its gradient, its shifted average


def shift_average(average: Tensor, rho: float, eps: float) -> Tensor:
    """Return s = (v + eps) / (1 - rho), the form in which `rmsprop_` keeps the running average v of squares."""
    return (average + eps) / (1.0 - rho)


def unshift_average(shifted: Tensor, rho: float, eps: float) -> Tensor:
    """Return v = (1 - rho) s - eps; values far below eps lose precision, without effect on any update."""
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
    """Apply one update of RMSprop, epsilon inside the root, to `weights` and `shifted` in place.

        v <- rho v + (1 - rho) g^2        w <- w - lr g / sqrt(v + eps)        g includes weight_decay * w

    With s = (v + eps) / (1 - rho) these two lines are

        s <- (rho s + eps) + g^2          w <- w - lr / sqrt(1 - rho) * g / sqrt(s)

    which is one pass. Elementary operations are used for tensors on other devices, of types other than float32 and
    float64 or not dense in memory, and for all with `fused=False`.
    """
    rate = lr / math.sqrt(1.0 - rho)
    rest: list[Triple] = []
    for triple in zip(weights, gradients, shifted, strict=True):
        if fused and can_fuse(*triple):
            _in_one_pass(triple, rho, eps, rate, weight_decay)
        else:
            rest.append(triple)
    if rest:
        _elementary(rest, rate, rho, eps, weight_decay)


def _in_one_pass(triple: Triple, *constants: float) -> None:
    """Update a weight and its average; `constants` are rho, epsilon, the rate and the weight decay."""
    weight, gradient, shifted = (flat(tensor.detach()).numpy() for tensor in triple)
    move_weights(weight, gradient, shifted, *map(weight.dtype.type, constants))


def _elementary(triples: list[Triple], rate: float, rho: float, eps: float, weight_decay: float) -> None:
    for weight, given, shifted in triples:
        gradient = given.add(weight, alpha=weight_decay) if weight_decay else given
        shifted.mul_(rho).add_(eps).addcmul_(gradient, gradient)
        weight.addcdiv_(gradient, shifted.sqrt(), value=-rate)


def can_fuse(first: Tensor, *others: Tensor) -> bool:
    """Return whether a kernel can treat the tensors as flat memory: real numbers on the CPU, all dense in the same
    order."""
    dtype, stride = first.dtype, first.stride()
    if dtype not in _REAL or not first.is_cpu or not is_table(first):
        return False
    for other in others:  # as large as the first, so its memory is dense if the strides are equal
        if other.layout != torch.strided or other.dtype != dtype or other.stride() != stride or not other.is_cpu:
            return False
    return True


_REAL = (torch.float32, torch.float64)
