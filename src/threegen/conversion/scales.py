"""The textbook ways to choose the threshold of a layer, which is also the value of one of its spikes.

    max          lambda = max a                       Diehl et al., IJCNN 2015, data-based normalisation
    percentile   lambda = the 99.9th percentile of a  Rueckauer et al., Frontiers in Neuroscience 11:682 (2017)
    model        lambda = the largest possible sum of positive weights times inputs      Diehl et al. 2015, model-based
    balance      lambda = max over steps of the summed input from spikes              Sengupta et al., Frontiers in
                                                                                      Neuroscience 13:95 (2019)
    least-squares   lambda = argmin |a - lambda/T clip(floor(a T / lambda + 1/2), 0, T)|^2     Li et al., ICML 2021

a are the activations of the layer on the calibration images, of the whole layer or of each channel.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from threegen.conversion.build import Scale
from threegen.conversion.graph import INPUT, LINEAR, RELU, Graph, linear_map

METHODS = ("grid", "percentile", "max", "model", "balance", "least-squares")
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
LARGEST_SORT = 4_000_000  # values per channel that are sorted for a percentile; of more, only every n-th


def by_channel(values: Tensor, per_channel: bool) -> Tensor:
    """Return values [N, C, ...] as [C, M], or as [1, M] for the whole layer."""
    if not per_channel:
        return values.reshape(1, -1)
    return values.transpose(0, 1).reshape(values.shape[1], -1)


def percentiles(values: Tensor, share: float, per_channel: bool) -> Tensor:
    """Return the `share` percentile (0..100) of activations [N, C, ...] for each channel, [C] (or one for all, [1])."""
    rows = by_channel(values, per_channel)
    rows = rows[:, :: max(1, math.ceil(rows.shape[1] / LARGEST_SORT))]
    place = min(max(math.ceil(rows.shape[1] * share / 100), 1), rows.shape[1])
    return torch.stack([row.kthvalue(place).values for row in rows])


def from_activations(
    method: str, y: Tensor, currents: Tensor, *, share: float, per_channel: bool, steps: int
) -> Tensor:
    """Return the thresholds [C] of a layer with activations y [N, C, ...] and summed input [T, N, C, ...]."""
    channels = y.shape[1]
    if method == "balance":
        found = torch.stack([by_channel(one, per_channel).amax(1) for one in currents]).amax(0)
    elif method == "percentile":
        found = percentiles(y, share, per_channel)
    else:
        found = by_channel(y, per_channel).amax(1)
    if method == "least-squares":
        found = torch.stack(
            [_least_squares(row, top, steps) for row, top in zip(by_channel(y, per_channel), found, strict=True)]
        )
    return found.expand(channels).clone()


def _least_squares(values: Tensor, top: Tensor, steps: int) -> Tensor:
    """Return the threshold whose rounded rates have the least error against activations [M], among shares of the
    largest one."""
    if not top > 0:
        return top
    candidates = top * torch.tensor(SHARES, dtype=values.dtype)
    missed = [
        (values - one / steps * (values * (steps / one) + 0.5).floor().clamp_(0, steps)).square_().sum()
        for one in candidates
    ]
    return candidates[int(torch.stack(missed).argmin())]


def by_model(graph: Graph, number: int, largest: dict[int, Tensor]) -> Tensor:
    """Return the largest summed input that operation `number` can get, for each of its values, given those of sources.

    Only positive weights count, and biases above zero; `largest` holds the largest value of each source.
    """
    made = dict(largest)
    for inner in graph.behind(number):
        op = graph.ops[inner]
        values = [made[one] for one in op.takes]
        if op.kind in LINEAR:
            module = cast(Any, op.module)
            out = linear_map(op.kind, module, values[0][None], module.weight.detach().clamp(min=0))[0]
            if module.bias is not None:
                out = out + module.bias.detach().clamp(min=0).view(-1, *[1] * (out.dim() - 1))
            made[inner] = out
        elif op.kind in ("scale", "shift"):
            own = cast(Any, op.module)
            made[inner] = (values[0] * own.weight if op.kind == "scale" else values[0] + own.bias).clamp(min=0)
        else:
            made[inner] = op.run([one[None] for one in values])[0]
    return made[number].detach()


def usable(threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Return valid thresholds, and which channels never fire: their threshold becomes 1."""
    silent = ~(threshold > 0)
    return torch.where(silent, torch.ones_like(threshold), threshold), silent


def scale_of(threshold: Tensor, start: float, factor: float) -> Scale:
    """Return the scale of neurons whose spikes have the value threshold times `factor`."""
    return Scale(threshold, threshold * factor, torch.full_like(threshold, start))


__all__ = ["INPUT", "METHODS", "RELU", "by_model", "from_activations", "percentiles", "scale_of", "usable"]
