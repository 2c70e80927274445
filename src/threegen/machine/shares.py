"""Draws for the share of a batch of one of several processes, equal to the draws of a single process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Draw = Callable[[Tensor, torch.Generator | None], Tensor]
SHARE: list[tuple[int, int, int]] = []  # this process's rows of a batch: first, end, total; empty outside the block


@contextmanager
def share_of_rows(first: int, end: int, count: int) -> Iterator[None]:
    """Inside the block, draw as for a batch of `count` rows, of which this process has those from `first` to `end`.

    Processes that share a batch, with generators in the same state, then draw the same numbers as a single process.
    """
    SHARE.append((first, end, count))
    try:
        yield
    finally:
        SHARE.pop()


def draw_as_share(draw: Draw, values: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return the share's rows of the draw for the whole batch."""
    first, end, count = SHARE.pop()
    try:
        if values.dim() < 2 or len(values) != end - first:
            return draw(values, generator)
        whole = values.new_zeros((count, *values.shape[1:]))
        whole[first:end] = values
        return draw(whole, generator)[first:end]
    finally:
        SHARE.append((first, end, count))
