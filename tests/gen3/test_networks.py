"""The spiking net against its equations, its read-outs, its record, and a small problem that it must learn."""

import pytest
import torch
from torch.nn import functional as F

from threegen.errors import ConfigError, NumericError, ShapeError
from threegen.functional.spiking.neurons import LIFParameters, lif_loop
from threegen.gen3.encoders import Bernoulli, Encoder, Latency, Poisson
from threegen.gen3.initial_values import spiking_linear
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.gen3.readouts import PotentialReadout, RateReadout


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**options: object) -> SpikingMLP:
    return SpikingMLP([16, 12, 4], steps=5, generator=generator(), **options)  # type: ignore[arg-type]


def images(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=generator(9))


def test_forward_is_the_equation_written_out() -> None:
    net = small(decay=0.7, threshold=0.3)
    net.train()
    x = images()
    spikes = net.encoder(x.flatten(1), 5, generator(3))
    for layer in net.synapses:
        spikes, _ = lif_loop(spikes @ layer.weight.T + layer.bias, None, LIFParameters(0.7, 0.3))
    assert torch.equal(net(x, generator(3)), spikes.sum(0) / 5)


def test_run_records_what_forward_does() -> None:
    net = small().eval()
    x = images()
    record = net.run(x, generator=generator(3))
    assert torch.equal(record.scores, net(x, generator(3)))
    assert record.inputs.shape == (5, 6, 16)
    assert [list(one.shape) for one in record.spikes] == [[5, 6, 12], [5, 6, 4]]
    assert [list(one.shape) for one in record.potentials] == [[5, 6, 12], [5, 6, 4]]
    for spikes, potentials, state in zip(record.spikes, record.potentials, record.state, strict=True):
        assert torch.equal(spikes, (potentials >= 0.5).float())
        assert torch.equal(state.potential, potentials[-1])
        assert torch.equal(state.spikes, spikes[-1])


def test_run_goes_on_from_a_state() -> None:
    net = small(decay=0.9).eval()
    x = images()
    first = net.run(x, generator=generator(1))
    again = net.run(x, first.state, generator(2))
    rested = net.run(x, generator=generator(2))
    assert not torch.equal(again.potentials[0][0], rested.potentials[0][0])
    carried = 0.9 * first.potentials[0][-1] * (1 - first.spikes[0][-1])
    torch.testing.assert_close(again.potentials[0][0] - carried, rested.potentials[0][0])
    with pytest.raises(ShapeError, match="state=None"):
        net.run(x[:2], first.state)
    with pytest.raises(ShapeError, match="1 spiking layers, the net has 2"):
        net.run(x, first.state[:1])


def test_ties_of_the_rate_go_to_the_higher_potential_in_eval_mode_only() -> None:
    spikes = torch.tensor([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]])
    currents = torch.tensor([[[0.6, 0.7, 0.1]], [[-0.5, 0.4, 80.0]]])
    readout = RateReadout()
    assert readout(spikes, currents).tolist() == [[0.5, 0.5, 0.0]]
    scores = readout.eval()(spikes, currents)
    assert scores.argsort(descending=True).tolist() == [[1, 0, 2]]  # the input of 80 does not outvote a spike
    assert float((scores - spikes.mean(0)).abs().max()) < 0.1 / 2  # a tenth of 1/T


def test_score_gradient_is_that_of_the_rate_in_both_modes() -> None:
    net = small()
    gradients = []
    for mode in (True, False):
        net.train(mode)
        net.zero_grad()
        net(images(), generator(4))[:, 1].sum().backward()
        gradients.append([parameter.grad.clone() for parameter in net.parameters()])  # type: ignore[union-attr]
    assert float(gradients[0][0].abs().sum()) > 0  # the surrogate works in eval mode too
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_potential_readout_sums_the_input_of_the_last_layer() -> None:
    net = small(readout="potential")
    assert isinstance(net.readout, PotentialReadout)
    record = net.run(images(), generator=generator(3))
    last = net.synapses[-1]
    torch.testing.assert_close(record.scores, last(record.spikes[0]).sum(0))


@pytest.mark.parametrize("readout", ["rate", "potential"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_learns_which_quarter_is_bright(readout: str, loss: str) -> None:
    torch.manual_seed(0)
    net = SpikingMLP([16, 32, 4], steps=6, readout=readout, generator=generator(2))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    labels = torch.arange(64) % 4
    x = 0.1 + 0.8 * torch.eye(4)[labels].repeat_interleave(4, 1)
    for _ in range(60):
        scores = net(x, generator())
        error = F.mse_loss(scores, torch.eye(4)[labels]) if loss == "mse" else F.cross_entropy(scores, labels)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    correct = (net.eval()(x, generator(77)).argmax(1) == labels).float().mean()
    assert float(correct) > 0.9


def test_same_generator_same_net_and_same_scores() -> None:
    one, two = small(), small()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert torch.equal(one(images(), generator(1)), two(images(), generator(1)))
    before = torch.random.get_rng_state()
    small()(images(), generator(1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_initial_input_fluctuates_by_the_promised_share_of_the_threshold() -> None:
    layer = spiking_linear(1000, 2000, 0.5, generator(), gain=0.4)
    spikes = (torch.rand(200, 1000, generator=generator(1)) < 0.15).float()
    # variance of the sum = inputs * E[x^2] * var(w) = (gain * threshold)^2; the mean over 4e5 sums is good to 2 %
    assert float(layer(spikes).detach().std()) == pytest.approx(0.4 * 0.5, rel=0.02)


@pytest.mark.parametrize("encoder", [Bernoulli(), Poisson(2.0), Latency()])
def test_every_encoder_drives_the_net(encoder: Encoder) -> None:
    assert small(encoder=encoder)(images(), generator(1)).shape == (6, 4)
    assert list(encoder.parameters()) == []


def test_surrogate_options_reach_the_neurons() -> None:
    net = small(surrogate="arctan", surrogate_width=2.0, detach_reset=True, reset="soft")
    assert [neuron.constants for neuron in net.neurons] == [LIFParameters(0.5, 0.5, "soft", "arctan", 2.0, True)] * 2


def test_lif_module_returns_spikes_and_state_and_fills_a_trace() -> None:
    neuron = LIF(decay=0.5, threshold=1.0)
    trace: list[torch.Tensor] = []
    spikes, state = neuron(torch.full((3, 2, 4), 0.8), None, trace)
    # u = .8, .4+.8 = 1.2 fires, .8
    assert trace[0][:, 0, 0].tolist() == pytest.approx([0.8, 1.2, 0.8])
    assert spikes[:, 0, 0].tolist() == [0, 1, 0]
    assert state.potential.shape == state.spikes.shape == (2, 4)
    assert list(neuron.state_dict()) == []


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'rate'\?"):
        small(readout="rates")
    with pytest.raises(ConfigError, match="steps"):
        SpikingMLP([4, 2], steps=0)
    with pytest.raises(ConfigError, match="sizes"):
        SpikingMLP([4])
    with pytest.raises(ConfigError, match="encoder must be a module"):
        small(encoder=7)
    net = small()
    with pytest.raises(ShapeError, match="16"):
        net(torch.rand(2, 15))
    with pytest.raises(ConfigError, match="divide by 255"):
        net(torch.full((2, 16), 255.0))
    with pytest.raises(NumericError, match="non-finite"):
        net(torch.full((2, 16), float("nan")))
