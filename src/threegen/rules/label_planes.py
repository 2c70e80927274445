"""Give the planes of a net that learnt without labels their names: each gets the class that it answers most.

    label(k) = argmax over classes y of the mean answer of plane k to the examples of y

Only training examples are looked at, and no connection changes. Planes that never answer keep no label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_labels
from threegen.datasets.batches import Batch
from threegen.rules.rule import Applied, Rule, Step, require_batch, require_parts


@runtime_checkable
class NamedPlanes(Protocol):
    """A net whose top planes can be given labels."""

    answers: Tensor  # [classes, planes], summed over the examples seen so far
    examples: Tensor  # [classes]
    labels: Tensor  # [planes]

    def top(self, x: Tensor) -> Tensor:
        """Return the strongest cell of each top plane [B, planes]."""
        ...


class LabelPlanes(Rule):
    """Add up what the top planes answer to each class, and name them by it; one `Applied` a batch.

    The model answers in evaluation mode. Figure: `named`, how many planes have a label.
    Raises `ConfigError` for a model without planes to name, `DataError` for labels out of range.
    """

    default_rate = 1.0

    def remark(self, model: nn.Module) -> str:
        """Name the classes that no top plane stands for: they are never answered."""
        net = cast(NamedPlanes, model)
        missing = sorted(set(range(len(net.answers))) - set(net.labels.tolist()))
        if not missing:
            return ""
        named = ", ".join(map(str, missing))
        return f"no plane stands for class {named}, which is never answered; give the net more planes"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` where `model` has no planes to name."""
        require_parts(self, model, "answers", "examples", "labels", "top()")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Look at one batch of images and labels."""
        self.check(model)
        net = cast(NamedPlanes, model)
        targets = require_labels(require_batch("LabelPlanes", batch), len(net.answers))
        net.answers.index_add_(0, targets, net.top(batch.inputs))
        net.examples.index_add_(0, targets, torch.ones_like(targets, dtype=net.examples.dtype))
        means = net.answers / net.examples.clamp(min=1)[:, None]
        net.labels.copy_(torch.where(means.amax(0) > 0, means.argmax(0), -1))
        yield Applied(named=(net.labels >= 0).sum().to(net.answers.dtype))
