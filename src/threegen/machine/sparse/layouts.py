"""The storage of weights while kernels train them, and when sparse products pay off.

Parameters are contiguous: `nn.Linear.weight` [O, N] is stored row by row. Some kernels iterate over the outgoing
weights of one input, a row of the table [N, O]. A module with such kernels names these weights by a method
`input_major()`, and `stored_by_inputs` stores them input-major (as the transposed view of a contiguous table; shapes
and values are the same) inside a `with` block: `fit` trains inside one. Elsewhere, as in a user's own training loop,
kernels copy the table in and out at each call, and plain products use the weight as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from threegen.machine.processor import has_wide_vectors as has_wide_vectors  # re-exported for users of this module

FEWEST_ROWS, FEWEST_COLUMNS, FEWEST_OUTPUTS = 32, 64, 64  # with fewer, dense products are faster
FEWEST_PRODUCTS = 1 << 22  # with fewer in total, compiling a kernel is not worth the time


def pays(rows: int, columns: int, outputs: int) -> bool:
    """Return whether a product `[rows, columns] [columns, outputs]` is faster if zeros are skipped, provided that most
    entries are 0."""
    large = rows >= FEWEST_ROWS and columns >= FEWEST_COLUMNS and outputs >= FEWEST_OUTPUTS
    return large and rows * columns * outputs >= FEWEST_PRODUCTS and has_wide_vectors()


def may_pay(weight: Tensor) -> bool:
    """Return whether lists of inputs may pay off for a weight [O, N], so that it should be stored as [N, O]."""
    return has_wide_vectors() and weight.shape[1] >= FEWEST_COLUMNS and len(weight) >= FEWEST_OUTPUTS


def lay_out(weight: Tensor) -> Tensor:
    """Return a weight [O, N] with the same values that is stored as [N, O]; itself if it is stored so already."""
    return weight if lies_by_inputs(weight) else weight.t().contiguous().t()


def lies_by_inputs(weight: Tensor) -> bool:
    """Return whether a weight [O, N] is stored as [N, O]."""
    return weight.stride() == (1, weight.shape[0])  # called several times per step: one call, no view


def stored_like(values: Tensor, like: Tensor) -> Tensor:
    """Return `values` stored as `like`, a tensor of the same shape: themselves if they are, else a copy.

    torch's fused optimisers read a weight, its gradient and its state as flat memory.
    """
    if values.stride() == like.stride():
        return values
    return torch.empty_like(like, dtype=values.dtype, requires_grad=False).copy_(values)


def flat(values: Tensor) -> Tensor:
    """Return the entries of a tensor in one dimension, in storage order; a copy only if they are not contiguous."""
    if not values.is_contiguous():
        values = (values.mT if values.dim() == 2 else values).contiguous()
    return values if values.dim() == 1 else values.view(-1)


def is_table(values: Tensor) -> bool:
    """Return whether a tensor is contiguous, or the transposed view of a contiguous matrix."""
    return values.is_contiguous() or (values.dim() == 2 and values.mT.is_contiguous())


@torch.no_grad()
def store_states_like_weights(optimizer: torch.optim.Optimizer) -> None:
    """Store each state tensor like its weight: otherwise fused kernels permute the entries, or round differently."""
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entries[key] = stored_like(value, parameter)


@contextmanager
def stored_by_inputs(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Store the weights that `modules` and their parts name by `input_major()` as [N, O] inside the block.

    Afterwards, also after an exception, they are contiguous again. Weights on a GPU, those that share memory with other
    tensors or processes, and those that are not parameters (pruned and parametrised weights) are not changed.
    """
    turned = [weight for module in modules for weight in _named(module) if _is_alone(weight)]
    try:
        for weight in turned:
            weight.data = lay_out(weight.data)
        yield
    finally:
        for weight in turned:
            weight.data = weight.data.contiguous()
            if weight.grad is not None:
                weight.grad = weight.grad.contiguous()


def _named(module: nn.Module) -> Iterator[nn.Parameter]:
    seen: set[int] = set()
    for part in module.modules():
        name = getattr(part, "input_major", None)
        for weight in name() if callable(name) else ():
            if isinstance(weight, nn.Parameter) and weight.dim() == 2 and id(weight) not in seen:
                seen.add(id(weight))
                yield weight


def _is_alone(weight: nn.Parameter) -> bool:
    """Return whether no other user of the memory of `weight` is known, so that it may be moved."""
    shared: bool = weight.is_shared()  # type: ignore[no-untyped-call]
    if weight.device.type != "cpu" or shared or not weight.is_contiguous():
        return False
    return weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()
