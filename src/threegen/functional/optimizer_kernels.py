"""Updates of weights in few passes over memory.

An optimiser written with elementary operations reads and writes each weight's numbers a dozen times; for nets of this
size that is a fifth of a training step. What is here stays in torch's own kernels and so in torch's own threads: a
kernel with a second pool of threads loses more at the hand-over than one pass saves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# torch's one-pass Adagrad for the CPU. It is not part of torch's public interface: without it the plain way is taken.
_one_pass_adagrad: Any = getattr(torch, "_fused_adagrad_", None)
_ZERO_STEPS = torch.zeros(())


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

    of which the second half is Adagrad's update without epsilon, for which torch has a kernel that reads and writes
    each number once. Tensors on other devices, of other types or scattered in memory take elementary operations, as
    all do with `fused=False`.
    """
    rate = lr / math.sqrt(1.0 - rho)
    triples = list(zip(weights, gradients, shifted, strict=True))
    whole = [triple for triple in triples if fused and can_fuse(*triple)]
    if whole:
        own, slopes, sums = (list(tensors) for tensors in zip(*whole, strict=True))
        for total in sums:
            torch.add(total.new_tensor(eps), total, alpha=rho, out=total)
        steps = [_ZERO_STEPS] * len(sums)
        _one_pass_adagrad(
            own, slopes, sums, steps, lr=rate, lr_decay=0.0, weight_decay=weight_decay, eps=0.0, maximize=False
        )
    if len(whole) < len(triples):
        _elementary([triple for triple in triples if not (fused and can_fuse(*triple))], rate, rho, eps, weight_decay)


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
    """Return whether torch's kernel may walk over the tensors as flat memory: on the CPU, of one type, dense alike."""
    first = tensors[0]
    if _one_pass_adagrad is None or first.dtype not in (torch.float32, torch.float64):
        return False
    return all(
        tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype == first.dtype
        and tensor.stride() == first.stride()
        and (tensor.is_contiguous() or (tensor.dim() == 2 and tensor.mT.is_contiguous()))
        for tensor in tensors
    )
