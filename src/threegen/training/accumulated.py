"""Gradients of several batches for one update, for batches that do not fit into memory at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from threegen.rules.rule import Update


class Accumulated:
    """Adds up gradients over `batches` batches, weighted by their examples; the mean is that of one large batch."""

    def __init__(self, parameters: Sequence[nn.Parameter], batches: int) -> None:
        self.parameters, self.batches = parameters, batches
        self.examples = 0
        self._count = 0
        self._sums: list[Tensor | None] = [None] * len(parameters)

    @torch.no_grad()
    def add(self, examples: int) -> bool:
        """Move the gradients of a batch from the parameters into the sum; return whether the update is complete."""
        for place, parameter in enumerate(self.parameters):
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:
                continue
            total = self._sums[place]
            if total is None:
                self._sums[place] = gradient.detach() * examples
            else:
                total.add_(gradient, alpha=examples)
        self.examples += examples
        self._count += 1
        return self._count >= self.batches

    @torch.no_grad()
    def take(self) -> Update:
        """Set the parameters' gradients to the mean and reset the sum."""
        for place, parameter in enumerate(self.parameters):
            total = self._sums[place]
            parameter.grad = None if total is None else total / self.examples
            self._sums[place] = None
        self.examples = self._count = 0
        return Update()
