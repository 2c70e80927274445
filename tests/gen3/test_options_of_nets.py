"""What nets are made of: encoders, read-outs, recurrence, initial values, the space-only gradient, kernels or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from threegen.errors import ConfigError, NumericError
from threegen.functional.spiking.neurons import LIFParameters, lif_loop
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.encoders import Bernoulli, Direct, Latency, Poisson
from threegen.gen3.initial_values import response_energy
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.neurons import IF, LIF, LeakyIntegrator
from threegen.gen3.readouts import LeakyReadout, PotentialReadout, RateReadout


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**options: Any) -> SpikingMLP:
    return SpikingMLP([16, 12, 4], steps=5, generator=generator(), **options)


def small_conv(**options: Any) -> SpikingConvNet:
    return SpikingConvNet("3C3-P2-8-4", shape=(1, 8, 8), steps=4, generator=generator(), **options)


def images(count: int = 6, side: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, side, side, generator=generator(9))


def test_encoders_by_name() -> None:
    for name, kind in {"bernoulli": Bernoulli, "poisson": Poisson, "latency": Latency, "direct": Direct}.items():
        assert type(small(encoder=name).encoder) is kind
    with pytest.raises(ConfigError, match=r"did you mean 'direct'\?"):
        small(encoder="dirct")


@pytest.mark.parametrize("make", [small, small_conv])
def test_direct_coding_makes_the_first_layer_the_trainable_encoder(make: Any) -> None:
    """Its neurons get the analog input W x + b at every step; its weights have the gradient of exactly that."""
    net = make(encoder="direct")
    x = images(side=4 if make is small else 8)
    seen: list[int] = []
    handle = net.synapses[0].register_forward_hook(lambda *_: seen.append(1))
    net(x).square().sum().backward()
    handle.remove()
    assert seen == [1]  # once, not once a step
    gradient = net.synapses[0].weight.grad.clone()
    net.zero_grad()
    first, second = net.synapses[:2]
    analog = first(x.flatten(1) if make is small else x)
    spikes, _ = lif_loop(torch.stack([analog] * net.steps), None, LIFParameters())
    assert 0 < float(spikes.detach().mean()) < 1
    signal, _ = net.between(0, spikes, {})
    for layer in net.synapses[1:]:
        signal, _ = lif_loop(signal @ layer.weight.T + layer.bias, None, LIFParameters())
    assert second.weight.shape[1] == net.between(0, spikes, {})[0].shape[-1]
    scores = signal.mean(0)
    torch.testing.assert_close(net(x), scores)
    scores.square().sum().backward()
    torch.testing.assert_close(net.synapses[0].weight.grad, gradient)
    with pytest.raises(NumericError, match="non-finite"):
        net(x * float("nan"))


def test_the_leaky_read_out_is_a_leaky_integrator_in_the_place_of_the_last_neurons() -> None:
    net = small(readout="leaky", decay=0.75).eval()
    x = images()
    record = net.run(x, generator=generator(3))
    last = net.synapses[-1]
    potentials, _ = LeakyIntegrator(0.75)(last(record.spikes[0]))
    torch.testing.assert_close(record.scores, potentials[-1])
    torch.testing.assert_close(net(x, generator(3)), potentials[-1])
    currents = torch.randn(5, 2, 3, generator=generator())
    spikes = torch.zeros_like(currents)
    torch.testing.assert_close(LeakyReadout(decay=1.0)(spikes, currents), PotentialReadout()(spikes, currents))


@pytest.mark.parametrize("readout", ["rate", "potential", "leaky"])
def test_votes_are_the_mean_over_the_neurons_of_a_class(readout: str) -> None:
    net = small(readout=readout, votes=3).train()
    record = net.run(images(), generator=generator(3))
    assert record.spikes[-1].shape == (5, 6, 12)
    single = {"rate": RateReadout, "potential": PotentialReadout, "leaky": LeakyReadout}[readout]().train()
    apart = single(record.spikes[-1], net.synapses[-1](record.spikes[0]))
    torch.testing.assert_close(record.scores, apart.view(6, 4, 3).mean(-1))
    if readout != "leaky":
        net.backend = "fused"
        torch.testing.assert_close(net(images(), generator(3)), record.scores)


def test_ties_of_voters_go_to_the_higher_potential_and_never_outvote_a_spike() -> None:
    spikes = torch.tensor([[[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]]])
    currents = torch.tensor([[[0.6, 0.1, 0.2, 0.9, 80.0, 70.0, 0.5, 0.5]]])
    scores = RateReadout(votes=2).eval()(spikes, currents)
    assert scores.argsort(descending=True).tolist() == [[3, 1, 0, 2]]
    assert float((scores - torch.tensor([[0.5, 0.5, 0.0, 1.0]])).abs().max()) < 0.1 / 2


OPTIONS: dict[str, dict[str, Any]] = {
    "if": {"neuron": "if", "threshold": 0.75},
    "tau": {"tau": 3.0},
    "learnt decay": {"learnable_decay": True},
    "refractory": {"refractory": 1},
    "adaptive": {"adaptation": 0.2, "adaptation_decay": 0.8},
    "window": {"kernel": [1.0, 0.5]},
    "rest and reset": {"rest": 0.05, "reset_to": -0.1},
    "recurrent": {"recurrent": True},
    "leaky": {"readout": "leaky"},
    "direct": {"encoder": "direct"},
    "space": {"gradient": "space"},
}
WITH_KERNEL = {"if", "tau"}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("make", [small, small_conv])
def test_every_option_runs_trains_and_falls_back_where_it_has_no_kernel(name: str, make: Any) -> None:
    net: SpikingNet = make(**OPTIONS[name])
    x = images(side=4 if make is small else 8)
    net(x, generator(1)).square().sum().backward()
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in net.parameters())
    record = net.run(x, generator=generator(1))
    torch.testing.assert_close(record.scores, net(x, generator(1)))
    again = net.run(x, record.state, generator(2))  # the state can be handed on, whatever the options
    assert again.scores.shape == (6, 4)
    net.backend = "fused"
    if name in WITH_KERNEL:
        fused = net(x, generator(1))
        net.backend = "plain"
        torch.testing.assert_close(net(x, generator(1)), fused)
    else:
        with pytest.raises(ConfigError, match=r'backend="fused" cannot run here: .*; use backend="auto"'):
            net(x)


def test_a_learnt_decay_has_a_kernel_once_nothing_is_learnt() -> None:
    net = small(learnable_decay=True, backend="fused").eval()
    with torch.no_grad():
        net.neurons[0].leak.fill_(1.5)  # type: ignore[union-attr,operator]
        fused = net(images(), generator(1))
        net.backend = "plain"
        torch.testing.assert_close(net(images(), generator(1)), fused)


def test_options_reach_the_neurons_of_every_layer() -> None:
    net = small(neuron="if", refractory=2, recurrent=True)
    assert [type(one) for one in net.neurons] == [IF, IF]
    assert [one.options.refractory for one in net.neurons] == [2, 2]
    hidden, last = net.neurons
    assert isinstance(hidden, LIF)
    assert hidden.recurrent_weight is not None
    assert last.recurrent_weight is None
    conv = small_conv(recurrent=True)
    assert [one.recurrent_weight is None for one in conv.neurons] == [True, False, True]
    # where no spike of the last layer is read, its decay could not learn
    net = small(learnable_decay=True, readout="potential")
    assert [one.leak is None for one in net.neurons] == [False, True]


@pytest.mark.parametrize("decay", [0.3, 0.5, 0.9, 1.0])
def test_fluctuation_driven_weights_move_the_potential_by_one_threshold(decay: float) -> None:
    """Rossbroich et al. 2022 with xi = 1: the free potential's deviation is the threshold, here after all 12 steps."""
    net = SpikingMLP([400, 600, 4], steps=12, decay=decay, init="fluctuation", generator=generator())
    spikes = (torch.rand(12, 60, 400, generator=generator(1)) < 0.15).float()
    potentials, _ = LeakyIntegrator(decay)(net.synapses[0](spikes).detach())
    # each neuron has a mean of its own as well: the second moment holds both, as E[x^2] does
    centred = net.synapses[0](spikes - 0.15).detach()
    free, _ = LeakyIntegrator(decay)(centred)
    expected = 0.5 * (1 - 0.15) ** 0.5  # variance p (1 - p) of an input instead of its square p
    assert float(free[-1].std()) == pytest.approx(expected, rel=0.05)
    assert potentials.shape == free.shape
    default = SpikingMLP([400, 600, 4], steps=12, decay=decay, generator=generator())
    assert torch.equal(net.synapses[1].weight, default.synapses[1].weight)  # what is read out starts as ever
    assert response_energy(0.5, (1.0,), 50) == pytest.approx(1 / (1 - 0.25))
    assert response_energy(0.0, (1.0, 2.0), 5) == 5.0
    with pytest.raises(ConfigError, match=r"did you mean 'fluctuation'\?"):
        small(init="fluctuations")


