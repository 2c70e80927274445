"""The layers of every neocognitron: S-cells that learn features, C-cells that tolerate small shifts of them.

    v(n)      = sqrt( sum_k sum_x c(x) u(k, n + x)^2 )
    u_S(n, k) = theta / (1 - theta) * phi[ (1 + sum a(k) u) / (1 + theta b(k) v(n)) - 1 ]
    u_C(n, k) = psi[ sum_x d(x) u_S(n + x, k) ],      psi(x) = phi(x) / (alpha + phi(x))

In the papers of 1980 and 1988 the selectivity is r = theta / (1 - theta); the two forms are the same. If a cell has
learned a single window X, a = q c X and b = q |X|, then a u = q (X, u) and b v = q |X| |u| with the inner product (X,
Y) = sum c X Y: its response is about phi(s - theta) / (1 - theta), where s is the cosine between its input and what it
has learned. It is silent if s < theta.

Fukushima, Biological Cybernetics 36 (1980) 193-202; Neural Networks 1 (1988) 119-130; Neurocomputing 51 (2003)
161-180.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_number, require_whole
from threegen.errors import ConfigError
from threegen.functional.convolutional.cells import (
    Padding,
    distances,
    falling,
    padded,
    s_cells,
    saturated,
    spread,
    v_cells,
)
from threegen.machine.memory import require_weights


class SCells(nn.Module):
    """A layer of S-cells in `planes` planes over `inputs` planes of C-cells, each over `window` x `window` places.

    `a [planes, inputs, window, window]` (excitatory) and `b [planes]` (inhibitory) learn and start at zero;
    `c [window, window]` is fixed. `threshold` is theta, in 0..1: the required similarity of an input to what it has
    learned. `gain_of_b` is 2 in the paper of 1980, which lets b grow half as fast, else 1. `column` is the side of the
    hyper-columns in which seed cells compete. `padding` is the number of silent cells (before, after) the input planes.
    Raises `ConfigError` for sizes and thresholds that cannot work.
    """

    a: nn.Parameter
    b: nn.Parameter
    c: Tensor

    def __init__(
        self,
        inputs: int,
        planes: int,
        window: int,
        *,
        threshold: float,
        padding: Padding = (0, 0),
        gamma: float = 0.8,
        column: int = 3,
        gain_of_b: float = 1.0,
    ) -> None:
        super().__init__()
        self.inputs, self.planes = require_whole("inputs", inputs), require_whole("planes", planes)
        self.window, self.column = require_whole("window", window), require_whole("column", column)
        self.threshold = require_number("threshold", threshold, above=0.0, below=1.0)
        self.padding, self.gain_of_b = padding, gain_of_b
        require_weights(type(self).__name__, [(inputs * window * window, planes)])
        self.register_buffer("c", falling(window, require_number("gamma", gamma, above=0.0)) / self._shares())
        self.a = nn.Parameter(torch.zeros(planes, inputs, window, window))
        self._make_b()

    def _shares(self) -> int:
        """Return the number of planes over which c sums to one; 1980 and 1988: all of them."""
        return self.inputs

    def _make_b(self) -> None:
        self.b = nn.Parameter(torch.zeros(self.planes))

    @property
    def weight(self) -> Tensor:
        """The excitatory connections in use, for pictures."""
        return self.a

    def theta(self) -> float:
        """Return the threshold of the current mode."""
        return self.threshold

    def inhibition(self, u: Tensor) -> Tensor:
        """Return the V-cells `[B, 1, h, w]` of this layer."""
        return v_cells(u, self.c, self.padding)

    def respond(self, u: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the S-cells `[B, K, h, w]` with the connections `a` `[K, ...]` and `b` `[K]`."""
        theta = self.theta()
        excited = F.conv2d(padded(u, self.padding), a)
        inhibited = self.inhibition(u) * (theta * self.gain_of_b * b)[:, None, None]
        return s_cells(excited, inhibited, theta / (1.0 - theta))

    def forward(self, u: Tensor) -> Tensor:
        """Return the S-cells `[B, planes, h, w]` for C-cells `u` `[B, inputs, H, W]`."""
        return self.respond(u, self.a, self.b)

    def extra_repr(self) -> str:
        """Return what `repr` shows between the brackets."""
        return f"{self.inputs} -> {self.planes}, window {self.window}, threshold {self.threshold:g}"


