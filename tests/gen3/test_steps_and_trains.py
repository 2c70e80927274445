"""Another number of time steps after training, and ready spike trains in layers that have an encoder of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import threegen as tg
from threegen.errors import ConfigError, ShapeError
from threegen.functional.encoding import bernoulli_spikes
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.gen3.ordered_conv import OrderedConv, RankLatency
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.gen3.sequential import SpikingSequential


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.rand(3, 1, 8, 8, generator=g())


def nets(steps: int) -> list[Any]:
    layers = [nn.Flatten(), nn.Linear(64, 5), LIF()]
    torch.manual_seed(0)
    return [
        SpikingMLP([64, 12, 5], steps=steps, generator=g()),
        SpikingConvNet("3C3-P2-12-5", shape=(1, 8, 8), steps=steps, generator=g()),
        SpikingSequential(layers, shape=(1, 8, 8), steps=steps),
    ]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("steps", [1, 9])
def test_a_net_answers_with_another_number_of_steps(number: int, steps: int) -> None:
    """As the net that was made with it, weight for weight; the record has as many steps."""
    net, made = nets(4)[number].eval(), nets(steps)[number].eval()
    before = net(X, g(1))
    net.steps = steps
    assert torch.equal(net(X, g(1)), made(X, g(1)))
    assert len(net.run(X, generator=g(1)).inputs) == steps
    train = bernoulli_spikes(X, steps, g(1))
    torch.testing.assert_close(net(train.transpose(0, 1)), net(X, g(1)))
    net.steps = 4
    assert torch.equal(net(X, g(1)), before)
    assert tg.count(net, X).steps == 4


@pytest.mark.parametrize("steps", [0, -1, 2.5, "4"])
def test_a_number_that_cannot_be_is_refused_where_it_is_set(steps: Any) -> None:
    net = nets(4)[0]
    with pytest.raises(ConfigError, match="steps must be a whole number of at least 1"):
        net.steps = steps
    assert net.steps == 4


def test_a_plastic_layer_with_an_encoder_takes_trains() -> None:
    layer = PlasticLayer(64, 6, encoder=tg.Bernoulli(), steps=7, generator=g())
    train = layer.input_spikes(X, g(1)).transpose(0, 1)
    assert train.shape == (3, 7, 64)
    assert torch.equal(layer.run(train), layer.run(X, g(1)))
    assert torch.equal(layer.run(train.reshape(3, 7, 1, 8, 8)), layer.run(X, g(1)))
    with pytest.raises(ShapeError):
        layer.run(train[..., :63])


def test_an_ordered_layer_with_an_encoder_takes_frames() -> None:
    encoder = RankLatency(steps=5, sizes=(3,))
    layer = OrderedConv(2, 3, 3, encoder=encoder, steps=5, threshold=1.0, generator=g())
    times = encoder(X)
    frames = (times.unsqueeze(1) == torch.arange(5).view(1, 5, 1, 1, 1)).float()
    assert int((times < 5).sum()) > 0
    assert torch.equal(layer(frames), layer(X))
