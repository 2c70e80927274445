"""Draws for the rows that one of several processes has of a batch, as one process draws them for all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Draw = Callable[[Tensor, torch.Generator | None], Tensor]
SHARE: list[tuple[int, int, int]] = []  # the rows that this process has of a batch: first, end, all; empty outside


@contextmanager
def share_of_rows(first: int, end: int, count: int) -> Iterator[None]:
    """Draw inside the block as for a batch of `count` rows, of which this process has those from `first` to `end`.

    Processes that share a batch, with generators in one state, then draw what one process draws for all of it.
    """
    SHARE.append((first, end, count))
    try:
        yield
    finally:
        SHARE.pop()


def draw_as_share(draw: Draw, values: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return the share's rows of what `draw` gives for the whole batch."""
    first, end, count = SHARE.pop()
    try:
        if values.dim() < 2 or len(values) != end - first:
            return draw(values, generator)
        whole = values.new_zeros((count, *values.shape[1:]))
        whole[first:end] = values
        return draw(whole, generator)[first:end]
    finally:
        SHARE.append((first, end, count))