class GrowingSCells(SCells):
    """S-cells whose planes are created during learning: at most `planes`, of which `count` exist (Fukushima 2003).

    Inhibition is tied to excitation, b = sqrt(sum a^2 / c), so that the threshold is a cosine exactly. Two thresholds:
    in training mode cells use `learning_threshold`, in evaluation mode the lower `threshold`. `labels` `[planes]`
    (int64) hold the class of each plane, -1 if it has none. A cell is connected to the existing planes of its input;
    connections to planes created later are zero.
    """

    count: Tensor
    labels: Tensor

    def __init__(self, inputs: int, planes: int, window: int, *, learning_threshold: float, **options: Any) -> None:
        super().__init__(inputs, planes, window, **options)
        self.learning_threshold = require_number("learning_threshold", learning_threshold, above=0.0, below=1.0)
        if self.learning_threshold < self.threshold:
            raise ConfigError(
                f"learning_threshold {learning_threshold:g} is below threshold {self.threshold:g}; "
                "the threshold must be higher during learning"
            )
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("labels", torch.full((planes,), -1, dtype=torch.int64))

    def _shares(self) -> int:
        return 1

    def _make_b(self) -> None:
        """b is computed from a."""

    @property
    def weight(self) -> Tensor:
        """The excitatory connections of the planes that exist, for pictures."""
        return self.a[: max(int(self.count), 1)]

    @property
    def full(self) -> bool:
        """Whether the number of planes has reached its limit."""
        return int(self.count) >= self.planes

    def theta(self) -> float:
        """Return the threshold of the current mode: the higher one during learning."""
        return self.learning_threshold if self.training else self.threshold

    def norms(self, a: Tensor) -> Tensor:
        """Return `sqrt(sum a^2 / c)` `[K]` of connections `[K, inputs, window, window]`."""
        squares = (a.square().sum(1) / self.c).sum((1, 2))
        positive = squares > 0
        return torch.where(positive, squares, torch.ones_like(squares)).sqrt() * positive

    def forward(self, u: Tensor) -> Tensor:
        """Return the S-cells `[B, count, h, w]` for C-cells `u` `[B, K, H, W]` with K <= inputs."""
        count = int(self.count)
        if count == 0 or u.shape[1] == 0:
            side = [size + sum(self.padding) - self.window + 1 for size in u.shape[2:]]
            return u.new_zeros(len(u), count, *side)
        a = self.a[:count, : u.shape[1]]
        return self.respond(u, a, self.norms(a))

    def create(self, label: int = -1) -> int:
        """Count one more plane and return its number; raises `ConfigError` if all planes exist."""
        if self.full:
            raise ConfigError(f"all {self.planes} planes exist already; build the model with more")
        number = int(self.count)
        self.labels[number] = label
        self.count += 1
        return number

    def extra_repr(self) -> str:
        """Return what `repr` shows between the brackets."""
        return f"{super().extra_repr()}, {self.learning_threshold:g} while learning, {int(self.count)} planes exist"


class CCells(nn.Module):
    """A layer of C-cells: each sums the S-cells of its own plane in a window, with fixed weights, so that small shifts
    do not matter.

    `d` `[window, window]` falls with the distance as gamma^|x| and sums to `strength` within `radius`; further out it
    is negative and sums to -`surround` (2003; zero in the older nets). `stride` is the distance of the cells. Raises
    `ConfigError` for sizes that cannot work.
    """

    d: Tensor

    def __init__(
        self,
        window: int,
        *,
        stride: int = 1,
        padding: Padding = (0, 0),
        alpha: float = 1.0,
        gamma: float = 0.8,
        strength: float = 1.0,
        surround: float = 0.0,
        radius: float | None = None,
    ) -> None:
        super().__init__()
        self.window, self.stride, self.padding = (
            require_whole("window", window),
            require_whole("stride", stride),
            padding,
        )
        self.alpha = require_number("alpha", alpha, above=0.0)
        self.register_buffer("d", centre_and_surround(window, gamma, strength, surround, radius))

    def forward(self, u: Tensor) -> Tensor:
        """Return the C-cells `[B, K, h, w]` for S-cells `u` `[B, K, H, W]`, in 0..1."""
        if u.shape[1] == 0:
            side = [(size + sum(self.padding) - self.window) // self.stride + 1 for size in u.shape[2:]]
            return u.new_zeros(*u.shape[:2], *side)
        return saturated(self.gathered(spread(u, self.d, self.stride, self.padding)), self.alpha)

    def gathered(self, total: Tensor) -> Tensor:
        """Return the argument of psi for the sums `[B, K, h, w]`: the sums themselves."""
        return total

    def extra_repr(self) -> str:
        """Return what `repr` shows between the brackets."""
        return f"window {self.window}, stride {self.stride}, alpha {self.alpha:g}"


def centre_and_surround(window: int, gamma: float, strength: float, surround: float, radius: float | None) -> Tensor:
    """Return the kernel of `CCells`; raises `ConfigError` if the window has no place for a surround."""
    far = distances(window)
    inside = far <= (window if radius is None else radius)
    kernel = torch.pow(torch.tensor(require_number("gamma", gamma, above=0.0), dtype=torch.float64), far) * inside
    kernel = kernel * (require_number("strength", strength, above=0.0) / kernel.sum())
    if require_number("surround", surround, least=0.0) > 0:
        ring = ~inside & (far <= (window - 1) / 2 + 0.5)
        if not bool(ring.any()):
            raise ConfigError(f"a window of {window} has no place outside radius {radius}; make it larger")
        kernel = kernel - ring * (surround / int(ring.sum()))
    return kernel.float()


def sizes_of(side: int, layers: Sequence[SCells | CCells]) -> list[int]:
    """Return the side of each layer's planes over input planes of `side` cells; `ConfigError` if none is left."""
    found = []
    for layer in layers:
        stride = layer.stride if isinstance(layer, CCells) else 1
        side = (side + sum(layer.padding) - layer.window) // stride + 1
        if side < 1:
            raise ConfigError(f"planes of {side} cells: {layer} does not fit over the layer below it")
        found.append(side)
    return found
