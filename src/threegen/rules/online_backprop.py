"""On-line back-propagation: one example, one update, as the nets of the eighties were trained.

    for each example:   w <- w - rate * dE/dw        E = 1/K sum_k (s_k - t_k)^2,   t = 1 for the class, -1 otherwise

The model iterates over the batch in a compiled kernel: a batch is only the number of examples between two returns to
the loop. `Backprop("signed_mse")` in batches of one example with plain SGD computes the same, step by step.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986) 533-536;
LeCun et al., Neural Computation 1 (1989) 541-551, where one example at a time learns faster than the whole set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_number
from threegen.datasets.batches import Batch
from threegen.rules.rule import Applied, Rule, Step, require_batch, require_parts


@runtime_checkable
class OneByOne(Protocol):
    """A model with a kernel that learns example by example."""

    def learn_one_by_one(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        """Update the weights after each of `inputs`; return the mean loss, 0-d, each computed before its step."""
        ...


class OnlineBackprop(Rule):
    """Train a model that learns one example at a time: as many updates as there are examples, one yield per batch.

    `rate` may be set by a schedule (`EpochSteps("rate", ...)`); the optimiser is not used. Figure: `loss`.
    Raises `ConfigError` for a model without such a kernel, `DataError` for missing or wrong labels.
    """

    default_optimizer = "sgd"

    def __init__(self, rate: float = 0.03) -> None:
        self.rate = require_number("rate", rate, above=0.0)

    def __repr__(self) -> str:
        return f"OnlineBackprop(rate={self.rate:g})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` cannot learn one example at a time by itself."""
        require_parts(self, model, "learn_one_by_one()")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Update the weights once per example and yield once."""
        self.check(model)
        targets = require_batch("OnlineBackprop", batch)
        yield Applied(loss=cast(OneByOne, model).learn_one_by_one(batch.inputs, targets, self.rate))
