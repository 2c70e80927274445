"""The responses to one pattern for the rules of growing planes: from the layer itself, or from work shared by a batch.

`SeenByLayer` is the plain path and the reference. `SeenInWork` reads the same numbers from `Work`, which stores the
connections of the existing planes as rows: a pattern costs one matrix product, and each of its lessons changes one row.
If one cell sees the whole pattern, the change that a lesson makes in the responses to all patterns of the batch is a
multiple of their inner products with it, so that rows of thousands of connections are read once per batch.
"""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.functional.convolutional.cells import Padding, padded, s_cells, window_at

Lesson = tuple[int, int]  # the plane that learns, and the place (row * width + column) of its seed cell


@runtime_checkable
class GrowingPlanes(Protocol):
    """A layer of S-cells whose planes are born while it learns."""

    a: nn.Parameter  # [most planes, inputs, w, w]
    c: Tensor  # [w, w]
    count: Tensor  # 0-d, how many planes exist
    labels: Tensor  # [most planes]
    window: int
    column: int
    padding: Padding

    @property
    def full(self) -> bool:
        """Whether the number of planes has reached its limit."""
        ...

    def create(self, label: int = -1) -> int:
        """Count one more plane and return its number."""
        ...

    def theta(self) -> float:
        """Return the threshold of the current mode."""
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


class Seen(Protocol):
    """One pattern as input of a layer."""

    response: Tensor  # the S-cells [K, h, w]
    strength: Tensor  # the V-cells [h, w]

    def would_answer(self, place: int) -> Tensor:
        """Return where a plane created at `place` would respond `[h, w]`."""
        ...


class SeenByLayer:
    """One pattern `[K, H, W]`, processed by the layer's own forward pass."""

    def __init__(self, layer: GrowingPlanes, pattern: Tensor) -> None:
        self.layer, self.pattern = layer, pattern
        self.response = cast(Tensor, cast(nn.Module, layer)(pattern[None]))[0]
        self.strength = layer.inhibition(pattern[None])[0, 0]

    def would_answer(self, place: int) -> Tensor:
        """Return where a plane created at `place` would respond `[h, w]`."""
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
    """A batch of patterns `[B, K, H, W]`, and the connections of all existing planes as rows."""

    def __init__(self, layer: GrowingPlanes, inputs: Tensor) -> None:
        self.layer, self.inputs = layer, padded(inputs, layer.padding)
        self.theta = layer.theta()
        self.planes_below, count = inputs.shape[1], int(layer.count)
        self.strengths = layer.inhibition(inputs)[:, 0]  # [B, h, w]
        self.c = layer.c.repeat(self.planes_below, 1, 1).flatten()  # [D]
        self.whole = self.strengths[0].numel() == 1  # one cell sees the whole pattern: at most one new plane
        room = min(len(layer.a), count + len(inputs)) if self.whole else len(layer.a)
        own = layer.a.detach()[:count, : self.planes_below]
        self.a = own.new_zeros(room, len(self.c))  # [room, D]
        self.b = own.new_zeros(room)
        self.a[:count], self.b[:count] = own.flatten(1), layer.norms(own)
        if self.whole:
            rows = self.inputs.flatten(1)
            self.alike = (rows * self.c) @ rows.T  # [B, B]
            self.excitation = own.new_zeros(room, len(rows))  # [room, B]
            self.excitation[:count] = self.a[:count] @ rows.T

    def windows(self, number: int) -> Tensor:
        """Return the cells' inputs from pattern `number`, one window per column `[D, P]`."""
        pattern, side = self.inputs[number], self.layer.window
        if self.whole:
            return pattern.reshape(-1, 1)
        places = pattern.unfold(1, side, 1).unfold(2, side, 1)  # [K, h, w, side, side], a view
        return places.permute(0, 3, 4, 1, 2).reshape(len(self.c), -1)

    def excited(self, number: int, windows: Tensor) -> Tensor:
        """Return the excitation of all existing planes by pattern `number` `[K, P]`."""
        count = int(self.layer.count)
        return self.excitation[:count, number, None] if self.whole else self.a[:count] @ windows

    def learn(self, lessons: list[Lesson], number: int, windows: Tensor, rate: float) -> None:
        """Train the planes of `lessons`, all different, on their seed cells' inputs from pattern `number`."""
        planes, places = torch.tensor(lessons, device=windows.device).unbind(1)
        rows = torch.addcmul(self.a[planes], self.c, windows[:, places].T, value=rate)
        self.a[planes] = rows
        self.b[planes] = (rows.square() / self.c).sum(1).sqrt()
        if self.whole:
            self.excitation[planes] += rate * self.alike[number]

    def put_back(self) -> None:
        """Write the connections into the layer."""
        side, count = self.layer.window, int(self.layer.count)
        self.layer.a[:count, : self.planes_below] = self.a[:count].view(count, self.planes_below, side, side)


class SeenInWork:
    """One pattern of `Work`."""

    def __init__(self, work: Work, number: int) -> None:
        self.work, self.number = work, number
        self.windows = work.windows(number)
        self.strength = work.strengths[number]
        theta, flat = work.theta, self.strength.flatten()
        excited = work.excited(number, self.windows)
        inhibited = torch.outer(theta * work.b[: len(excited)], flat)
        self.response = s_cells(excited, inhibited, theta / (1.0 - theta)).view(-1, *self.strength.shape)

    def would_answer(self, place: int) -> Tensor:
        """Return where a plane created at `place` would respond `[h, w]`."""
        own = self.work.c * self.windows[:, place]
        norm = (own.square() / self.work.c).sum().sqrt()
        return (own @ self.windows).view_as(self.strength) > self.work.theta * norm * self.strength

    def learn(self, lessons: list[Lesson], rate: float) -> None:
        """Train the planes of `lessons` on their seed cells' inputs."""
        self.work.learn(lessons, self.number, self.windows, rate)
