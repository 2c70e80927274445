"""States of a layer that know where they are not 0, for products without a graph.

A rule lists the states of a batch once (`ListRooms.listed`); the layer above sums the rows of its weights over the
list (`weigh`), and the gradient of the weights is made from the same list (`sum_of_products`). Where lists do not pay,
or the weights do not lie by inputs in memory, all of this is the ordinary products.

Shapes: R rows, N inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.functional.layouts import lies_by_inputs, pays
from threegen.functional.sparse_matrix import SparseMatrix

MOST_ROWS = 1024  # lists of more rows would take more memory than is worth while
_REAL = (torch.float32, torch.float64)


class ListRooms:
    """Memory for the lists of a rule's states, by a name for each; it is used again from batch to batch."""

    def __init__(self) -> None:
        self._rooms: dict[str, SparseMatrix] = {}

    def listed(self, name: str, states: Tensor, weight: Tensor) -> Tensor:
        """Return `states` [R, N], with lists where products with `weight` [O, N] are quicker so.

        The lists hold until `name` is asked for again; the states must not be changed as long as they are used.
        """
        fitting = states.dim() == 2 and states.is_cpu and weight.is_cpu and states.dtype == weight.dtype
        if not (fitting and states.dtype in _REAL and states.is_contiguous() and lies_by_inputs(weight)):
            return states
        rows, inputs = states.shape
        if rows > MOST_ROWS or not pays(rows, inputs, len(weight)):
            return states
        room = self._rooms.get(name)
        if room is None or not room.fits(states):
            room = self._rooms[name] = SparseMatrix(rows, inputs, states.dtype)
        own = states.detach()  # another tensor of the same memory: nobody else's keeps the lists
        if room.take(own):
            own.lists = room  # type: ignore[attr-defined]
        return own


def _lists(states: Tensor, weight: Tensor) -> SparseMatrix | None:
    """Return the lists of `states` where they can be used with a weight as it lies now."""
    lists: SparseMatrix | None = getattr(states, "lists", None)
    return lists if lists is not None and lies_by_inputs(weight) else None


def weigh(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return bias + states W^T [..., O] of `states` [..., N] and `weight` [O, N]."""
    lists = None if torch.is_grad_enabled() else _lists(states, weight)
    if lists is None:
        return F.linear(states, weight, bias)
    result = states.new_empty(len(states), len(weight))
    lists.times(weight.detach().t().numpy(), result.numpy(), bias.detach().numpy())
    return result


@torch.no_grad()
def sum_of_products(pairs: Sequence[tuple[Tensor, Tensor]], weight: Tensor, keep: float) -> Tensor:
    """Return keep * weight + the sum of D^T X [O, N] over pairs of states X [R, N] and D [R, O], lying as `weight`."""
    kept, lists = weight.detach(), [_lists(states, weight) for states, _ in pairs]
    if not any(lists):  # one product of all, one above the other
        states, above = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        if lies_by_inputs(weight):
            return torch.addmm(kept.t(), states.t(), above, beta=keep).t()
        return torch.addmm(kept, above.t(), states, beta=keep)
    result, begun = torch.empty_like(kept.t()), 0.0
    for own, (states, above) in zip(lists, pairs, strict=True):
        if own is None:
            result.addmm_(states.t(), above, beta=begun)
        else:
            own.transposed_times(above.contiguous().numpy(), result.numpy(), keep=begun)
        begun = 1.0
    return (result.add_(kept.t(), alpha=keep) if keep else result).t()
