"""States of a layer with lists of their nonzero entries, for products without a graph.

A rule lists the states of a batch once (`ListBuffers.listed`); the layer above sums the rows of its weights over the
list (`weigh`), and the directions of the weights are computed from the same list (`ListBuffers.differences`). If lists
do not pay off, or the weights are not stored input-major, ordinary products are used.

Shapes: R rows, N inputs, O outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.machine.sparse.layouts import lies_by_inputs, pays
from threegen.machine.sparse.sparse_matrix import MOST, MOST_TURNED, SparseMatrix, Stack

MOST_ROWS = 1024  # lists of more rows would take too much memory
_REAL = (torch.float32, torch.float64)


class ListBuffers:
    """Memory for the lists of a rule's states, by name; it is reused from batch to batch."""

    def __init__(self) -> None:
        self._buffers: dict[str, SparseMatrix] = {}
        self._stack: tuple[SparseMatrix, SparseMatrix, Stack] | None = None  # a stack of two of them

    def listed(self, name: str, states: Tensor, weight: Tensor, *, above: bool = False) -> Tensor:
        """Return `states` [R, N], with lists if these make products with `weight` [O, N] faster; [R, O] if `above`.

        The lists are valid until `name` is requested again; the states must not be changed while they are used.
        """
        fitting = states.dim() == 2 and states.is_cpu and weight.is_cpu and states.dtype == weight.dtype
        if not (fitting and states.dtype in _REAL and states.is_contiguous() and lies_by_inputs(weight)):
            return states
        if len(states) > MOST_ROWS or not pays(len(states), *weight.shape):
            return states
        buffer = self._buffers.get(name)
        if buffer is None or not buffer.fits(states):
            buffer = self._buffers[name] = SparseMatrix(states.shape, states.dtype)
        own = states.detach()  # a new tensor over the same memory, so that no other tensor holds the lists
        if buffer.take(own, MOST_TURNED if above else MOST):
            own.lists = buffer  # type: ignore[attr-defined]
        return own

    @torch.no_grad()
    def differences(
        self, one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], weight: Tensor, keep: float
    ) -> tuple[Tensor, Tensor, float]:
        """Return keep W + the mean of d^T x over one set of states minus that over the other [O, N], and so d's [O].

        Both sets are states x [R, N] and those of the layer above, d [R, O]. The first result has the memory layout of
        `weight`; the third one is the sum of its squares, infinite if it is not known.
        """
        (x, d), (y, e) = one, other
        shares = 1.0 / len(x), -1.0 / len(y)
        lists = _lists(x, weight), _lists(y, weight)
        if lists[0] is None or lists[1] is None:
            return *_mixed_differences(one, other, lists, weight.detach(), keep), math.inf
        kept = weight.detach().t()
        result, tables = torch.empty_like(kept), [part.contiguous().numpy() for part in (d, e)]
        sums, squares = self._stacked(lists[0], lists[1]).transposed_times(
            tables[0],
            result.numpy(),
            scale=shares[0],
            below=(tables[1], shares[1]),
            keep=keep,
            old=kept.numpy(),
            sums=True,
        )
        return result.t(), torch.from_numpy(sums), squares

    def _stacked(self, upper: SparseMatrix, lower: SparseMatrix) -> Stack:
        """Return the two, one above the other; rebuilt only if they have changed."""
        if self._stack is None or self._stack[0] is not upper or self._stack[1] is not lower:
            self._stack = (upper, lower, Stack(upper, lower))
        return self._stack[2]


def _mixed_differences(
    one: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor],
    lists: tuple[SparseMatrix | None, SparseMatrix | None],
    kept: Tensor,
    keep: float,
) -> tuple[Tensor, Tensor]:
    """As `ListBuffers.differences` if not all states are listed, with torch's products for those that are not."""
    (x, d), (y, e) = one, other
    share, rows = 1.0 / len(x), len(x)
    above = torch.cat((d, e * (-rows / len(y))))
    total = above.sum(0).mul_(share)
    if lists[0] is None and lists[1] is None:  # one product of all
        states = torch.cat((x, y))
        if lies_by_inputs(kept):
            return torch.addmm(kept.t(), states.t(), above, beta=keep, alpha=share).t(), total
        return torch.addmm(kept, above.t(), states, beta=keep, alpha=share), total
    result = torch.empty_like(kept.t())
    for own, part in zip(lists, (above[:rows], above[rows:]), strict=True):
        if own is not None:
            own.transposed_times(part.numpy(), result.numpy(), scale=share, keep=keep, old=kept.t().numpy())
    for own, states, part in zip(lists, (x, y), (above[:rows], above[rows:]), strict=True):
        if own is None:
            result.addmm_(states.t(), part, alpha=share)
    return result.t(), total


def _lists(states: Tensor, weight: Tensor) -> SparseMatrix | None:
    """Return the lists of `states` if they can be used with a weight in its current layout."""
    lists: SparseMatrix | None = getattr(states, "lists", None)
    return lists if lists is not None and lies_by_inputs(weight) else None


def weigh_down(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return bias + states W [..., N] of `states` [..., O] above a `weight` [O, N]."""
    lists = None if torch.is_grad_enabled() else _lists(states, weight)
    if lists is None:
        return F.linear(states, weight.T, bias)
    result = states.new_empty(len(states), weight.shape[1])
    lists.times(weight.detach().t().numpy(), result.numpy(), bias.detach().numpy(), turned=True)
    return result


def weigh(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return bias + states W^T [..., O] of `states` [..., N] and `weight` [O, N]."""
    lists = None if torch.is_grad_enabled() else _lists(states, weight)
    if lists is None:
        return F.linear(states, weight, bias)
    result = states.new_empty(len(states), len(weight))
    lists.times(weight.detach().t().numpy(), result.numpy(), bias.detach().numpy())
    return result
