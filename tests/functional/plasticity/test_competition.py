"""Competition by hand."""

import pytest
import torch

from threegen.errors import ConfigError
from threegen.functional.plasticity.competition import (
    inhibit_across_maps,
    keep_winners,
    lateral_inhibition,
    normalise_rows,
    pick_winners,
)

NEVER = 9


def test_winners_are_those_furthest_above() -> None:
    fired = torch.tensor([[True, True, False, True], [False, False, False, False]])
    margin = torch.tensor([[0.1, 0.5, 9.0, 0.5], [1.0, 2.0, 3.0, 4.0]])
    assert keep_winners(fired, margin, 1).tolist() == [[False, True, False, False], [False] * 4]
    assert keep_winners(fired, margin, 2).tolist()[0] == [False, True, False, True]
    assert keep_winners(fired, margin, 7).tolist()[0] == [True, True, False, True]


def test_lateral_inhibition_spares_the_sender() -> None:
    assert lateral_inhibition(torch.tensor([1.0, 0.0, 1.0]), 0.5).tolist() == [0.5, 1.0, 0.5]


def test_rows_of_one_sum() -> None:
    rows = normalise_rows(torch.tensor([[1.0, 3.0], [0.0, 0.0]]), 2.0)
    assert rows.tolist() == [[0.5, 1.5], [0.0, 0.0]]
    with pytest.raises(ConfigError, match="total"):
        normalise_rows(rows, 0.0)


def test_one_map_a_place() -> None:
    """Two maps of 1 x 3: earlier wins, of equal times the higher potential, of equal potentials the first map."""
    times = torch.tensor([[[2, 4, 3]], [[3, 4, 3]]])
    potentials = torch.tensor([[[1.0, 1.0, 5.0]], [[9.0, 2.0, 5.0]]])
    assert inhibit_across_maps(times, potentials, NEVER).tolist() == [[[2, 9, 3]], [[9, 4, 9]]]


def test_winners_of_maps() -> None:
    """Earliest first, then strongest; a winner closes its map and its neighbourhood in all maps."""
    times = torch.full((3, 1, 6), NEVER)
    potentials = torch.zeros(3, 1, 6)
    for feature, column, time, potential in (
        (0, 0, 1, 1.0),
        (1, 1, 2, 9.0),
        (1, 4, 3, 1.0),
        (2, 5, 3, 2.0),
        (0, 3, 2, 1),
    ):
        times[feature, 0, column], potentials[feature, 0, column] = time, potential
    assert pick_winners(times, potentials, NEVER, 3, 0) == [(0, 0, 0), (1, 0, 1), (2, 0, 5)]
    assert pick_winners(times, potentials, NEVER, 3, 1) == [(0, 0, 0), (2, 0, 5)]  # 1 at column 1 is too near, at 4 too
    assert pick_winners(times, potentials, NEVER, 1, 0) == [(0, 0, 0)]
    assert pick_winners(torch.full((3, 1, 6), NEVER), potentials, NEVER, 3, 0) == []
