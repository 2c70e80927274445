"""The neocognitron of 1988: a teacher assigns the patterns to planes.

    U0 19x19 -> S1 12 @ 19x19 -> C1 8 @ 21x21 -> S2 38 @ 21x21 -> C2 @ 13x13 -> S3 35 @ 13x13 -> C3 @ 7x7
       -> S4 @ 3x3 -> C4, one cell per class

    u_S = r phi[ (1 + sum a u_C) / (1 + r/(1+r) b v) - 1 ],      v = sqrt( sum c u_C^2 )
    u_C(k) = psi[ sum_k' j(k, k') sum d u_S(k') ],               psi(x) = phi(x) / (alpha + phi(x))

j joins planes of the same feature: twelve line segments become eight orientations, several planes of one digit become
one class.

K. Fukushima, "Neocognitron: a hierarchical neural network capable of visual pattern recognition", Neural Networks 1
(1988) 119-130. The sizes above are the paper's as reported by others. The paper's hand-drawn training patterns are not
public: here the first layer is trained on twelve line segments, the others on windows of typical training digits that a
teacher selects (`registry/self_organisation.py`). Joints of the middle layers are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.errors import ConfigError
from threegen.gen1.neocognitron import Neocognitron, resizing
from threegen.gen1.neocognitron_1980 import threshold_of
from threegen.gen1.neocognitron_cells import CCells, SCells

# The line segments that S1 is trained on, three by three cells: four orientations once, four in between twice.
LINE_BITS = (
    ("...", "###", "..."),
    ("..#", "##.", "..."),
    ("...", ".##", "#.."),
    ("..#", ".#.", "#.."),
    ("..#", ".#.", ".#."),
    (".#.", ".#.", "#.."),
    (".#.", ".#.", ".#."),
    ("#..", ".#.", ".#."),
    (".#.", ".#.", "..#"),
    ("#..", ".#.", "..#"),
    ("#..", ".##", "..."),
    ("...", "##.", "..#"),
)
ORIENTATIONS = (0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7)  # of the segments above, in steps of 22.5 degrees


class JoinedCCells(CCells):
    """C-cells that each sum several S-planes: `psi[ sum_k' j(k, k') sum d u_S(k') ]`, `joint` `[planes, inputs]`."""

    joint: Tensor

    def __init__(self, window: int, joint: Tensor, **options: object) -> None:
        super().__init__(window, **options)  # type: ignore[arg-type]
        self.register_buffer("joint", joint)

    def gathered(self, total: Tensor) -> Tensor:
        """Return the argument of psi for the sums `[B, inputs, h, w]`."""
        joined = self.joint @ total.flatten(2)
        return joined.view(len(total), -1, *total.shape[2:])


class Neocognitron1988(Neocognitron):
    """The neocognitron with a teacher; `forward` takes `[B, 1, H, W]` and returns scores `[B, classes]`.

    Images of another size than 19 x 19 are averaged down to it. `planes` are those of S2, S3 and, for each class, of
    S4. All connections start at zero; `line_bits()` are the lessons of S1. Raises `ConfigError` for images that are not
    grey.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: tuple[int, ...] = (1, 28, 28),
        planes: tuple[int, int, int] = (38, 35, 2),
        r: tuple[float, float, float, float] = (1.7, 4.0, 1.5, 1.0),
        alpha: float = 0.5,
    ) -> None:
        super().__init__(shape, classes)
        if len(planes) != 3 or len(r) != 4:
            raise ConfigError(f"planes are those of S2, S3 and S4, r those of S1 to S4; got {planes!r} and {r!r}")
        second, third, each = (require_whole("planes", number) for number in planes)
        theta = [threshold_of(one) for one in r]
        bits = torch.zeros(8, 12)
        bits[torch.tensor(ORIENTATIONS), torch.arange(12)] = 1.0
        whole = torch.eye(classes).repeat_interleave(each, 1)
        self.add(
            ("S1", SCells(1, 12, 3, threshold=theta[0], padding=(1, 1))),
            ("C1", JoinedCCells(5, bits, padding=(3, 3), alpha=alpha)),
            ("S2", SCells(8, second, 3, threshold=theta[1], padding=(1, 1))),
            ("C2", CCells(7, stride=2, padding=(5, 5), alpha=alpha)),
            ("S3", SCells(second, third, 3, threshold=theta[2], padding=(1, 1))),
            ("C3", CCells(5, stride=2, padding=(2, 2), alpha=alpha)),
            ("S4", SCells(third, classes * each, 5, threshold=theta[3])),
            ("C4", JoinedCCells(3, whole, alpha=alpha)),
        )
        self.register_buffer("rows", resizing(self.shape[1], 19), persistent=False)
        self.register_buffer("columns", resizing(self.shape[2], 19), persistent=False)

    def retina_side(self) -> int:
        """Return 19."""
        return 19

    def retina(self, x: Tensor) -> Tensor:
        """Return the images `[B, 1, 19, 19]`."""
        return self.rows @ x @ self.columns.T if x.shape[2:] != (19, 19) else x

    def decide(self, top: Tensor) -> Tensor:
        """Return the C4-cells `[B, classes]`."""
        return top.flatten(1)


def line_bits() -> Tensor:
    """Return the twelve line segments in the middle of a retina `[12, 1, 19, 19]`."""
    drawn = torch.zeros(len(LINE_BITS), 1, 19, 19)
    for number, rows in enumerate(LINE_BITS):
        for row, line in enumerate(rows):
            for column, mark in enumerate(line):
                drawn[number, 0, 8 + row, 8 + column] = float(mark == "#")
    return drawn
