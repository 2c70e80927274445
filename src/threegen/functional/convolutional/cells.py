"""The cells of the neocognitron as convolutions, and the choice of seed cells.

    V-cell     v(n)   = sqrt( sum_k sum_x c(x) u(k, n + x)^2 )                 the strength of its input
    S-cell     u_S(n) = g phi[ (1 + e) / (1 + h) - 1 ]                          e = sum_k sum_x a(k, x) u(k, n + x)
    C-cell     u_C(n) = psi[ (1 + sum_x d(x) u_S(n + x)) / (1 + v_S(n)) - 1 ]   psi(x) = phi(x) / (alpha + phi(x))

phi(x) = max(x, 0). A plane is one row of cells with shared weights: all functions here process all planes at once.
Shapes: u `[B, K, H, W]`, a `[K_out, K, w, w]`, b `[K_out]`, c and d `[w, w]`; `padding` is (before, after), the same
in both directions, of silent cells.

Fukushima, Biological Cybernetics 36 (1980) 193-202, equations 1 to 8; Neural Networks 1 (1988) 119-130;
Neurocomputing 51 (2003) 161-180.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Padding = tuple[int, int]


def padded(u: Tensor, padding: Padding) -> Tensor:
    """Return `u` with silent cells around it."""
    before, after = padding
    return u if padding == (0, 0) else F.pad(u, (before, after, before, after))


def v_cells(u: Tensor, c: Tensor, padding: Padding = (0, 0)) -> Tensor:
    """Return v `[B, 1, h, w]`, the root of the squares of `u` weighted by `c` and summed over all planes."""
    squares = padded(u.square().sum(1, keepdim=True), padding)
    total = F.conv2d(squares, c[None, None])
    positive = total > 0  # the root has no derivative at zero: the gradient is set to zero there
    return torch.where(positive, total, torch.ones_like(total)).sqrt() * positive


def s_cells(excitation: Tensor, inhibition: Tensor, gain: float) -> Tensor:
    """Return `gain * phi[(1 + e) / (1 + h) - 1]`, written as `(e - h) / (1 + h)`, which avoids cancellation."""
    return gain * F.relu((excitation - inhibition) / (1.0 + inhibition))


def spread(u: Tensor, d: Tensor, stride: int = 1, padding: Padding = (0, 0)) -> Tensor:
    """Return `sum_x d(x) u(k, n + x)` of every plane `[B, K, h, w]`, at every `stride`-th position."""
    planes = u.shape[1]
    return F.conv2d(padded(u, padding), d.expand(planes, 1, *d.shape), stride=stride, groups=planes)


def saturated(x: Tensor, alpha: float) -> Tensor:
    """Return `psi(x) = phi(x) / (alpha + phi(x))`."""
    positive = F.relu(x)
    return positive / (alpha + positive)


def lateral(u: Tensor) -> Tensor:
    """Return the shunting inhibition of the C-cells of 1980: `(1 + u) / (1 + mean over the planes of u) - 1`."""
    mean = u.mean(1, keepdim=True)
    return (u - mean) / (1.0 + mean)


def falling(window: int, gamma: float) -> Tensor:
    """Return a kernel `[window, window]` that decreases with the distance from its centre: gamma^|x|, summing to
    one."""
    kernel = torch.pow(torch.tensor(gamma, dtype=torch.float64), distances(window))
    return (kernel / kernel.sum()).float()


def distances(window: int) -> Tensor:
    """Return the distance of each position of a window from its centre `[window, window]`, float64."""
    places = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    return (places[:, None].square() + places[None, :].square()).sqrt()


def strongest_places(response: Tensor, column: int) -> Tensor:
    """Return the positions `[n]` (row * W + column) that win at least one hyper-column of `response` `[H, W]`.

    A hyper-column is a window of `column` x `column` positions with all planes; they overlap, one at every position
    where it fits. A silent column has no winner; among equal cells the first wins.
    """
    window = (min(column, response.shape[-2]), min(column, response.shape[-1]))
    top, at = F.max_pool2d(response[None, None], window, stride=1, return_indices=True)
    won: Tensor = torch.unique(at[top > 0])
    return won


def seed_cells(response: Tensor, column: int) -> tuple[Tensor, Tensor]:
    """Return the seed cells of one presentation as (planes `[n]`, positions `[n]`), sorted by plane.

    `response` `[K, H, W]` are all S-cells of a layer. In each hyper-column the strongest cell of all planes is a
    candidate; among several candidates in one plane the strongest is chosen. So a plane has at most one seed, and a
    silent plane has none (Fukushima 1980, section 3).
    """
    best, winner = response.max(0)
    places = strongest_places(best, column)
    strength, planes = best.flatten()[places], winner.flatten()[places]
    order = strength.argsort(descending=True, stable=True)
    planes, places = planes[order], places[order]
    first = torch.full((len(response),), len(planes), device=planes.device)
    first.scatter_reduce_(0, planes, torch.arange(len(planes), device=planes.device), "amin")
    chosen = first[first < len(planes)]
    return planes[chosen], places[chosen]


def window_at(u: Tensor, place: int, width: int, window: int) -> Tensor:
    """Return the input window of the cell at `place`, in a layer `width` cells wide, from the padded `u` `[K, H,
    W]`."""
    row, column = divmod(place, width)
    return u[:, row : row + window, column : column + window]
