"""Competitive learning that creates planes: the two rules of the neocognitron of 2003.

Middle layers (`GrowingSeeds`), without labels. For each pattern, the S-cells of each hyper-column compete; the winners
are seed cells, at most one per plane, and their planes learn the seed's input:

    a(k', x, k) <- a(k', x, k) + q c(x) u_C(k', n^ + x)                        b(k) = sqrt( sum a^2 / c )

Where the input is strong but all S-cells in the hyper-column are silent, a new plane is created that has learned this
input. During learning, cells use the higher of their two thresholds.

Top layer (`LabelledSeeds`), with labels. All cells compete. If the winner's plane has the pattern's label, it learns
the pattern as above. If it has another label, or all cells are silent, a plane with the pattern's label is created.

K. Fukushima, Neurocomputing 51 (2003) 161-180.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_labels, require_number
from threegen.datasets.batches import Batch
from threegen.functional.convolutional.cells import seed_cells
from threegen.rules.rule import Applied, Rule, Step, Update, ascend, require_batch, require_parts
from threegen.rules.seed_windows import PARTS, GrowingPlanes, Lesson, Seen, SeenByLayer, SeenInWork, Work


class _Seeds(Rule):
    """The base of both rules: patterns are processed in order; `_lessons` returns the lessons of each."""

    default_rate = 1.0

    def __init__(self, rate: float, fused: bool) -> None:
        self.rate = require_number("rate", rate, above=0.0)
        self.fused = bool(fused)
        self.updates_per_batch = 1 if fused else None

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a layer with growing planes."""
        require_parts(self, model, *PARTS)

    def _lessons(self, layer: GrowingPlanes, seen: Seen, label: int) -> list[Lesson]:
        """Return the lessons of one pattern; may create planes."""
        raise NotImplementedError

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Process the patterns of `batch` in order."""
        self.check(model)
        layer = cast(GrowingPlanes, model)
        targets = require_batch(type(self).__name__, batch, labels=self.uses_labels)
        labels = require_labels(targets, 1 << 31).tolist() if self.uses_labels else [-1] * len(batch)
        if self.fused:
            yield self._all_at_once(layer, batch.inputs, labels)
            return
        for pattern, label in zip(batch.inputs, labels, strict=True):
            seen = SeenByLayer(layer, pattern)
            lessons = self._lessons(layer, seen, label)
            if lessons:
                ascend(layer.a, self.rate * seen.direction(lessons))
                yield Update(planes=layer.count.clone(), lessons=torch.tensor(float(len(lessons))))

    def _all_at_once(self, layer: GrowingPlanes, inputs: Tensor, labels: list[int]) -> Applied:
        """Learn all patterns of a batch, in order, and update the connections."""
        work, total = Work(layer, inputs), 0
        for number, label in enumerate(labels):
            seen = SeenInWork(work, number)
            lessons = self._lessons(layer, seen, label)
            if lessons:
                seen.learn(lessons, self.rate)
                total += len(lessons)
        work.put_back()
        return Applied(planes=layer.count.clone(), lessons=torch.tensor(total / len(labels)))


class GrowingSeeds(_Seeds):
    """Create the planes of a layer from its input, the C-cells below `[B, K, H, W]`; no labels.

    A place can create a plane if its V-cell has at least the share `strong` of the pattern's strongest V-cell. `rate`
    is q. With `fused` a batch is one `Applied`; without it, each pattern that has a lesson is one `Update`, and the
    optimiser must be plain descent at rate 1. Figures: `planes`, the number of existing planes; `lessons` per pattern.
    Raises `ConfigError` for a layer without growing planes.
    """

    uses_labels = False

    def __init__(self, strong: float = 0.5, *, rate: float = 1e4, fused: bool = True) -> None:
        super().__init__(rate, fused)
        self.strong = require_number("strong", strong, least=0.0, most=1.0)

    def _lessons(self, layer: GrowingPlanes, seen: Seen, label: int) -> list[Lesson]:
        if not len(seen.response):
            return self._births(layer, seen)
        planes, places = seed_cells(seen.response, layer.column)
        return [*zip(planes.tolist(), places.tolist(), strict=True), *self._births(layer, seen)]

    def _births(self, layer: GrowingPlanes, seen: Seen) -> list[Lesson]:
        """Create planes where the input is strong and no cell responds, the strongest place first."""
        strength, born = seen.strength, []
        silent = (strength >= self.strong * strength.max()) & (strength > 0)
        if len(seen.response):
            silent &= ~_around(seen.response.amax(0) > 0, layer.column)
        while not layer.full and bool(silent.any()):
            place = int((strength * silent).argmax())
            born.append((layer.create(), place))
            answers = seen.would_answer(place)
            answers.view(-1)[place] = True
            silent &= ~_around(answers, layer.column)
        return born


class LabelledSeeds(_Seeds):
    """Train the top layer on whole patterns, the C-cells below `[B, K, H, W]` with labels `[B]`.

    Once the number of planes has reached its limit, patterns with a wrong winner are skipped, as are empty ones. `rate`
    and
    `fused` are as in `GrowingSeeds`. Figures: `planes` and `lessons`.
    Raises `ConfigError` for a layer without growing planes, `DataError` for missing labels.
    """

    def __init__(self, *, rate: float = 1e4, fused: bool = True) -> None:
        super().__init__(rate, fused)

    def _lessons(self, layer: GrowingPlanes, seen: Seen, label: int) -> list[Lesson]:
        if len(seen.response):
            winner = int(seen.response.argmax())
            plane, place = divmod(winner, seen.strength.numel())
            if int(layer.labels[plane]) == label and bool(seen.response.view(-1)[winner] > 0):
                return [(plane, place)]
        if layer.full or not bool(seen.strength.any()):
            return []
        return [(layer.create(label), int(seen.strength.argmax()))]


def _around(places: Tensor, column: int) -> Tensor:
    """Return the places `[h, w]` in a square of `column` (the next odd number) around one of `places`."""
    side = column | 1
    return F.max_pool2d(places.float()[None, None], side, stride=1, padding=side // 2)[0, 0] > 0
