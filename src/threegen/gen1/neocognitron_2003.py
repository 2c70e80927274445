"""The neocognitron of 2003: planes are created during learning, thresholds are dual, the top stage has labels.

    U0 -> UG (contrast, on and off) -> S1 (16 edges, fixed) -> C1 -> S2 -> C2 -> S3 -> C3 -> S4 (labelled) -> scores

    u_G(n, on/off) = phi[ +/- sum a_G(x) u_0(n + x) ],                     sum a_G = 0
    u_S(n, k) = theta / (1 - theta) phi[ (1 + sum a(k) u_C) / (1 + theta b(k) v(n)) - 1 ],  b = sqrt(sum a^2 / c)
    u_C(n, k) = psi[ sum d(x) u_S(n + x, k) ],  psi(x) = phi(x) / (1 + phi(x)),  d negative at its rim

K. Fukushima, "Neocognitron for handwritten digit recognition", Neurocomputing 51 (2003) 161-180. From the paper:
contrast extraction before edges, inhibitory surround of the C-cells, planes and layers as above, labels at the top. The
paper's planes are 65 to 68 cells wide for characters of that size; MNIST's digits fill 20 x 20 pixels, so the planes
here are those of 28 x 28 images, and sizes and thresholds were chosen on held-out training digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_sizes, require_whole
from threegen.errors import ConfigError
from threegen.functional.convolutional.cells import distances, padded
from threegen.gen1.neocognitron import Neocognitron, best_of_class
from threegen.gen1.neocognitron_cells import CCells, GrowingSCells, SCells

# The learning strength q of the edges. With e and h well above one only the angle between input and connections counts;
# faint contrast still gives a slightly weaker response.
STRONG = 1000.0


class ContrastCells(nn.Module):
    """On- and off-centre cells: `phi(+/- sum a_G u)`, a_G a small Gaussian less a wide one; even light gives zero."""

    a: Tensor

    def __init__(self, window: int = 7, centre: float = 0.8, surround: float = 2.0) -> None:
        super().__init__()
        self.window = require_whole("window", window)
        far = distances(window).square()
        narrow, wide = torch.exp(-far / (2 * centre**2)), torch.exp(-far / (2 * surround**2))
        self.register_buffer("a", (narrow / narrow.sum() - wide / wide.sum()).float())

    def forward(self, u: Tensor) -> Tensor:
        """Return the cells `[B, 2, H, W]`, on and off, for an image `[B, 1, H, W]`."""
        half = self.window // 2
        difference = F.conv2d(padded(u, (half, self.window - 1 - half)), self.a[None, None])
        return torch.cat([F.relu(difference), F.relu(-difference)], 1)


class EdgeCells(SCells):
    """S-cells with fixed connections: plane k responds to an edge whose bright side is at the angle 2 pi k / planes.

    Each plane has learned one ideal edge through the middle of its window, as encoded by the contrast cells.
    """

    def __init__(self, contrast: ContrastCells, planes: int, window: int, **options: float) -> None:
        half = window // 2
        super().__init__(2, planes, window, padding=(half, window - 1 - half), **options)  # type: ignore[arg-type]
        seen = torch.stack(
            [contrast(edge(window + 2 * contrast.window, number / planes)[None, None])[0] for number in range(planes)]
        )
        rim = contrast.window
        seen = seen[:, :, rim : rim + window, rim : rim + window]
        del self.a, self.b  # fixed: buffers instead of parameters
        self.register_buffer("a", STRONG * self.c * seen)
        self.register_buffer("b", STRONG * (self.c * seen.square()).sum((1, 2, 3)).sqrt())

    def _shares(self) -> int:
        return 1


def edge(side: int, turn: float, softness: float = 1.0) -> Tensor:
    """Return a picture `[side, side]` that is bright on one side of its middle; `turn` is its angle in full turns."""
    places = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    angle = 2 * math.pi * turn
    along = places[None, :] * math.cos(angle) + places[:, None] * math.sin(angle)
    return (along / softness + 0.5).clamp(0, 1).float()


def pooling(window: int, stride: int, surround: float) -> CCells:
    """Return C-cells over `window` x `window` S-cells; with `surround` a ring around these inhibits them."""
    half = window // 2
    if surround == 0.0:
        return CCells(window, stride=stride, padding=(half, half), strength=3.0)
    rim = half + 1
    wide = {"stride": stride, "padding": (rim, rim), "radius": half * 1.5}
    return CCells(window + 2, strength=3.0, surround=surround, **wide)  # type: ignore[arg-type]


class Neocognitron2003(Neocognitron):
    """The growing neocognitron for square grey images; `forward` takes `[B, 1, H, H]`, returns scores `[B, classes]`.

    `planes` is the largest number of planes of S2, S3 and S4; none exists before learning. `thresholds` are theta of S1
    to S4 in recognition, `learning_thresholds` those of S2 to S4 during learning. Scores are the strongest S4-cell of
    each class, 0 for a class without planes. There is a C3-cell at every `thinning`-th place of S3; `surround` is how
    strongly S-cells at the rim of their windows inhibit the C1- and C2-cells (the paper's are inhibited; 0 did better
    here). Connections start at zero, so there is nothing to draw. Raises `ConfigError` for images that are not square
    and grey, and for sizes and thresholds that cannot work.
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: tuple[int, ...] = (1, 28, 28),
        orientations: int = 16,
        planes: Sequence[int] = (120, 350, 1500),
        thresholds: Sequence[float] = (0.55, 0.65, 0.65, 0.3),
        learning_thresholds: Sequence[float] = (0.8, 0.8, 0.9),
        thinning: int = 2,
        surround: float = 0.0,
    ) -> None:
        super().__init__(shape, classes)
        if self.shape[1] != self.shape[2]:
            raise ConfigError(f"the planes are square, the data have {list(shape)}; pad the images")
        if len(thresholds) != 4 or len(learning_thresholds) != 3:
            raise ConfigError(
                f"thresholds are those of S1 to S4, learning_thresholds of S2 to S4; got {list(thresholds)} and "
                f"{list(learning_thresholds)}"
            )
        room = require_sizes("planes", planes, least_length=3)
        contrast = ContrastCells()
        growing = [
            {"threshold": low, "learning_threshold": high}
            for low, high in zip(thresholds[1:], learning_thresholds, strict=True)
        ]
        self.add(
            ("UG", contrast),
            ("S1", EdgeCells(contrast, orientations, 5, threshold=thresholds[0])),
            ("C1", pooling(5, 2, surround)),
            ("S2", GrowingSCells(orientations, room[0], 3, padding=(1, 1), gamma=0.9, column=1, **growing[0])),
            ("C2", pooling(3, 1, surround)),
            ("S3", GrowingSCells(room[0], room[1], 3, padding=(1, 1), gamma=0.9, column=1, **growing[1])),
            ("C3", pooling(5, thinning, 0.0)),
        )
        side = self.sizes()["C3"][1]
        self.add(("S4", GrowingSCells(room[1], room[2], side, gamma=1.0, column=1, **growing[2])))

    def retina_side(self) -> int:
        """Return the side of the image."""
        return self.shape[1]

    def retina(self, x: Tensor) -> Tensor:
        """Return the image itself: the contrast cells are the first layer."""
        return x

    def decide(self, top: Tensor) -> Tensor:
        """Return the strongest S4-cell of each class `[B, classes]`."""
        last = self.layers["S4"]
        if not isinstance(last, GrowingSCells):
            raise ConfigError("the top layer must be one of growing S-cells")
        return best_of_class(top, last.labels[: top.shape[1]], self.classes)
