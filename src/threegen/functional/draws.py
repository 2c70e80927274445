"""Binary states drawn from their probabilities: one key from the generator, hashed with a counter for each unit.

    state[i] = 1 where u[i] < p[i]        u[i] = 24 bits of hash(key, i), as a fraction

torch's own Bernoulli draw costs as much as a matrix product on a CPU; one compiled pass over the probabilities is
not noticed beside one. The states depend on the key and the probabilities alone, never on the number of cores.
Chances are exact to 2^-24: a probability of 0 never fires, one of 1 always does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.randomness import draw_key
from threegen.threads import ready_numba, serial

numba = ready_numba()

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_HIGH, _LOW, _BITS = np.uint64(40), np.uint64(16), np.uint64((1 << 24) - 1)
_UNIT = np.float32(2.0**-24)


@torch.no_grad()
def draw_bernoulli(probability: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return states 0 and 1 of the shape and type of `probability`, each 1 with that chance.

    float32 and float64 on the CPU take the compiled pass, all else a comparison with torch's uniform numbers.
    """
    key = draw_key(generator)
    if probability.device.type != "cpu" or probability.dtype not in (torch.float32, torch.float64):
        source = torch.Generator(probability.device).manual_seed(key)
        uniform = torch.rand(probability.shape, generator=source, device=probability.device)
        return (uniform < probability).to(probability.dtype)
    chances = probability.detach().contiguous()
    states = torch.empty_like(chances)
    compare_hashed(chances.view(-1).numpy(), states.view(-1).numpy(), np.uint64(key))
    return states


@torch.no_grad()
def draw_one_of(probability: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return one-hot states of the shape of `probability` `[..., K]`, whose last axis adds up to 1."""
    source = torch.Generator(probability.device).manual_seed(draw_key(generator))
    shape = (*probability.shape[:-1], 1)
    level = torch.rand(shape, generator=source, device=probability.device, dtype=probability.dtype)
    passed = (probability.cumsum(-1) <= level).sum(-1, keepdim=True).clamp_(max=probability.shape[-1] - 1)
    return torch.zeros_like(probability).scatter_(-1, passed, 1.0)


@torch.no_grad()
def draw_normal(mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return `mean` plus independent noise from N(0, 1)."""
    source = torch.Generator(mean.device).manual_seed(draw_key(generator))
    return mean + torch.randn(mean.shape, generator=source, device=mean.device, dtype=mean.dtype)


@serial
def hashed(z: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the counter reaches every bit."""
    z = (z ^ (z >> _SHIFTS[0])) * _FACTORS[0]
    z = (z ^ (z >> _SHIFTS[1])) * _FACTORS[1]
    return z ^ (z >> _SHIFTS[2])


@serial
def compare_hashed(chances: Any, states: Any, key: Any) -> None:
    """Fill `states` [M]: one hash serves a unit of the first half and one of the second; no branches inside."""
    half = (len(chances) + 1) // 2
    start = hashed(key)
    for i in range(len(chances) - half):
        z = hashed(start + GOLDEN * np.uint64(i + 1))
        states[i] = np.float32(np.int32(z >> _HIGH)) * _UNIT < chances[i]
        states[half + i] = np.float32(np.int32((z >> _LOW) & _BITS)) * _UNIT < chances[half + i]
    for i in range(len(chances) - half, half):
        z = hashed(start + GOLDEN * np.uint64(i + 1))
        states[i] = np.float32(np.int32(z >> _HIGH)) * _UNIT < chances[i]
