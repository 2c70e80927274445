"""Hebbian learning by seed cells: the rules of the neocognitrons of 1980 and 1988. One update per pattern.

A seed cell at the place n^ of plane k trains its whole plane on its input, because a plane's cells share connections:

    a(k', x, k) <- a(k', x, k) + q c(x) u_C(k', n^ + x)            b(k) <- b(k) + q v(n^)        (1980: q / 2)

`CompetitiveSeeds` (1980), without a teacher: in each hyper-column the strongest S-cell of all planes is a candidate; of
several candidates in one plane the strongest becomes the seed. `TaughtSeeds` (1988): a teacher gives the plane and the
place of the seed cell.

With x = c u_C the first equation is a descent step on |x - w|^2 / 2 - |w|^2 / 2: competitive learning in which the
length of w is free, because b grows with it and the cells respond to the angle only.

Fukushima, Biological Cybernetics 36 (1980) 193-202, section 3; Neural Networks 1 (1988) 119-130.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_labels, require_number
from threegen.datasets.batches import Batch
from threegen.errors import DataError, ShapeError
from threegen.functional.convolutional.cells import Padding, padded, seed_cells, window_at
from threegen.rules.rule import Rule, Step, Update, ascend, require_batch, require_parts


@runtime_checkable
class SeedLayer(Protocol):
    """A layer of S-cells with trainable excitatory and inhibitory connections."""

    a: nn.Parameter  # [planes, inputs, w, w]
    b: nn.Parameter  # [planes]
    c: Tensor  # [w, w]
    window: int
    column: int
    padding: Padding
    gain_of_b: float

    def inhibition(self, u: Tensor) -> Tensor:
        """Return the V-cells [B, 1, h, w] for C-cells [B, inputs, H, W]."""
        ...


_PARTS = ("a", "b", "c", "column", "gain_of_b", "inhibition()")


class _HebbianSeeds(Rule):
    """One `Update` for each pattern `[inputs, H, W]` that has a seed cell; `rate` is q, the optimiser's rate is 1."""

    updates_per_batch = None
    default_rate = 1.0

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = require_number("rate", rate, above=0.0)

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a layer of S-cells with connections of both kinds."""
        require_parts(self, model, *_PARTS)

    def _teach(self, layer: SeedLayer, pattern: Tensor, planes: Tensor, places: Tensor, strength: Tensor) -> Update:
        """Fill the gradients: each plane learns the input of its seed; `strength` `[h, w]` are the V-cells."""
        seen, flat = padded(pattern, layer.padding), strength.flatten()
        a, b = torch.zeros_like(layer.a), torch.zeros_like(layer.b)
        for plane, place in zip(planes.tolist(), places.tolist(), strict=True):
            a[plane] = self.rate * layer.c * window_at(seen, place, strength.shape[1], layer.window)
            b[plane] = self.rate * flat[place] / layer.gain_of_b
        ascend(layer.a, a)
        ascend(layer.b, b)
        return Update(seeds=torch.tensor(float(len(planes))))


class CompetitiveSeeds(_HebbianSeeds):
    """Choose seeds by competition in hyper-columns; without labels. Batches hold the C-cells below `[B, K, H, W]`.

    `rate` is q. A plane has at most one seed per pattern, a silent plane none; a pattern without any is skipped.
    Figure: `seeds`. Raises `ConfigError` for a model that is not a layer of S-cells.
    """

    uses_labels = False

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Process the patterns of `batch` in order; for each that has seeds fill `.grad` and yield."""
        self.check(model)
        layer = cast(SeedLayer, model)
        require_batch("CompetitiveSeeds", batch, labels=False)
        for pattern in batch.inputs:
            planes, places = seed_cells(cast(Tensor, model(pattern[None]))[0], layer.column)
            if len(planes):
                yield self._teach(layer, pattern, planes, places, layer.inhibition(pattern[None])[0, 0])


class TaughtSeeds(_HebbianSeeds):
    """Learn at seed cells given by a teacher. Targets are planes `[B]`, with the seed where the input is strongest, or
    `[B, 3]`: plane, row and column of the seed cell.

    `rate` is q. Figure: `seeds`. Raises `ConfigError` for a model that is not a layer of S-cells, `DataError` for
    planes and places that do not exist, `ShapeError` for targets of another shape.
    """

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Process the patterns of `batch` in order, one yield each."""
        self.check(model)
        layer = cast(SeedLayer, model)
        targets = require_batch("TaughtSeeds", batch)
        if targets.dim() == 2 and targets.shape[1] == 3:
            require_labels(targets[:, 0], len(layer.b))
        elif targets.dim() == 1:
            require_labels(targets, len(layer.b))
        else:
            raise ShapeError(f"targets must be planes [B] or (plane, row, column) [B, 3], got {list(targets.shape)}")
        strengths = layer.inhibition(batch.inputs)[:, 0]
        places = strengths.flatten(1).argmax(1) if targets.dim() == 1 else _places(targets, strengths)
        planes = targets if targets.dim() == 1 else targets[:, 0]
        for number, pattern in enumerate(batch.inputs):
            one = slice(number, number + 1)
            yield self._teach(layer, pattern, planes[one], places[one], strengths[number])


def _places(targets: Tensor, strengths: Tensor) -> Tensor:
    """Return the seeds' places `[B]` as row * width + column; raises `DataError` for one outside the planes."""
    height, width = strengths.shape[1:]
    rows, columns = targets[:, 1], targets[:, 2]
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    if bool(outside.any()):
        first = int(outside.nonzero()[0])
        raise DataError(
            f"target {first} is the place {targets[first, 1:].tolist()}, outside the planes of {height} x {width}"
        )
    return rows * width + columns
