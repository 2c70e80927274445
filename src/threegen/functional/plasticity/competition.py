"""Competition between neurons of one layer: winners, lateral inhibition, normalised weights.

Shapes: N neurons in the last axis, anything before it; maps [F, H, W] of F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from threegen.checks import require_number, require_whole


@dataclass(frozen=True, slots=True)
class Winner:
    """A winning neuron of a convolutional layer: its map, its spike time, and those of its inputs [C, k, k]."""

    feature: int
    time: int
    inputs: Tensor


def keep_winners(fired: Tensor, margin: Tensor, winners: int) -> Tensor:
    """Return `fired` (bool [..., N]) with only the `winners` largest `margin` [..., N] kept; among equals the first."""
    ranked = margin.masked_fill(~fired, -torch.inf).sort(stable=True, dim=-1, descending=True).indices
    first = torch.zeros_like(fired).scatter_(-1, ranked[..., : require_whole("winners", winners)], True)
    return fired & first


def lateral_inhibition(spikes: Tensor, strength: float) -> Tensor:
    """Return [..., N]: `strength` times the spikes of all the *other* neurons; `spikes` [..., N] hold 0 and 1."""
    return strength * (spikes.sum(-1, keepdim=True) - spikes)


def normalise_rows(weight: Tensor, total: float) -> Tensor:
    """Return weights [..., O, I] with each neuron's row scaled to the sum `total`; rows that sum to 0 stay.

    Raises `ConfigError` if `total` is not above 0.
    """
    sums = weight.sum(-1, keepdim=True)
    return weight * torch.where(sums > 0, require_number("total", total, above=0.0) / sums, 1.0)


def inhibit_across_maps(times: Tensor, potentials: Tensor, never: int) -> Tensor:
    """Return spike times [F, H, W] in which only one map fires at each position: the earliest.

    Among several in the same step the one with the highest potential [F, H, W] at its spike is kept, among equals the
    first. `never` means no spike. Kheradpisheh et al., Neural Networks 99 (2018), lateral inhibition.
    """
    earliest = times.amin(0, keepdim=True)
    rivals = potentials.masked_fill(times != earliest, -torch.inf)
    best = torch.zeros_like(times, dtype=torch.bool).scatter_(0, rivals.argmax(0, keepdim=True), True)
    return times.masked_fill(~best, never)


def pick_winners(
    times: Tensor, potentials: Tensor, never: int, winners: int, radius: int
) -> list[tuple[int, int, int]]:
    """Return at most `winners` (feature, row, column) of maps [F, H, W], the earliest first, then the strongest.

    A winner silences its whole map and, in all maps, the positions within `radius` rows and columns. Among equals the
    one with the lowest index wins. `times` is `never` where no neuron fires.
    """
    require_whole("winners", winners)
    require_whole("radius", radius, least=0)
    open_times = times.clone()
    found: list[tuple[int, int, int]] = []
    _, height, width = times.shape
    while len(found) < winners:
        earliest = open_times.min()
        if int(earliest) >= never:
            break
        place = int(potentials.masked_fill(open_times != earliest, -torch.inf).argmax())
        feature, rest = divmod(place, height * width)
        row, column = divmod(rest, width)
        found.append((feature, row, column))
        open_times[feature] = never
        rows = slice(max(0, row - radius), row + radius + 1)
        open_times[:, rows, max(0, column - radius) : column + radius + 1] = never
    return found
