"""The delta rule (ADALINE, least mean squares): each weight moves by the error of the potential.

    u = W x + b        E = 1/2 sum_k (t_k - u_k)^2        mean over the batch
    W <- W + rate mean (t - u) x^T        b <- b + rate mean (t - u)

The step function is left out during learning: the error is that of the potential, so right answers change weights too.

Widrow and Hoff, "Adaptive switching circuits", IRE WESCON Convention Record 4 (1960) 96-104. The ADALINE's targets
are -1 and +1 and it answers by the sign of u; labels are coded so here, which agrees with a step at u = 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from threegen.checks import require_number
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.rules.rule import LinearUnits, Rule, Step, Update, descend, require_batch, require_parts
from threegen.rules.targets import one_hot_targets


class DeltaRule(Rule):
    """Train one layer of units by the error of their potentials: one yield per batch.

    Labels `[B]` become `on` for the class and `off` for the others, -1 and +1 as in the ADALINE (for one unit the
    label 0 is `off`, 1 is `on`); floating targets `[B, K]` are taken as they are. Figure: `loss`, the E above.

    The rate must stay below 2 over the largest eigenvalue of the inputs' mean x x^T; .01 suits MNIST's 784 pixels.
    Raises `ConfigError` for a model without potentials(), `DataError` for labels out of range.
    """

    default_rate = 0.01

    def __init__(self, *, off: float = -1.0, on: float = 1.0) -> None:
        self.off, self.on = require_number("off", off), require_number("on", on)
        if self.off >= self.on:
            raise ConfigError(f"off must be below on, got off={off!r}, on={on!r}")

    def __repr__(self) -> str:
        return f"DeltaRule(off={self.off:g}, on={self.on:g})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not one layer of units."""
        require_parts(self, model, "potentials()", "weight", "bias")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with the mean of -(t - u) x over `batch` and yield once."""
        self.check(model)
        units = cast(LinearUnits, model)
        targets = require_batch("DeltaRule", batch)
        potentials = units.potentials(batch.inputs)
        error: Tensor = potentials - one_hot_targets(potentials, targets, self.off, self.on)
        descend(units.weight, error.T @ batch.inputs.flatten(1) / len(error))
        descend(units.bias, error.mean(0))
        yield Update(loss=error.square().sum() / (2 * len(error)))
