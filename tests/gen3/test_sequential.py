"""Any module between neurons, and the warning of layers that are silent or saturated while a net learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import LIFParameters, lif_loop
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.sequential import SpikingSequential
from threegen.runs.spike_health import SpikeHealth
from threegen.testing import check_model

IMAGES = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Swap(nn.Module):
    """A module of one's own: swaps the two halves of the channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.roll(x.shape[1] // 2, 1)


def make(drawn: torch.Generator) -> SpikingSequential:
    layers: list[nn.Module] = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), LIF(tau=2.0), Swap(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(16, 3), IF(threshold=0.75)]
    net = SpikingSequential(layers, shape=(2, 6, 6), steps=4)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=drawn) - 0.4)
    return net


def test_any_modules_between_neurons_are_applied_at_every_step() -> None:
    net = make(generator()).eval()
    convolution, norm = net.synapses[0]
    spikes = net.encoder(IMAGES, 4, generator(1))
    fired, _ = lif_loop(
        torch.stack([norm(convolution(one)) for one in spikes]), None, LIFParameters(net.neurons[0].constants.decay)
    )
    pooled = torch.stack([F.max_pool2d(one.roll(2, 1), 2).flatten(1) for one in fired])
    linear = net.synapses[1][-1]
    last, _ = lif_loop(torch.stack([linear(one) for one in pooled]), None, LIFParameters(1.0, 0.75))
    assert 0 < float(last.detach().mean()) < 1
    record = net.run(IMAGES, generator=generator(1))
    assert torch.equal(record.spikes[1], last)
    assert torch.equal(record.scores, net(IMAGES, generator(1)))


def test_it_keeps_the_contract() -> None:
    assert len(check_model(make, IMAGES, classes=3)) == 15


def test_what_is_no_net_is_refused() -> None:
    with pytest.raises(ConfigError, match="must end with neurons"):
        SpikingSequential([nn.Linear(2, 2)], shape=[2])
    with pytest.raises(ConfigError, match="must end with neurons"):
        SpikingSequential([], shape=[2])
    with pytest.raises(ConfigError, match=r"layers\[0\] must be LIF neurons or a module without neurons"):
        SpikingSequential([nn.Sequential(nn.Linear(2, 2), LIF()), LIF()], shape=[2])
    with pytest.raises(ShapeError, match="SpikingSequential expects"):
        make(generator())(torch.rand(2, 2, 5, 6))
    with pytest.raises(ConfigError, match="its modules may be anything"):
        SpikingSequential([nn.Linear(2, 2), LIF()], shape=[2], backend="fused")(torch.rand(1, 2))


def test_training_warns_once_of_a_silent_layer_and_names_it() -> None:
    data = Dataset(torch.rand(40, 1, 2, 3, generator=generator()), torch.arange(40) % 3)
    net = SpikingMLP([6, 8, 3], steps=3, readout="potential", generator=generator())
    with torch.no_grad():
        net.synapses[0].bias.fill_(-99.0)  # type: ignore[union-attr,operator]
        net.synapses[1].bias.fill_(-99.0)  # type: ignore[union-attr,operator]
    state = torch.random.get_rng_state()
    with pytest.warns(UserWarning, match="SpikingMLP: layer 1 of 2 is silent") as caught:
        tg.fit(
            net,
            tg.Backprop(),
            data,
            epochs=3,
            optimizer="sgd",
            lr=1e-3,
            batch_size=20,
            callbacks=[SpikeHealth(data.inputs)],
        )
    assert len(caught) == 1  # once; the spikes of the last layer are not read out
    assert torch.equal(state, torch.random.get_rng_state())


def test_watching_changes_nothing_in_what_is_learnt() -> None:
    data = Dataset(torch.rand(40, 1, 2, 3, generator=generator()), torch.arange(40) % 3)
    found = []
    for callbacks in ([], [SpikeHealth(data.inputs)]):
        net = SpikingMLP([6, 30, 3], steps=3, threshold=0.3, generator=generator())
        tg.fit(net, tg.Backprop(), data, epochs=2, optimizer="sgd", lr=1e-2, batch_size=20, callbacks=callbacks, seed=1)
        found.append([one.detach().clone() for one in net.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
