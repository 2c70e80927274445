"""A net whose neurons fire at most once, step by step: spike times of all layers, and the answer as it forms.

The net itself answers from all spikes at once, which gives the same (see `gen3.mozafari`). Here every step is computed,
in plain tensors: for pictures over time, and for answers while kernels are being compiled.

Shapes: B examples, T steps, K classes, [C, H, W] a layer's maps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.gen3.mozafari import Mozafari2019


@torch.no_grad()
def times_of_layers(model: Mozafari2019, images: Tensor) -> dict[str, Tensor]:
    """Return the spike times (int64, `steps` for never) of `input`, `s1`, `s2` [B, C, H, W], and `c2`, S2 pooled."""
    encoded = model.encode(images).long()
    first = model.s1.fire(encoded)[0]
    second = model.s2.fire(_earliest(first, 2))[0]
    return {"input": encoded, "s1": first, "s2": second, "c2": _earliest(second, 3, model.whole_pools)}


@torch.no_grad()
def scores_by_step(model: Mozafari2019, arrivals: Tensor) -> Tensor:
    """Return the scores [T, B, K] that the net would give after each step for C2's spike times [B, C, H, W]."""
    moments = [torch.where(arrivals <= step, 0, model.steps).to(torch.uint8) for step in range(model.steps)]
    scores: Tensor = model.answer(torch.cat(moments))
    return scores.reshape(model.steps, len(arrivals), -1)


@torch.no_grad()
def plain_scores(model: Mozafari2019, images: Tensor) -> Tensor:
    """Return the scores [B, K] without compiled kernels."""
    return model.answer(times_of_layers(model, images)["c2"].to(torch.uint8))


def spikes_sent(model: Mozafari2019, images: Tensor) -> int:
    """Return how many neurons of S1 and S2 fire."""
    times = times_of_layers(model, images)
    return sum(int((times[layer] < model.steps).sum()) for layer in ("s1", "s2"))


def frames(times: Tensor, steps: int) -> Tensor:
    """Return spike times [...] of one example as spikes [T, N], one per neuron at most."""
    flat = times.flatten()
    return (flat.unsqueeze(0) == torch.arange(steps).unsqueeze(1)).float()


def promptness(times: Tensor, steps: int) -> Tensor:
    """Return spike times as numbers in 0..1: 1 for the first step, 0 for neurons that never fire."""
    return (steps - times).float() / steps


def contrast_fields(model: Mozafari2019) -> Tensor:
    """Return what S1's maps look for [C, k, k]: weights of on-center cells (ink) less those of off-center cells."""
    weight = model.s1.weight.detach()
    return weight[:, 0::2].sum(1) - weight[:, 1::2].sum(1)


def _earliest(times: Tensor, pool: int, whole: bool = False) -> Tensor:
    return (-F.max_pool2d(-times.float(), pool, ceil_mode=whole)).long()
