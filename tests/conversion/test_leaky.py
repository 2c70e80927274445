"""Nets trained with the smooth rate of leaky neurons become those neurons; expected rates are those of the equation."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.conversion.convert import ConvertedNet, convert
from threegen.conversion.nir_write import export_nir
from threegen.cost.count import count
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.exact_refractory import exact_rate
from threegen.gen2.spike_activations import SoftLIF
from threegen.gen3.graph_neurons import StartedLIF
from threegen.gen3.spiking_graph import SpikingGraph


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGES = torch.rand(260, 1, 8, 8, generator=generator(1))


def network(**options: float) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), SoftLIF(**options), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 12), SoftLIF(**options)),
        nn.Linear(12, 3),
    )
    with torch.no_grad():
        net[0].weight.mul_(3)
        net[4].weight.mul_(4)
        for one in (net[0], net[4]):
            one.bias.add_(2.0)  # above the threshold, where rates are
    return net.eval()


def quietly(model: nn.Module, data: Tensor = IMAGES, **options: object) -> ConvertedNet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(model, data, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("tau", "refractory"), [(20.0, 2.0), (5.0, 1.0), (50.0, 2.5)])
def test_rates_are_those_of_continuous_time(tau: float, refractory: float) -> None:
    """The interval between two spikes is refractory + tau log(I / (I - 1)) steps, not rounded up to whole ones."""
    currents = torch.linspace(0.2, 12.0, 60)
    spikes, _ = StartedLIF(60, tau=tau, refractory=refractory, initial=0.0)(currents.expand(3000, 1, 60))
    wanted = [1 / (refractory + tau * math.log(i / (i - 1))) if i > 1 else 0.0 for i in currents.tolist()]
    np.testing.assert_allclose(spikes.mean((0, 1)).numpy(), wanted, atol=1.5 / 3000)
    np.testing.assert_allclose(exact_rate(currents, tau, refractory).numpy(), wanted, atol=1e-6)
    soft = SoftLIF(tau, refractory, smoothness=1e-3, scale=1.0).eval()(currents)
    far = (soft - torch.tensor(wanted)).abs()
    assert float(far[currents > 1.1].max()) < 1e-4  # the same above the threshold, smooth at it
    assert float(far.max()) < 0.1 / tau + 0.03


@pytest.mark.parametrize("synapse", [0.0, 4.0])
def test_no_neuron_fires_while_it_rests_and_steps_go_on_from_the_state(synapse: float) -> None:
    neurons = StartedLIF(5, tau=8.0, refractory=3.0, synapse=synapse)
    currents = 4 * torch.rand(60, 2, 5, generator=generator())
    whole, _ = neurons(currents)
    gaps = [np.diff(np.flatnonzero(train)) for train in whole.flatten(1).T.numpy()]
    assert min(int(one.min()) for one in gaps) >= 3
    first, state = neurons(currents[:23])
    second, _ = neurons(currents[23:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    with pytest.raises(ShapeError, match="no countdown of this layer"):
        neurons(currents, state._replace(countdown=None))
    for bad in ({"tau": 0.0}, {"refractory": -1.0}, {"synapse": -1.0}, {"initial": 1.0}):
        with pytest.raises(ConfigError):
            StartedLIF(5, **bad)


@torch.no_grad()
def test_a_converted_layer_has_the_rates_of_the_trained_curve() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 40), SoftLIF(scale=10.0), nn.Linear(40, 3)).eval()
    with torch.no_grad():
        net[0].bias.add_(1.5)
    x = torch.rand(240, 6, generator=generator(3))
    spiking = quietly(net, x, steps=600)
    rates = spiking.run(x[:20]).spikes[0].mean(0)
    z = net[0](x[:20])
    assert float((rates - exact_rate(z, 20.0, 2.0)).abs().max()) < 1.5 / 600
    at_threshold = 1 / (2 + 20 * math.log1p(1 / (0.02 * math.log(2))))  # of the smooth curve; zero of the neurons
    assert float((rates - net[1](z) / 10).abs().max()) < at_threshold + 1.5 / 600
    assert [one.kind for one in spiking.report.layers] == ["leaky neurons"]  # type: ignore[union-attr]
    wanted = net[2](10 * exact_rate(z, 20.0, 2.0))
    assert float((spiking(x[:20]) - wanted).abs().max()) < 0.02


@pytest.mark.parametrize(
    "options", [{}, {"method": "model"}, {"readout": "rate"}, {"compensate": "bias", "method": "max"}]
)
@torch.no_grad()
def test_both_layers_speak_as_they_were_trained(options: dict[str, object]) -> None:
    net = network()
    spiking = quietly(net, steps=200, **options)
    record = spiking.run(IMAGES)
    first, second = net[:2](IMAGES), net[:6](IMAGES)
    for spikes, activations in zip(record.spikes, (first, second), strict=False):
        assert float((10 * spikes.mean(0) - activations).norm() / activations.norm()) < 0.06
    if options.get("readout") != "rate":
        scores = net(IMAGES)
        assert float((record.scores - scores).norm() / scores.norm()) < 0.1


def test_it_runs_counts_explains_trains_and_is_built_again(tmp_path: Path) -> None:
    net = quietly(network(), steps=30)
    with torch.no_grad():
        record = net.run(IMAGES[:4])
    assert all(bool(((one == 0) | (one == 1)).all()) for one in record.spikes)
    other = SpikingGraph(**net.plan)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(IMAGES[:9]), net(IMAGES[:9]))
    rows = [row for row in count(net, IMAGES[:4]).rows if row.kind == "neurons"]
    sent = [float(one.sum()) / 4 for one in record.spikes[:-1]]
    assert [row.operations["reset"] for row in rows] == pytest.approx(sent)
    assert [row.operations["leak"] for row in rows] == [2 * 30 * 144, 2 * 30 * 12]
    assert bool(tg.explain(net).saliency(IMAGES[:2]).isfinite().all())
    before = [one.detach().clone() for one in net.parameters()]
    labels = network()(IMAGES).argmax(1)
    tg.fit(net, tg.Backprop(), (IMAGES, labels), optimizer="sgd", lr=0.01, epochs=1, batch_size=64, seed=0)
    assert all(bool(one.isfinite().all()) for one in net.parameters())
    assert any(not torch.equal(one, two) for one, two in zip(before, net.parameters(), strict=True))


def test_a_file_of_nir_cannot_say_it(tmp_path: Path) -> None:
    pytest.importorskip("nir", reason="needs the extra nir")
    with pytest.raises(ConfigError, match="NIR's neurons have no refractory time"):
        export_nir(quietly(network(), steps=5), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_digits_are_recognised_before_and_after() -> None:
    data = load_data("mnist")
    train, held = data.train.take(3_000), data.train.subset(range(59_700, 60_000))
    net = tg.MLP([784, 64, 10], activation="soft-lif", generator=generator(4))
    tg.fit(net, tg.Backprop(), train, optimizer="adam", lr=3e-3, epochs=4, batch_size=50, seed=0)
    spiking = quietly(net.eval(), train.inputs[:400], steps=60)
    before, after = (tg.evaluate(one, held).accuracy for one in (net, spiking))
    assert before > 0.85
    assert after > before - 0.03
