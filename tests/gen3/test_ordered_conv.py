"""Convolution of single spikes: times and potentials by hand, winners, what goes in."""

from __future__ import annotations

import math

import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.gen3.ordered_conv import DecisionConv, OrderedConv, RankLatency


def two_by_two(threshold: float, winners: int = 2) -> OrderedConv:
    """Two features of 2 x 2 over one map: the first likes the left column, the second all four."""
    layer = OrderedConv(1, 2, 2, steps=4, threshold=threshold, winners=winners)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]], [[[0.5, 0.5], [0.5, 0.5]]]]))
    return layer


TIMES = torch.tensor([[[[0, 1], [2, 4]]]])  # the last input never fires (4 steps)


def test_times_and_potentials() -> None:
    """Potentials step by step: 1, 1, 2, 2 and .5, 1, 1.5, 1.5."""
    times, potentials = two_by_two(1.0).fire(TIMES)
    assert times.flatten().tolist() == [0, 1]
    assert potentials.flatten().tolist() == [1.0, 1.0]
    times, potentials = two_by_two(1.6).fire(TIMES)
    assert times.flatten().tolist() == [2, 4]
    assert potentials.flatten().tolist() == [2.0, 0.0]
    times, potentials = two_by_two(math.inf).fire(TIMES)
    assert times.flatten().tolist() == [3, 3]
    assert potentials.flatten().tolist() == [2.0, 1.5]
    silent, _ = two_by_two(math.inf).fire(torch.full((1, 1, 2, 2), 4))
    assert silent.flatten().tolist() == [4, 4]


def test_winner_carries_its_inputs() -> None:
    winners = two_by_two(1.0).compete(TIMES[0])
    assert [(one.feature, one.time) for one in winners] == [(0, 0)]  # one place: the first map closes it to the other
    assert winners[0].inputs.tolist() == [[[0, 1], [2, 4]]]


def test_padding_counts_as_inputs_that_never_fire() -> None:
    layer = OrderedConv(1, 1, 3, steps=4, padding=1, threshold=0.5, w_mean=1.0, w_deviation=0.0)
    winner = layer.compete(torch.tensor([[[0, 4], [4, 4]]]))[0]
    assert winner.inputs.tolist() == [[[4, 4, 4], [4, 0, 4], [4, 4, 4]]]


def test_a_class_scores_by_its_first_spike_then_by_its_potential() -> None:
    layer = DecisionConv(1, 4, 2, classes=2, steps=4, threshold=1.0, bounds=(0.0, 1.0))
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[1, 0, 0, 1] = 1.0  # class 0 fires at 1
        layer.weight[2, 0, 0, 0] = 1.0  # class 1 fires at 0, with 1 and with .9 + ... = 1
    scores = layer(TIMES.float())
    assert scores.tolist() == [[pytest.approx(3 + 1 / 5), pytest.approx(4 + 1 / 5)]]
    with torch.no_grad():
        layer.weight.zero_()
    assert layer(TIMES.float()).tolist() == [[0.0, 0.0]]


def test_pictures_and_events_go_in() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = OrderedConv(6, 30, 5, encoder=RankLatency(), padding=2, threshold=15.0, generator=generator)
    assert tuple(layer.weight.shape) == (30, 6, 5, 5)
    images = torch.rand(2, 1, 28, 28, generator=generator)
    assert layer(images).shape == (2, 30, 28, 28)
    events = OrderedConv(2, 4, 5, steps=10, threshold=3.0, generator=generator)
    frames = (torch.rand(2, 10, 2, 12, 12, generator=generator) < 0.05).float()
    assert torch.equal(events.spike_times(frames) < 10, frames.amax(1) > 0)
    assert events(frames).shape == (2, 4, 8, 8)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        OrderedConv(1, 2, 3, threshold=0.0)
    with pytest.raises(ConfigError, match="bounds"):
        OrderedConv(1, 2, 3, bounds=(1.0, 0.5))
    with pytest.raises(ConfigError, match="cannot be divided evenly"):
        DecisionConv(1, 5, 3, classes=2)
    layer = OrderedConv(1, 2, 3, steps=4)
    with pytest.raises(ShapeError, match="expects 1 maps"):
        layer(torch.zeros(1, 2, 5, 5))
    with pytest.raises(ShapeError, match=r"spike times 0\.\.4"):
        layer(torch.full((1, 1, 5, 5), 7.0))
    with pytest.raises(ShapeError, match="frames of 4 steps"):
        layer(torch.zeros(1, 6, 1, 5, 5))
