"""A batch, the input of every rule, model and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(slots=True)
class Batch:
    """Inputs `[B, ...]`, targets `[B]` (or `[B, ...]`, or None) and `index [B]`: each example's index in its data.

    `finite` says that the inputs are known to be finite, so that rules need not check again; `largest` is a bound of
    their magnitudes if one is known. `of` is the size of the whole batch if this is one process's share.
    """

    inputs: Tensor
    targets: Tensor | None = None
    index: Tensor | None = None
    finite: bool = False
    largest: float | None = None
    of: int | None = None

    def __len__(self) -> int:
        return self.inputs.shape[0]
