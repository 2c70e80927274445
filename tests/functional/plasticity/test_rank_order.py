"""Contrast filters by their definition, latencies by hand."""

import math

import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.functional.plasticity.rank_order import (
    contrast_filters,
    contrasts,
    difference_of_gaussians,
    first_spikes,
    normalise_locally,
    rank_latencies,
)


def test_difference_of_gaussians() -> None:
    """3 x 3, deviations 1 and 2: centre (1 - 1/4), sides (e^-.5 - e^-.125/4), corners (e^-1 - e^-.25/4), all / 2 pi."""
    centre, side = 0.75, math.exp(-0.5) - math.exp(-0.125) / 4
    corner = math.exp(-1) - math.exp(-0.25) / 4
    mean = (centre + 4 * side + 4 * corner) / 9
    found = difference_of_gaussians(3, 1.0, 2.0)
    assert found[1, 1] == 1
    assert found[0, 1].item() == pytest.approx((side - mean) / (centre - mean))
    assert found[2, 2].item() == pytest.approx((corner - mean) / (centre - mean))
    assert float(found.sum()) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ConfigError, match="odd"):
        difference_of_gaussians(4, 1.0, 2.0)
    with pytest.raises(ConfigError, match="must differ"):
        difference_of_gaussians(3, 1.0, 1.0)


def test_six_filters_of_three_sizes() -> None:
    filters = contrast_filters()
    assert filters.shape == (6, 1, 13, 13)
    assert torch.equal(filters[2, 0, 3:10, 3:10], difference_of_gaussians(7, 7 / 9, 14 / 9))
    assert float(filters[0, 0, 6, 6]) == 1  # on-centre
    assert float(filters[1, 0, 6, 6]) < 0  # off-centre
    assert float(filters.sum((1, 2, 3)).abs().max()) < 1e-9


def test_contrasts_see_edges_and_no_even_ground() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[..., 4, 4] = 1.0
    found = contrasts(image, contrast_filters((3,)), 50.0)
    assert found[0, 0, 4, 4] == 255
    assert found[0, 1, 4, 4] == 0
    even = contrasts(torch.full((1, 1, 9, 9), 0.7), contrast_filters((3,)), 50.0)
    assert float(even[..., 1:-1, 1:-1].abs().max()) == 0
    with pytest.raises(ShapeError, match="grey images"):
        contrasts(torch.zeros(1, 3, 9, 9), contrast_filters((3,)), 50.0)


def test_local_gain() -> None:
    """Radius 1: a lone value has the mean v/9, so it becomes 9; in even ground the inside becomes 1."""
    maps = torch.zeros(1, 1, 5, 5)
    maps[0, 0, 2, 2] = 4.0
    assert normalise_locally(maps, 1)[0, 0, 2, 2].item() == pytest.approx(9.0)
    assert normalise_locally(torch.ones(1, 1, 5, 5), 1)[0, 0, 2, 2].item() == pytest.approx(1.0)


def test_ranks_become_times() -> None:
    """Six values above 0 in three steps: two in each; zeros never; each example by itself."""
    values = torch.tensor([[9.0, 0.0, 7.0, 5.0, 8.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]])
    assert rank_latencies(values, 3).tolist() == [[0, 3, 1, 1, 0, 2, 2], [3, 3, 3, 3, 3, 3, 0]]
    assert rank_latencies(torch.tensor([[4.0, 4.0, 4.0, 4.0]]), 2).tolist() == [[0, 0, 1, 1]]


def test_first_spikes_of_frames() -> None:
    frames = torch.zeros(1, 4, 3)
    frames[0, 2:, 0], frames[0, 0, 1] = 2.0, 1.0
    assert first_spikes(frames).tolist() == [[2, 0, 4]]
    with pytest.raises(ShapeError, match="frames"):
        first_spikes(torch.zeros(4, 3))
