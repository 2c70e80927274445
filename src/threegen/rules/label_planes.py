"""Label the planes of a net that was trained without labels: each gets the class to which it responds most.

    label(k) = argmax over classes y of the mean answer of plane k to the examples of y

Only training examples are used, and no connection changes. Planes that never respond get no label.
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
        """Return the maximum response of each top plane [B, planes]."""
        ...


class LabelPlanes(Rule):
    """Sum the responses of the top planes to each class, and label them by these; one `Applied` per batch.

    The model runs in evaluation mode. Figure: `named`, how many planes have a label. Raises `ConfigError` for a model
    without planes to label, `DataError` for labels out of range.
    """

    default_rate = 1.0

    def remark(self, model: nn.Module) -> str:
        """Name the classes that have no top plane: they are never answered."""
        net = cast(NamedPlanes, model)
        missing = sorted(set(range(len(net.answers))) - set(net.labels.tolist()))
        if not missing:
            return ""
        named = ", ".join(map(str, missing))
        return f"no plane has the class {named}, which is never answered; give the net more planes"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` has no planes to label."""
        require_parts(self, model, "answers", "examples", "labels", "top()")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Process one batch of images and labels."""
        self.check(model)
        net = cast(NamedPlanes, model)
        targets = require_labels(require_batch("LabelPlanes", batch), len(net.answers))
        net.answers.index_add_(0, targets, net.top(batch.inputs))
        net.examples.index_add_(0, targets, torch.ones_like(targets, dtype=net.examples.dtype))
        means = net.answers / net.examples.clamp(min=1)[:, None]
        net.labels.copy_(torch.where(means.amax(0) > 0, means.argmax(0), -1))
        yield Applied(named=(net.labels >= 0).sum().to(net.answers.dtype))
