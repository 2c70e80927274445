"""What the rules of growing planes see of one pattern: by the layer itself, or in windows laid out for a whole batch.

`SeenByLayer` is the plain way and the oracle. `SeenInWork` reads the same numbers out of `Work`, which unfolds the
windows of a batch once and keeps the connections of the existing planes as rows, so that a pattern costs one matrix
product and a lesson touches one row.
"""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.functional.cells import Padding, padded, s_cells, window_at

Lesson = tuple[int, int]  # the plane that learns, and the place (row * width + column) of its seed cell


@runtime_checkable
class GrowingPlanes(Protocol):
    """A layer of S-cells whose planes are born while it learns."""

    a: nn.Parameter  # [room, inputs, w, w]
    c: Tensor  # [w, w]
    count: Tensor  # 0-d, how many planes exist
    labels: Tensor  # [room]
    window: int
    column: int
    padding: Padding

    @property
    def full(self) -> bool:
        """Whether there is no room for another plane."""
        ...

    def create(self, label: int = -1) -> int:
        """Count one more plane and return its number."""
        ...

    def theta(self) -> float:
        """Return the threshold of the present mode."""
        ...

    def inhibition(self, u: Tensor) -> Tensor:
        """Return the V-cells [B, 1, h, w] for C-cells [B, K, H, W]."""
        ...

    def norms(self, a: Tensor) -> Tensor:
        """Return the inhibitory connections [K] that belong to excitatory ones [K, inputs, w, w]."""
        ...

    def respond(self, u: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the S-cells [B, K, h, w] with given connections."""
        ...


PARTS = ("a", "c", "count", "labels", "create()", "theta()", "inhibition()", "norms()", "respond()")

# Layers of at most so many places are answered for a whole batch at once.
_FEW_PLACES = 4


class Seen(Protocol):
    """One pattern as a layer sees it."""

    response: Tensor  # the S-cells [K, h, w]
    strength: Tensor  # the V-cells [h, w]

    def would_answer(self, place: int) -> Tensor:
        """Return where a plane born at `place` would answer `[h, w]`."""
        ...


class SeenByLayer:
    """One pattern `[K, H, W]`, looked at with the layer's own forward pass."""

    def __init__(self, layer: GrowingPlanes, pattern: Tensor) -> None:
        self.layer, self.pattern = layer, pattern
        self.response = cast(Tensor, cast(nn.Module, layer)(pattern[None]))[0]
        self.strength = layer.inhibition(pattern[None])[0, 0]

    def would_answer(self, place: int) -> Tensor:
        """Return where a plane born at `place` would answer `[h, w]`."""
        own = self._lesson(place)[None]
        return self.layer.respond(self.pattern[None], own, self.layer.norms(own))[0, 0] > 0

    def direction(self, lessons: list[Lesson]) -> Tensor:
        """Return `c(x) u(n^ + x)` for each lesson's plane, zero for the others, in the shape of `a`."""
        direction = torch.zeros_like(self.layer.a)
        for plane, place in lessons:
            direction[plane, : len(self.pattern)] = self._lesson(place)
        return direction

    def _lesson(self, place: int) -> Tensor:
        seen = padded(self.pattern, self.layer.padding)
        return self.layer.c * window_at(seen, place, self.strength.shape[1], self.layer.window)


class Work:
    """The windows of a batch `[B, K, H, W]` as rows, and the connections of all existing planes as rows."""

    def __init__(self, layer: GrowingPlanes, inputs: Tensor) -> None:
        self.layer, self.inputs = layer, inputs
        self.theta = layer.theta()
        self.planes_below = inputs.shape[1]
        self.windows = F.unfold(padded(inputs, layer.padding), layer.window).transpose(1, 2).contiguous()  # [B, P, D]
        self.strengths = layer.inhibition(inputs)[:, 0]  # [B, h, w]
        self.c = layer.c.repeat(self.planes_below, 1, 1).flatten()  # [D]
        own = layer.a.detach()[:, : self.planes_below]
        self.a = own.flatten(1).clone()  # [room, D]
        self.b = layer.norms(own)  # [room]
        # Where few cells look at nearly everything, rows are long: all patterns are answered by one product, before the
        # first of them teaches anything, and only planes that have learnt since are asked again.
        self.early: Tensor | None = None
        self.stale: dict[int, None] = {}
        if self.windows.shape[1] <= _FEW_PLACES:
            self.early = torch.einsum("kd,bpd->bkp", self.a[: int(layer.count)], self.windows)

    def learn(self, plane: int, number: int, place: int, rate: float) -> None:
        """Teach one plane what the cell at `place` sees of pattern `number`."""
        row = self.a[plane]
        row.add_(self.c * self.windows[number, place], alpha=rate)
        self.b[plane] = (row.square() / self.c).sum().sqrt()
        self.stale[plane] = None

    def excited(self, number: int) -> Tensor:
        """Return the excitation of all existing planes by pattern `number` `[K, P]`."""
        count, windows = int(self.layer.count), self.windows[number]
        if self.early is None:
            return self.a[:count] @ windows.T
        found = self.a.new_empty(count, len(windows))
        found[: self.early.shape[1]] = self.early[number]
        if self.stale:
            planes = torch.tensor(list(self.stale))
            found[planes] = self.a[planes] @ windows.T
        return found

    def put_back(self) -> None:
        """Write the connections into the layer."""
        side = self.layer.window
        self.layer.a[:, : self.planes_below] = self.a.view(-1, self.planes_below, side, side)


class SeenInWork:
    """One pattern of `Work`."""

    def __init__(self, work: Work, number: int) -> None:
        self.work, self.windows = work, work.windows[number]
        self.strength = work.strengths[number]
        count = int(work.layer.count)
        theta, flat = work.theta, self.strength.flatten()
        excited = work.excited(number)
        inhibited = torch.outer(theta * work.b[:count], flat)
        self.response = s_cells(excited, inhibited, theta / (1.0 - theta)).view(count, *self.strength.shape)

    def would_answer(self, place: int) -> Tensor:
        """Return where a plane born at `place` would answer `[h, w]`."""
        own = self.work.c * self.windows[place]
        norm = (own.square() / self.work.c).sum().sqrt()
        return (self.windows @ own).view_as(self.strength) > self.work.theta * norm * self.strength
