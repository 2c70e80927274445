"""The plain plastic layer: its parts one at a time, by hand; what it takes and what it refuses."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.gen3.encoders import Latency, Poisson
from threegen.gen3.plastic_layer import PlasticLayer

TAU = 1 / math.log(2)  # a decay of one half a step


def make(weights: list[list[float]], **settings: Any) -> PlasticLayer:
    layer = PlasticLayer(len(weights[0]), len(weights), tau=TAU, **settings)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return layer


def spikes_of(layer: PlasticLayer, train: list[list[float]]) -> list[list[float]]:
    found: list[list[float]] = layer.run(torch.tensor([train]))[:, 0].tolist()
    return found


def test_leak_threshold_and_reset() -> None:
    """u = .6, .9 (no spike), 1.05 (spike, reset), .6."""
    assert spikes_of(make([[0.6]]), [[1.0]] * 4) == [[0], [0], [1], [0]]


def test_refractory_neurons_stay_at_rest() -> None:
    assert spikes_of(make([[1.0]], refractory=2.0), [[1.0]] * 6) == [[1], [0], [0], [1], [0], [0]]


def test_lateral_inhibition_comes_one_step_later() -> None:
    """The first neuron fires at 0; the second, at .8, loses .5 and stays below: .4 + .8 - .5 = .7."""
    layer = make([[1.0, 0.0], [0.8, 0.0]], inhibition=0.5)
    assert spikes_of(layer, [[1.0, 0.0]] * 2)[1] == [1, 0]
    assert spikes_of(make([[1.0, 0.0], [0.8, 0.0]]), [[1.0, 0.0]] * 2)[1] == [1, 1]  # 1.2 without


def test_winner_takes_all() -> None:
    layer = make([[0.9], [1.0], [1.0]], threshold=0.8, winners=1)
    assert spikes_of(layer, [[1.0]]) == [[0, 1, 0]]


def test_homeostasis_rises_while_learning_alone() -> None:
    layer = make([[1.0]], theta_plus=0.25, theta_tau=TAU)
    layer.step(torch.ones(1, 1), adapt=True)
    assert layer.theta.tolist() == [0.25]
    layer.step(torch.zeros(1, 1), adapt=True)
    assert layer.theta.tolist() == [pytest.approx(0.125)]
    layer.run(torch.ones(1, 5, 1))
    assert layer.theta.tolist() == [pytest.approx(0.125)]  # running shows, it does not teach
    assert spikes_of(layer, [[1.0]]) == [[0]]  # 1.0 is below 1.125


def test_normalisation_and_bounds() -> None:
    layer = PlasticLayer(4, 3, norm=1.5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer.weight.sum(1), torch.full((3,), 1.5))
    with torch.no_grad():
        layer.weight[0] = torch.tensor([-1.0, 2.0, 0.0, 0.0])
    layer.project()
    assert layer.weight[0].tolist() == [0.0, 1.0, 0.0, 0.0]  # the bound comes before the sum
    assert torch.allclose(layer.weight[1:].sum(1), torch.full((2,), 1.5))


def test_pictures_of_any_shape_and_event_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    colour = PlasticLayer([3, 8, 6], 5, encoder=Poisson(0.3), steps=7, generator=generator)
    assert colour(torch.rand(2, 3, 8, 6, generator=generator), generator=generator).shape == (2, 5)
    late = PlasticLayer([1, 4, 4], 2, encoder=Latency(), steps=9)
    assert late.input_spikes(torch.rand(2, 1, 4, 4, generator=generator)).sum((0, 2)).tolist() == [16, 16]
    events = PlasticLayer([2, 5, 4], 3)
    frames = torch.randint(0, 3, (2, 11, 2, 5, 4), generator=generator).float()
    trains = events.input_spikes(frames)
    assert trains.shape == (11, 2, 40)
    assert torch.equal(trains[:, 1], (frames[1] > 0).float().flatten(1))
    assert events(frames).shape == (2, 3)


def test_copies_and_saved_states_answer_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = PlasticLayer(6, 3, generator=generator)
    layer.theta.add_(0.1)
    x = (torch.rand(2, 20, 6, generator=generator) < 0.5).float()
    other = PlasticLayer(6, 3, generator=generator)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), other(x))
    assert torch.equal(layer(x), copy.deepcopy(layer)(x))
    assert float(layer(x).sum()) > 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"spike trains or frames \[B, T, ...\] of 6 inputs"):
        PlasticLayer(6, 3)(torch.zeros(2, 5, 7))
    with pytest.raises(ShapeError, match="expects 6 inputs"):
        PlasticLayer(6, 3, encoder=Latency())(torch.zeros(2, 7))
    with pytest.raises(ConfigError, match="encoder must be a module"):
        PlasticLayer(6, 3, encoder="poisson")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="norm"):
        PlasticLayer(6, 3, norm=7.0)
    with pytest.raises(ConfigError, match="w_start"):
        PlasticLayer(6, 3, w_start=2.0)
