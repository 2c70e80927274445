"""Narrow layers behind spikes must give the dense product and its gradient, to the bit where sums are exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from threegen.functional.spiking.narrow_layers import is_sparse_and_narrow, narrow_gradient, narrow_linear
from threegen.machine.threads import use_threads


def grid(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Multiples of 1/64 up to 1: sums of thousands of them are exact in any order."""
    return torch.randint(-64, 65, shape, generator=torch.Generator().manual_seed(seed)).to(dtype) / 64


def random_spikes(*shape: int, density: float, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).to(torch.uint8)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 16),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    biased=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_they_equal_the_dense_product(
    rows: int, inputs: int, outputs: int, density: float, biased: bool, dtype: torch.dtype, seed: int
) -> None:
    spikes = random_spikes(rows, inputs, density=density, seed=seed)
    weight, gradient = grid(outputs, inputs, seed=seed, dtype=dtype), grid(rows, outputs, seed=seed + 1, dtype=dtype)
    bias = grid(outputs, seed=seed + 2, dtype=dtype) if biased else None
    result = torch.empty(rows, outputs, dtype=dtype)
    narrow_linear(spikes, weight, bias, result)
    assert torch.equal(result, F.linear(spikes.to(dtype), weight, bias))
    assert torch.equal(narrow_gradient(spikes, gradient), spikes.to(dtype).t() @ gradient)


def test_one_core_and_two_give_the_same_bits() -> None:
    spikes, generator = random_spikes(300, 90, density=0.2), torch.Generator().manual_seed(1)
    weight, gradient = torch.randn(10, 90, generator=generator), torch.randn(300, 10, generator=generator)
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            result = torch.empty(300, 10)
            narrow_linear(spikes, weight, None, result)
            found.append((result, narrow_gradient(spikes, gradient)))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("spikes", "outputs", "fits"),
    [
        (random_spikes(4, 8, 50, density=0.1), 10, True),
        (random_spikes(4, 8, 50, density=0.1), 17, False),
        (random_spikes(4, 8, 50, density=0.6), 10, False),
        (random_spikes(4, 8, 50, density=0.1).float(), 10, False),
        (random_spikes(4, 0, 50, density=0.1), 10, False),
    ],
    ids=["few spikes", "too wide", "many spikes", "no bytes", "no examples"],
)
def test_who_is_sparse_and_narrow(spikes: Tensor, outputs: int, fits: bool) -> None:
    assert is_sparse_and_narrow(spikes, outputs) is fits
