"""The neocognitron of 1980: self-organised, without a teacher.

    U0 16x16 -> S1 24 @ 16x16 -> C1 24 @ 10x10 -> S2 24 @ 8x8 -> C2 24 @ 6x6 -> S3 24 @ 2x2 -> C3 24 @ 1x1

    u_S = r phi[ (1 + sum a u_C) / (1 + 2r/(1+r) b v) - 1 ],        v = sqrt( sum c u_C^2 ),  sum c = 1
    u_C = psi[ (1 + sum d u_S) / (1 + v_S) - 1 ],                   psi(x) = phi(x) / (alpha + phi(x)),
    v_S = the mean over all planes of sum d u_S

K. Fukushima, "Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition unaffected by
shift in position", Biological Cybernetics 36 (1980) 193-202.

The paper's net has no classes. For scores, each C3-plane is labelled with the class to which it responds most among the
training digits (`rules/label_planes.py`), and the score of a class is its strongest plane. Equations and sizes are the
paper's as reported by others, as are r = 4, 1.5, 1.5; alpha = .5 is not confirmed by a source. The decay of c and d
with distance and the small initial connections are choices made here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.functional.convolutional.cells import distances, lateral
from threegen.gen1.neocognitron import Neocognitron, best_of_class, resizing
from threegen.gen1.neocognitron_cells import CCells, SCells


class ShuntedCCells(CCells):
    """C-cells which the mean of all planes inhibits: `psi[ (1 + sum d u_S) / (1 + v_S) - 1 ]`."""

    def gathered(self, total: Tensor) -> Tensor:
        """Return the argument of psi for the sums `[B, K, h, w]`."""
        return lateral(total)


def threshold_of(r: float) -> float:
    """Return theta = r / (1 + r)."""
    return r / (1.0 + r)


class Neocognitron1980(Neocognitron):
    """The self-organising neocognitron; `forward` takes `[B, 1, H, W]` and returns scores `[B, classes]`.

    Images of another size than 16 x 16 are averaged down to it. `planes` is K of every layer. The first connections are
    small, drawn from `generator` (None: torch's own), S1's with a weak preference for lines of one orientation each;
    b starts at zero. Raises `ConfigError` for images that are not grey.
    """

    answers: Tensor
    examples: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: tuple[int, ...] = (1, 28, 28),
        planes: int = 24,
        r: tuple[float, float, float] = (4.0, 1.5, 1.5),
        alpha: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(shape, classes)
        k = require_whole("planes", planes)
        pooled: dict[str, Any] = {"stride": 2, "padding": (4, 3), "alpha": alpha, "gamma": 0.8}

        def cells(inputs: int, number: int, padding: tuple[int, int], column: int) -> SCells:
            theta = threshold_of(r[number])
            return SCells(inputs, k, 5, threshold=theta, padding=padding, column=column, gain_of_b=2.0)

        self.add(
            ("S1", cells(1, 0, (2, 2), 5)),
            ("C1", ShuntedCCells(5, **pooled)),
            ("S2", cells(k, 1, (1, 1), 5)),
            ("C2", ShuntedCCells(5, **pooled)),
            ("S3", cells(k, 2, (0, 0), 2)),
            ("C3", ShuntedCCells(2, alpha=alpha)),
        )
        self.register_buffer("rows", resizing(self.shape[1], 16), persistent=False)
        self.register_buffer("columns", resizing(self.shape[2], 16), persistent=False)
        self.register_buffer("answers", torch.zeros(self.classes, k))
        self.register_buffer("examples", torch.zeros(self.classes))
        self.register_buffer("labels", torch.full((k,), -1, dtype=torch.int64))
        self._draw(generator)

    @torch.no_grad()
    def _draw(self, generator: torch.Generator | None) -> None:
        """Draw the first excitatory connections, at most .1 c each."""
        for name in ("S1", "S2", "S3"):
            layer = self.layers[name]
            if isinstance(layer, SCells):
                drawn = torch.rand(layer.a.shape, generator=generator)
                bias = lines(layer.planes, layer.window)[:, None] if name == "S1" else torch.ones(())
                layer.a.copy_(0.1 * layer.c * drawn * bias)

    def retina_side(self) -> int:
        """Return 16."""
        return 16

    def retina(self, x: Tensor) -> Tensor:
        """Return the images `[B, 1, 16, 16]`."""
        return self.rows @ x @ self.columns.T if x.shape[2:] != (16, 16) else x

    def top(self, x: Tensor) -> Tensor:
        """Return the C3-cells `[B, planes]`."""
        u = self._seen(x)
        for layer in self.layers.values():
            u = layer(u)
        return u.flatten(1)

    def decide(self, top: Tensor) -> Tensor:
        """Return the strongest C3-cell of each class `[B, classes]`, zero for a class without a plane."""
        return best_of_class(top, self.labels, self.classes)


def lines(planes: int, window: int) -> Tensor:
    """Return S1's weak orientation bias `[planes, window, window]`, .5 to 1, largest along a line at k pi / planes."""
    places = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    found = []
    for plane in range(planes):
        angle = math.pi * plane / planes
        off = places[None, :] * math.sin(angle) + places[:, None] * math.cos(angle)
        found.append(0.5 + 0.5 * torch.exp(-off.square()))
    return torch.stack(found).float() * (distances(window) <= window).float()