# -- the space-only gradient -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", ["rate", "potential"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_the_space_only_gradient_is_that_of_aggregated_spikes(readout: str, reset: str) -> None:
    """The oracle: autograd of a plain net on mean spikes, a_l + h_l (I_l - stop(I_l)), I_l = W_l a_{l-1} + b_l."""
    net = small(gradient="space", readout=readout, reset=reset, surrogate="triangular").train()
    x, labels = images(), torch.arange(6) % 4
    record = net.run(x, generator=generator(3))
    F.cross_entropy(net(x, generator(3)), labels).backward()
    found = [one.grad.clone() for one in net.parameters() if one.grad is not None]
    net.zero_grad()
    rate = record.inputs.mean(0)
    inside = torch.zeros(())
    for layer, neuron, spikes, potentials in zip(
        net.synapses, net.neurons, record.spikes, record.potentials, strict=True
    ):
        inside = F.linear(rate, layer.weight, layer.bias)
        slope = neuron.constants.derivative(potentials).mean(0).detach()
        rate = spikes.mean(0).detach() + slope * (inside - inside.detach())
    F.cross_entropy(rate if readout == "rate" else inside * 5, labels).backward()
    assert len(found) == 4
    for ours, parameter in zip(found, net.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-5, atol=1e-6)


def test_the_space_only_gradient_goes_through_pooling_and_residual_blocks() -> None:
    net = SpikingConvNet("3C3-P2-R5C3-8-4", shape=(1, 8, 8), steps=4, gradient="space", generator=generator())
    net(images(side=8), generator(3)).square().sum().backward()
    assert all(one.grad is not None and float(one.grad.abs().sum()) > 0 for one in net.parameters())


