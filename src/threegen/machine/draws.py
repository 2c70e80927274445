"""Binary states drawn from their probabilities: one key from the generator, hashed with a counter for each unit.

    state[i] = 1 where u[i] < p[i]        u[i] = 24 bits of hash(key, i), as a fraction

torch's Bernoulli draw costs as much as a matrix product on a CPU; one compiled pass over the probabilities costs little
in comparison. The states depend only on the key and the probabilities, not on the number of cores. Probabilities are
exact to 2^-24: 0 never fires, 1 always does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.machine.compiler import serial
from threegen.machine.shares import SHARE, draw_as_share
from threegen.randomness import draw_key

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_HIGH, _LOW, _BITS = np.uint64(40), np.uint64(16), np.uint64((1 << 24) - 1)
_UNIT = np.float32(2.0**-24)


def draw_bernoulli(probability: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return states 0 and 1 of the shape and type of `probability`, each 1 with that probability.

    float32 and float64 on the CPU use the compiled pass, all else a comparison with torch's uniform numbers.
    """
    if SHARE:
        return draw_as_share(draw_bernoulli, probability, generator)
    key = draw_key(generator)
    if probability.device.type != "cpu" or probability.dtype not in (torch.float32, torch.float64):
        source = torch.Generator(probability.device).manual_seed(key)
        uniform = torch.rand(probability.shape, generator=source, device=probability.device)
        return (uniform < probability).to(probability.dtype)
    chances = probability.detach().contiguous()
    states = torch.empty_like(chances)
    compare_hashed(rows_of(chances), rows_of(states), np.uint64(key))
    return states


@torch.no_grad()
def draw_one_of(probability: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return one-hot states of the shape of `probability` `[..., K]`, whose last axis adds up to 1."""
    if SHARE:
        return draw_as_share(draw_one_of, probability, generator)
    source = torch.Generator(probability.device).manual_seed(draw_key(generator))
    shape = (*probability.shape[:-1], 1)
    level = torch.rand(shape, generator=source, device=probability.device, dtype=probability.dtype)
    passed = (probability.cumsum(-1) <= level).sum(-1, keepdim=True).clamp_(max=probability.shape[-1] - 1)
    return torch.zeros_like(probability).scatter_(-1, passed, 1.0)


@torch.no_grad()
def draw_normal(mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return `mean` plus independent noise from N(0, 1)."""
    if SHARE:
        return draw_as_share(draw_normal, mean, generator)
    source = torch.Generator(mean.device).manual_seed(draw_key(generator))
    return mean + torch.randn(mean.shape, generator=source, device=mean.device, dtype=mean.dtype)


def rows_of(tensor: Tensor) -> Any:
    """Return a contiguous tensor as an array [R, N] over the same memory; its last axis is N, a vector is one row."""
    own = tensor.detach() if tensor.requires_grad else tensor
    return (own if own.dim() == 2 else own.view(-1, own.shape[-1] if own.dim() else 1)).numpy()


@serial
def hashed(z: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the counter reaches every bit."""
    z = (z ^ (z >> _SHIFTS[0])) * _FACTORS[0]
    z = (z ^ (z >> _SHIFTS[1])) * _FACTORS[1]
    return z ^ (z >> _SHIFTS[2])


@serial
def high_level(z: Any) -> Any:
    """Return the fraction in the upper 24 bits of a hash, float32."""
    return np.float32(np.int32(z >> _HIGH)) * _UNIT


@serial
def low_level(z: Any) -> Any:
    """Return the fraction in 24 other bits of a hash, float32."""
    return np.float32(np.int32((z >> _LOW) & _BITS)) * _UNIT


@serial
def compare_pair(chances: Any, states: Any, r: int, start: Any) -> None:
    """Fill row r of `states` and its partner in the lower half: one hash serves two units; no branches."""
    rows, columns = chances.shape
    half = (rows + 1) // 2
    counter = start + GOLDEN * np.uint64(r * columns + 1)
    upper, lower = np.empty(columns, np.float32), np.empty(columns, np.float32)  # local: loops vectorise
    for j in range(columns):
        z = hashed(counter + GOLDEN * np.uint64(j))
        upper[j], lower[j] = high_level(z), low_level(z)
    first, states_first = chances[r], states[r]
    for j in range(columns):
        states_first[j] = upper[j] < first[j]
    if half + r < rows:
        partner, states_partner = chances[half + r], states[half + r]
        for j in range(columns):
            states_partner[j] = lower[j] < partner[j]


@serial
def compare_hashed(chances: Any, states: Any, key: Any) -> None:
    """Fill `states` [R, N] with draws as in the module's docstring; both arrays may share memory."""
    start = hashed(key)
    for r in range((len(chances) + 1) // 2):
        compare_pair(chances, states, r, start)
