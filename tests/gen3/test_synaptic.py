"""The neuron with two states, against its two equations written out here, by hand and by autograd."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import threegen as tg
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import LIFParameters, spike
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.gen3.sequential import SpikingSequential
from threegen.gen3.synaptic import SynapticLIF


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(c: Tensor, alpha: Any, beta: Any, one: LIFParameters) -> tuple[Tensor, Tensor, Tensor]:
    """i[t] = alpha i[t-1] + c[t], u[t] = beta u[t-1] (1 - o[t-1]) + i[t], from rest; spikes, potentials, last i."""
    i, left, spikes, potentials = torch.zeros_like(c[0]), torch.zeros_like(c[0]), [], []
    for current in c:
        i = alpha * i + current
        u = beta * left + i
        o = spike(u, one)
        left = u * (1 - o) if one.reset == "hard" else u - one.threshold * o
        spikes.append(o)
        potentials.append(u)
    return torch.stack(spikes), torch.stack(potentials), i


def test_numbers_by_hand() -> None:
    """alpha .5, beta .5, threshold 1: i = .8 .4 .2 .1, u = .8, .4 + .4, .4 + .2, .3 + .1; then 1 more fires at 1.25."""
    trace: list[Tensor] = []
    c = torch.tensor([0.8, 0.0, 0.0, 0.0, 1.0]).double().view(5, 1, 1)
    spikes, state = SynapticLIF(0.5, 0.5, 1.0)(c, None, trace)
    assert trace[0].flatten().tolist() == pytest.approx([0.8, 0.8, 0.6, 0.4, 0.2 + 1.05])
    assert spikes.flatten().tolist() == [0, 0, 0, 0, 1]
    assert float(state.current) == pytest.approx(1.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("surrogate", ["rectangular", "sigmoid"])
def test_spikes_and_gradients_are_those_of_the_equations(reset: str, surrogate: str) -> None:
    c = torch.randn(12, 3, 5, generator=g(), dtype=torch.float64)
    neuron = SynapticLIF(0.8, 0.6, 0.7, reset, surrogate, learnable_synaptic_decay=True, learnable_decay=True).double()
    alpha, beta = neuron.alpha.detach().requires_grad_(), neuron.beta.detach().requires_grad_()
    ours, theirs = c.clone().requires_grad_(), c.clone().requires_grad_()
    trace: list[Tensor] = []
    spikes, state = neuron(ours, None, trace)
    expected, potentials, last = by_hand(theirs, alpha, beta, LIFParameters(0.8, 0.7, reset, surrogate))
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(trace[0], potentials)
    torch.testing.assert_close(state.current, last)
    weights = torch.randn(spikes.shape, generator=g(1), dtype=torch.float64)
    (spikes * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for leak, decay in ((neuron.synaptic_leak, alpha), (neuron.leak, beta)):
        assert leak is not None
        assert decay.grad is not None
        torch.testing.assert_close(leak.grad, decay.grad * decay.detach() * (1 - decay.detach()), rtol=1e-5, atol=1e-6)


def test_without_a_current_it_is_the_plain_neuron() -> None:
    x = torch.randn(10, 4, 6, generator=g())
    assert torch.equal(SynapticLIF(0.7, 0.0, 0.4)(x)[0], LIF(0.7, 0.4)(x)[0])
    assert float(SynapticLIF(tau=3.0, synaptic_tau=5.0).alpha) == pytest.approx(math.exp(-1 / 5))
    assert float(SynapticLIF(tau=3.0, synaptic_tau=5.0).beta) == pytest.approx(math.exp(-1 / 3))


OPTIONS: list[dict[str, Any]] = [{}, {"refractory": 1}, {"synaptic_decay": [0.1, 0.5, 0.9]}, {"kernel": [0.5, 0.5]}]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_state_handed_on_makes_two_halves_the_whole(options: dict[str, Any]) -> None:
    neuron, x = SynapticLIF(**options), torch.randn(9, 2, 3, generator=g())
    whole, last = neuron(x)
    first, state = neuron(x[:4])
    file = io.BytesIO()
    torch.save(state.detach(), file)
    file.seek(0)
    second, after = neuron(x[4:], torch.load(file, weights_only=True))
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(after.current, last.current)
    with pytest.raises(ShapeError, match=r"\(current\)"):
        neuron(x[:, :1], state)


def nets(**own: Any) -> list[Any]:
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 5), SynapticLIF(0.8, 0.5)]
    return [
        SpikingMLP([64, 12, 5], steps=6, neuron="synaptic", generator=g(), **own),
        SpikingConvNet("3C3-P2-12-5", shape=(1, 8, 8), steps=6, neuron="synaptic", generator=g(), **own),
        SpikingSequential(layers, shape=(1, 8, 8), steps=6),
    ]


@pytest.mark.parametrize("number", range(3))
def test_nets_of_them_run_learn_and_record(number: int) -> None:
    net = nets(synaptic_tau=2.0, learnable_synaptic_decay=True, per="neuron")[number]
    x = torch.rand(4, 1, 8, 8, generator=g())
    net(x, g(1)).square().sum().backward()
    assert all(float(one.grad.abs().max()) > 0 for one in list(net.parameters())[:1])
    net.eval()
    record = net.run(x, generator=g(1))
    assert torch.equal(record.scores, net(x, g(1)))
    assert all(state.current is not None for state in record.state)
    net.backend = "fused"
    if number < 2:
        with pytest.raises(ConfigError, match="SynapticLIF"):
            net(x, g(1))


@pytest.mark.parametrize("init", ["input", "fluctuation"])
def test_the_initial_values_reckon_with_the_current(init: str) -> None:
    """The fluctuation that is promised, over 200 draws of spikes at 15 %, without leak into the reset."""
    net = SpikingMLP([400, 300, 5], steps=30, neuron="synaptic", synaptic_decay=0.8, init=init, generator=g())
    trains = (torch.rand(30, 200, 400, generator=g(1)) < 0.15).float()
    neuron = SynapticLIF(0.5, 0.8, threshold=1e9)
    trace: list[Tensor] = []
    with torch.no_grad():
        _, state = neuron(net.synapses[0](trains), None, trace)
    # the summed input has a mean too, since spikes are not centred: only its spread over the draws is promised
    spread = (state.current if init == "input" else trace[0][-1]).std(0).mean()  # type: ignore[union-attr]
    promised = {"input": 0.4 * 0.5, "fluctuation": 0.5}[init] * math.sqrt(1 - 0.15)
    assert float(spread) == pytest.approx(promised, rel=0.05)


def test_the_bill_has_two_states() -> None:
    """Memory: two values a neuron; updates: two leaks and two integrations a neuron and step."""
    x = torch.rand(2, 1, 28, 28, generator=g())
    plain = tg.count(SpikingMLP([784, 100, 10], steps=4, generator=g()), x)
    two = tg.count(SpikingMLP([784, 100, 10], steps=4, neuron="synaptic", generator=g()), x)
    assert two.memory["potentials"] == 2 * plain.memory["potentials"]
    assert two.memory["potentials"] == 2 * 4 * 110
    assert two.operations["leak"] == 2 * 110 * 4
    assert two.operations["integrate"] == 2 * 110 * 4
    assert two.operations["threshold"] == 110 * 4


BAD: list[tuple[Any, str]] = [
    (lambda: SynapticLIF(synaptic_decay=1.5), "synaptic_decay must be .* at most 1"),
    (lambda: SynapticLIF(synaptic_decay=0.5, synaptic_tau=2.0), "give synaptic_decay or synaptic_tau, not both"),
    (lambda: SpikingMLP([20, 8, 4], synaptic_decay=0.5), "has no synaptic current, so no synaptic_decay"),
    (lambda: SpikingMLP([20, 8, 4], neuron="synaptic", recurrent=True), "no recurrent weights"),
    (lambda: SpikingMLP([20, 8, 4], neuron="synaptic", gradient="space"), "SynapticLIF"),
    (lambda: SpikingMLP([20, 8, 4], neuron="synaptic").stack(2), "can be stacked"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_what_cannot_be_is_one_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()