@pytest.mark.parametrize("gradient", ["space", "space-time"])
def test_both_ways_learn_which_quarter_is_bright(gradient: str) -> None:
    torch.manual_seed(0)
    net = SpikingMLP([16, 32, 4], steps=6, gradient=gradient, generator=generator(2))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    labels = torch.arange(64) % 4
    x = 0.1 + 0.8 * torch.eye(4)[labels].repeat_interleave(4, 1)
    for _ in range(60):
        error = F.mse_loss(net(x, generator()), torch.eye(4)[labels])
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert float((net.eval()(x, generator(77)).argmax(1) == labels).float().mean()) > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"readout": "leaky"}, "cannot use readout"),
        ({"learnable_decay": True}, "cannot train decays, recurrent weights"),
        ({"recurrent": True}, "cannot train decays, recurrent weights"),
        ({"adaptation": 0.1}, "neither adaptive thresholds nor refractory steps"),
    ],
)
def test_the_space_only_gradient_refuses_what_happens_over_time(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        small(gradient="space", **options)


def test_the_space_only_gradient_refuses_normalisation_by_name() -> None:
    with pytest.raises(ConfigError, match="ThresholdBatchNorm would normalise those"):
        SpikingConvNet("3C3-BN-8-4", shape=(1, 8, 8), gradient="space")
    with pytest.raises(ConfigError, match=r"gradient is 'spatial'; choose space-time, space"):
        small(gradient="spatial")


def test_any_module_may_stand_between() -> None:
    net = small()
    net.synapses[0] = nn.Sequential(net.synapses[0], nn.LayerNorm(12), nn.Dropout(0.2))
    net(images(), generator(1)).sum().backward()
    assert net.synapses[0][1].weight.grad is not None  # type: ignore[index]
