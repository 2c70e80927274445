"""Products that leave out what is 0 must be the dense ones: NumPy's in float64, and to the bit where sums are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from threegen.machine.sparse import layouts
from threegen.machine.sparse.sparse_matrix import SparseMatrix, Stack
from threegen.machine.threads import use_threads


def grid(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Multiples of 1/64 up to 1: sums of hundreds of their products are exact in any order."""
    return torch.randint(-64, 65, shape, generator=torch.Generator().manual_seed(seed)).to(dtype) / 64


def sparse(rows: int, columns: int, density: float, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    return grid(rows, columns, seed=seed + 7, dtype=dtype) * (drawn < density)


@settings(max_examples=40, deadline=None)
@example(rows=1, columns=1, outputs=1, density=0.1, dtype=torch.float32, seed=261)  # one entry, not 0
@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    outputs=st.integers(1, 140),
    density=st.sampled_from([0.0, 0.02, 0.1]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_both_products_are_the_dense_ones(
    rows: int, columns: int, outputs: int, density: float, dtype: torch.dtype, seed: int
) -> None:
    matrix = sparse(rows, columns, density, seed=seed, dtype=dtype)
    up, down = grid(columns, outputs, seed=seed + 1, dtype=dtype), grid(rows, outputs, seed=seed + 2, dtype=dtype)
    bias, before = grid(outputs, seed=seed + 3, dtype=dtype), grid(columns, outputs, seed=seed + 4, dtype=dtype)
    lists = SparseMatrix((rows, columns), dtype)
    assert lists.take(matrix, most=1.0)  # lists are made also where the product would not pay
    result = torch.full((rows, outputs), float("nan"), dtype=dtype)
    lists.times(up.numpy(), result.numpy(), bias.numpy())
    exact = matrix.double() @ up.double() + bias
    assert torch.equal(result.double(), exact)
    lists.times(up.numpy(), result.numpy(), bias.numpy(), rectify=True)
    assert torch.equal(result.double(), exact.relu())
    lists.times(up.t().contiguous().numpy(), result.numpy(), bias.numpy(), turned=True)
    assert torch.equal(result.double(), exact)
    gradient = torch.full((columns, outputs), float("nan"), dtype=dtype)
    sums, squares = lists.transposed_times(down.numpy(), gradient.numpy(), sums=True)
    assert torch.equal(gradient.double(), matrix.double().T @ down.double())
    np.testing.assert_array_equal(sums, down.double().sum(0))
    assert squares == pytest.approx(float(gradient.double().square().sum()), rel=1e-5)
    gate = grid(rows, outputs, seed=seed + 5, dtype=dtype)
    moved = before.clone()
    lists.transposed_times(down.numpy(), moved.numpy(), keep=0.5, gate=gate.numpy())
    assert torch.equal(moved.double(), before.double() / 2 + matrix.double().T @ (down.double() * (gate > 0)))


@pytest.mark.parametrize("rows", [(40, 25), (100, 100), (130, 300)])
def test_two_matrices_one_above_the_other(rows: tuple[int, int]) -> None:
    """Their tables have factors of their own; what was there before stands in a third array."""
    parts = [sparse(count, 150, 0.1, seed=count) for count in rows]
    tables = [grid(count, 130, seed=count + 1) for count in rows]
    old, result = grid(150, 130, seed=9), torch.empty(150, 130)
    matrices = [SparseMatrix(part.shape, torch.float32) for part in parts]
    for matrix, part in zip(matrices, parts, strict=True):
        assert matrix.take(part)
    below = (tables[1].numpy(), -0.5)
    Stack(*matrices).transposed_times(
        tables[0].numpy(), result.numpy(), scale=2.0, below=below, keep=0.25, old=old.numpy()
    )
    wanted = 0.25 * old + 2.0 * parts[0].t() @ tables[0] - 0.5 * parts[1].t() @ tables[1]
    assert torch.equal(result, wanted)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    matrix = torch.randn(130, 784, generator=torch.Generator().manual_seed(1)) * (sparse(130, 784, 0.1) != 0)
    table, error = torch.randn(784, 500), torch.randn(130, 500)
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            lists = SparseMatrix((130, 784), torch.float32)
            assert lists.take(matrix)
            made, gradient = torch.empty(130, 500), torch.empty(784, 500)
            lists.times(table.numpy(), made.numpy())
            lists.transposed_times(error.numpy(), gradient.numpy())
            found.append((made, gradient))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_dense_matrices_are_refused_and_memory_is_used_again() -> None:
    """A matrix refused in between leaves nothing behind in the next one's lists."""
    few, many = sparse(64, 96, 0.1), grid(64, 96, seed=3)
    late = torch.cat([sparse(4, 96, 0.1), many[4:]])  # the look at the first rows does not tell
    lists = SparseMatrix((64, 96), torch.float32)
    table, result = grid(96, 64, seed=4), torch.empty(64, 64)
    for matrix in (few, many, late, few):
        assert lists.take(matrix) is (matrix is few)
    lists.times(table.numpy(), result.numpy())
    assert torch.equal(result, few @ table)
    assert lists.fits(few)
    assert not lists.fits(few[:63])
    assert not lists.fits(few.double())


def test_what_is_not_finite_is_not_left_out() -> None:
    matrix = sparse(32, 64, 0.1)
    matrix[3, 5] = float("nan")
    table, result = grid(64, 64, seed=1), torch.empty(32, 64)
    lists = SparseMatrix((32, 64), torch.float32)
    assert lists.take(matrix)
    lists.times(table.numpy(), result.numpy(), rectify=True)
    assert result[3].isnan().all()
    assert result[[0, 1, 2, *range(4, 32)]].isfinite().all()


def test_a_layer_laid_out_by_inputs_keeps_its_values() -> None:
    weight = torch.randn(5, 7)
    laid = layouts.lay_out(weight)
    assert torch.equal(laid, weight)
    assert layouts.lies_by_inputs(laid)
    assert not layouts.lies_by_inputs(weight)


@pytest.mark.parametrize(
    ("sizes", "large"), [((128, 784, 512), True), ((31, 784, 4000), False), ((128, 64, 64), False)]
)
def test_small_products_stay_dense(sizes: tuple[int, int, int], large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "has_wide_vectors", lambda: True)
    assert layouts.pays(*sizes) is large
    monkeypatch.setattr(layouts, "has_wide_vectors", lambda: False)
    assert not layouts.pays(*sizes)
