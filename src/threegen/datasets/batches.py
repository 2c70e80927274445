"""A batch: what every rule, model and evaluation gets."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(slots=True)
class Batch:
    """Inputs `[B, ...]`, targets `[B]` (or `[B, ...]`, or None) and `index [B]`: each example's place in its data.

    `finite` says that the inputs are known to be finite, so that no rule needs to look again; `largest` is a bound of
    their magnitudes where one is known. `of` says that this is one process's share of a batch of so many examples.
    """

    inputs: Tensor
    targets: Tensor | None = None
    index: Tensor | None = None
    finite: bool = False
    largest: float | None = None
    of: int | None = None

    def __len__(self) -> int:
        return self.inputs.shape[0]
