"""The cells of the neocognitron: numbers by hand from the papers' equations, and the choice of seeds by brute force."""

from __future__ import annotations

import pytest
import torch

from threegen.functional.convolutional.cells import (
    falling,
    lateral,
    padded,
    s_cells,
    saturated,
    seed_cells,
    spread,
    v_cells,
    window_at,
)


def test_v_cell_by_hand() -> None:
    """v = sqrt(.25 (1 + 4 + 0 + 9) + .25 (0 + 0 + 4 + 0)) = sqrt(4.5) over two planes."""
    u = torch.tensor([[[1.0, 2.0], [0.0, 3.0]], [[0.0, 0.0], [2.0, 0.0]]])[None]
    assert v_cells(u, torch.full((2, 2), 0.25)).item() == pytest.approx(4.5**0.5)


def test_v_cell_is_silent_over_silence_and_has_a_gradient_there() -> None:
    u = torch.zeros(1, 1, 3, 3, requires_grad=True)
    v = v_cells(u, falling(3, 0.5))
    v.sum().backward()
    assert v.item() == 0.0
    assert u.grad is not None
    assert torch.equal(u.grad, torch.zeros_like(u))


def test_s_cell_by_hand() -> None:
    """r = 4: r phi[(1 + e) / (1 + h) - 1] with e = 2, h = 1: 4 (3/2 - 1) = 2; with e = 1, h = 2 it is silent."""
    excitation, inhibition = torch.tensor([2.0, 1.0]), torch.tensor([1.0, 2.0])
    assert s_cells(excitation, inhibition, 4.0).tolist() == [2.0, 0.0]


def test_s_cell_keeps_small_differences_of_large_numbers() -> None:
    """(1 + e) / (1 + h) - 1 = (e - h) / (1 + h): with h = 1e6, e = h + 64 that is 64 / 1000001."""
    found = s_cells(torch.tensor(1e6 + 64), torch.tensor(1e6), 1.0)
    assert found.item() == pytest.approx(64 / 1000001, rel=1e-6)


def test_c_cell_by_hand() -> None:
    """sum d u_S = .5 * 1 + .5 * 2 = 1.5; psi = 1.5 / (.5 + 1.5) = 3/4; negative sums give zero."""
    u = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2).expand(1, 1, 2, 2)
    total = spread(u, torch.tensor([[0.5, 0.5], [0.0, 0.0]]))
    assert total.item() == 1.5
    assert saturated(total, 0.5).item() == 0.75
    assert saturated(-total, 0.5).item() == 0.0


def test_c_cells_of_1980_by_hand() -> None:
    """Two planes, sums 3 and 1: v_S = 2; (1 + 3) / (1 + 2) - 1 = 1/3 and (1 + 1) / (1 + 2) - 1 = -1/3."""
    found = lateral(torch.tensor([3.0, 1.0]).reshape(1, 2, 1, 1))
    assert found.flatten().tolist() == pytest.approx([1 / 3, -1 / 3])


def test_falling_kernel() -> None:
    """gamma^|x| with gamma = 1/2 over 3 x 3: middle 1, sides 1/2, corners 2^-sqrt(2), summed to one."""
    kernel = falling(3, 0.5)
    corner = 2.0 ** -(2.0**0.5)
    assert kernel.sum().item() == pytest.approx(1.0)
    assert (kernel[1, 1] / kernel[0, 1]).item() == pytest.approx(2.0)
    assert (kernel[0, 0] / kernel[1, 1]).item() == pytest.approx(corner)


def brute_seeds(response: torch.Tensor, column: int) -> list[tuple[int, int]]:
    """Each window in turn: its best cell is a candidate; the best candidate of each plane is the seed."""
    height, width = response.shape[1:]
    best: dict[int, tuple[float, int]] = {}
    for top in range(height - column + 1):
        for left in range(width - column + 1):
            window = response[:, top : top + column, left : left + column]
            value, at = window.reshape(-1).max(0)
            if value <= 0:
                continue
            plane, rest = divmod(int(at), column * column)
            place = (top + rest // column) * width + left + rest % column
            if plane not in best or float(value) > best[plane][0]:
                best[plane] = (float(value), place)
    return [(plane, best[plane][1]) for plane in sorted(best)]


@pytest.mark.parametrize("column", [1, 2, 3, 5])
def test_seeds_are_those_of_brute_force(column: int) -> None:
    for seed in range(5):
        response = torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(seed)).relu()
        planes, places = seed_cells(response, column)
        assert list(zip(planes.tolist(), places.tolist(), strict=True)) == brute_seeds(response, column)
        assert len(set(planes.tolist())) == len(planes)  # at most one a plane


def test_a_silent_layer_has_no_seed() -> None:
    assert len(seed_cells(torch.zeros(3, 4, 4), 2)[0]) == 0


def test_windows() -> None:
    """The cell at row 1, column 0 of planes two cells wide sees rows 1 to 2, columns 0 to 1 of the padded input."""
    u = torch.arange(4.0).reshape(1, 2, 2)
    assert window_at(padded(u, (1, 0)), 2, 2, 2).tolist() == [[[0.0, 0.0], [0.0, 2.0]]]
