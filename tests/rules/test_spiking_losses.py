"""Losses of spike counts, potentials and first spikes: numbers by hand, and gradients by autograd of loops written out.

The loops below know nothing of the library but the spike with its surrogate; the derivative of a first-spike time is
found by putting in and taking out every single spike.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError
from threegen.functional.spiking.first_spikes import first_spike_times
from threegen.functional.spiking.neurons import LIFParameters, spike
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.synaptic import SynapticLIF
from threegen.rules.backprop import Backprop
from threegen.rules.spiking_losses import (
    RECORD_LOSSES,
    FirstSpikeCrossEntropy,
    FirstSpikeMSE,
    MembraneCrossEntropy,
    MembraneMSE,
    SpikeCountMSE,
)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Kept:
    """A record written by hand."""

    spikes: list[Tensor]
    potentials: list[Tensor]
    scores: Tensor


# Two classes, four steps, one example: class 0 fires at steps 1 and 3, class 1 at step 2.
SPIKES = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 0]]).double().unsqueeze(1)
POTENTIALS = torch.tensor([[0.1, 0.3], [0.6, 0.2], [0.2, 0.9], [0.5, 0.4]]).double().unsqueeze(1)
RECORD = Kept([SPIKES], [POTENTIALS], torch.zeros(1, 2))


def log_softmax(own: float, other: float) -> float:
    return own - math.log(math.exp(own) + math.exp(other))


STEPS_MEAN = sum(log_softmax(a, b) for a, b in ((0.1, 0.3), (0.6, 0.2), (0.2, 0.9), (0.5, 0.4))) / 4
BY_HAND = {
    "spike_count_mse": ((2 - 4) ** 2 + (1 - 0) ** 2) / 16 / 2,
    "spike_count_cross_entropy": -log_softmax(2, 1),
    "membrane_cross_entropy": -STEPS_MEAN,
    "max_membrane_cross_entropy": -log_softmax(0.6, 0.9),
    "membrane_mse": (0.81 + 0.16 + 0.64 + 0.25 + 0.09 + 0.04 + 0.81 + 0.16) / 8,
    "first_spike_cross_entropy": -log_softmax(-1, -2),
    "first_spike_mse": ((1 - 0) ** 2 + (2 - 4) ** 2) / 16 / 2,
}


@pytest.mark.parametrize("name", RECORD_LOSSES)
def test_numbers_by_hand(name: str) -> None:
    assert float(RECORD_LOSSES[name](RECORD, torch.tensor([0]))) == pytest.approx(BY_HAND[name])


def test_settings_by_hand() -> None:
    right = torch.tensor([0])
    assert float(SpikeCountMSE(0.75, 0.25)(RECORD, right)) == pytest.approx(((2 - 3) ** 2 + 0) / 16 / 2)
    assert float(SpikeCountMSE()(RECORD, torch.tensor([[2.0, 3.0]]))) == pytest.approx((0 + 4) / 16 / 2)
    assert float(MembraneCrossEntropy("last")(RECORD, right)) == pytest.approx(-log_softmax(0.5, 0.4))
    assert float(MembraneMSE(0.6, 0.9)(RECORD, right)) == pytest.approx((0.25 + 0.16 + 0.01 + 0.36 + 0.49 + 0.25) / 8)
    assert float(FirstSpikeCrossEntropy(2.0)(RECORD, right)) == pytest.approx(-log_softmax(-0.5, -1))
    assert float(FirstSpikeMSE(0.25, 0.5)(RECORD, right)) == 0.0
    assert float(FirstSpikeMSE()(RECORD, torch.tensor([[1.0, 0.0]]))) == pytest.approx(4 / 16 / 2)


def test_the_derivative_of_a_first_spike_is_what_a_spike_changes() -> None:
    """Every train of 5 steps; at each step the train with a spike there against the one without."""
    for bits in itertools.product([0.0, 1.0], repeat=5):
        train = torch.tensor(bits, dtype=torch.float64, requires_grad=True)
        time = first_spike_times(train)
        assert float(time.detach()) == (bits.index(1.0) if 1.0 in bits else 5)
        (found,) = torch.autograd.grad(time, train)
        for step in range(5):
            both = []
            for value in (1.0, 0.0):
                changed = [value if place == step else bit for place, bit in enumerate(bits)]
                both.append(changed.index(1.0) if 1.0 in changed else 5)
            assert float(found[step]) == both[0] - both[1], (bits, step)


def written_out(net: SpikingMLP, inputs: Tensor, one: LIFParameters) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the weights, and spikes and potentials of the last layer, from loops over steps and layers."""
    weights = [part.detach().clone().requires_grad_() for layer in net.synapses for part in (layer.weight, layer.bias)]
    state = [(torch.zeros(()), torch.zeros(()))] * 2
    spikes, potentials = [], []
    for signal in inputs:
        for layer in (0, 1):
            u = one.decay * state[layer][0] * (1 - state[layer][1])
            u = u + signal @ weights[2 * layer].T + weights[2 * layer + 1]
            state[layer] = (u, spike(u, one))
            signal = state[layer][1]
        spikes.append(state[1][1])
        potentials.append(state[1][0])
    return weights, torch.stack(spikes), torch.stack(potentials)


def first_times(spikes: Tensor) -> Tensor:
    """The number of steps before the first spike, one step after the other."""
    waiting, time = torch.ones_like(spikes[0]), torch.zeros_like(spikes[0])
    for fired in spikes:
        waiting = waiting * (1 - fired)
        time = time + waiting
    return time


def one_loss(name: str, count: Tensor, u: Tensor, time: Tensor, y: int) -> Any:
    """The loss of one example: its counts [K], potentials [T, K], first-spike times [K] and label."""
    steps, classes = u.shape
    wanted = [1.0 if k == y else 0.0 for k in range(classes)]
    if name == "spike_count_mse":
        return sum((count[k] / steps - wanted[k]) ** 2 for k in range(classes)) / classes
    if name == "spike_count_cross_entropy":
        return torch.logsumexp(count, 0) - count[y]
    if name == "membrane_cross_entropy":
        return sum(torch.logsumexp(now, 0) - now[y] for now in u) / steps
    if name == "max_membrane_cross_entropy":
        return torch.logsumexp(u.amax(0), 0) - u[:, y].amax()  # equal maxima, as of silent steps, share a gradient
    if name == "membrane_mse":
        return sum((u[t, k] - wanted[k]) ** 2 for t in range(steps) for k in range(classes)) / (steps * classes)
    if name == "first_spike_cross_entropy":
        return torch.logsumexp(-time, 0) + time[y]
    return sum((time[k] / steps - 1 + wanted[k]) ** 2 for k in range(classes)) / classes  # first_spike_mse


def loop_loss(name: str, spikes: Tensor, potentials: Tensor, labels: Tensor) -> Tensor:
    """The losses once more, one example at a time."""
    times, total = first_times(spikes), torch.zeros(())
    for b, label in enumerate(labels.tolist()):
        total = total + one_loss(name, spikes[:, b].sum(0), potentials[:, b], times[b], label) / len(labels)
    return total


@pytest.mark.parametrize("name", RECORD_LOSSES)
def test_gradients_are_those_of_the_loops(name: str) -> None:
    net = SpikingMLP([12, 15, 4], steps=7, surrogate="sigmoid", generator=g(), threshold=0.3).double()
    with torch.no_grad():
        for layer in net.synapses:
            layer.weight.mul_(3)
    x, labels = torch.rand(6, 12, generator=g(), dtype=torch.float64), torch.tensor([0, 1, 2, 3, 1, 0])
    rule = Backprop(name)
    (step,) = rule(net, Batch(x, labels), g(5))
    inputs = net.encode(x, g(5))
    one = LIFParameters(0.5, 0.3, surrogate="sigmoid")
    weights, spikes, potentials = written_out(net, inputs, one)
    expected = loop_loss(name, spikes, potentials, labels)
    expected.backward()
    assert 0 < float(spikes.detach().mean()) < 1
    assert float(step.figures["loss"]) == pytest.approx(float(expected.detach()))
    own = [part for layer in net.synapses for part in (layer.weight, layer.bias)]
    for mine, theirs in zip(own, weights, strict=True):
        assert float(theirs.grad.abs().max()) > 0  # type: ignore[union-attr]
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_counts_with_their_default_targets_are_the_rate_loss() -> None:
    """With the rate read-out "spike_count_mse" is "mse" of the scores, kernels and all."""
    found = []
    for loss in ("spike_count_mse", "mse"):
        net = SpikingMLP([12, 15, 4], steps=7, generator=g(), votes=3)
        (step,) = Backprop(loss)(net, Batch(torch.rand(6, 12, generator=g()), torch.tensor([0, 1, 2, 3, 1, 0])), g(5))
        found.append((float(step.figures["loss"]), [one.grad for one in net.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0])
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_loss_of_ones_own_reads_the_record() -> None:
    net = SpikingMLP([12, 15, 4], steps=5, generator=g())

    def quiet(record: Any, targets: Tensor) -> Tensor:
        return record.counts[0].mean() + 0 * targets.sum()

    x = torch.rand(6, 12, generator=g())
    (step,) = Backprop(quiet, of="record")(net, Batch(x, torch.zeros(6, dtype=torch.long)), g(5))
    assert float(step.figures["loss"]) == pytest.approx(net.run(x, generator=g(5)).counts[0].mean().item())
    assert net.synapses[0].weight.grad is not None
    assert repr(Backprop(quiet, of="record")) == "Backprop('quiet', of='record')"
    assert repr(Backprop(SpikeCountMSE(0.8))) == "Backprop(SpikeCountMSE(correct=0.8, incorrect=0.0))"


@pytest.mark.parametrize(
    ("loss", "readout"),
    [
        ("spike_count_cross_entropy", "rate"),
        ("membrane_cross_entropy", "potential"),
        ("first_spike_cross_entropy", "first-spike"),
        (FirstSpikeMSE(0.1, 0.9), "first-spike"),
    ],
)
def test_they_teach_four_patterns(loss: Any, readout: str) -> None:
    """Four fixed binary patterns: all must be answered right, which chance does once in 256."""
    patterns = (torch.rand(4, 30, generator=g(1)) < 0.5).float()
    data = tg.datasets.Dataset(patterns, torch.arange(4))
    net = SpikingMLP([30, 40, 4], steps=8, encoder="direct", readout=readout, surrogate="sigmoid", generator=g())
    tg.fit(net, Backprop(loss), data, optimizer="adam", lr=0.01, epochs=60, batch_size=4)
    assert tg.evaluate(net, data).accuracy == 1.0


def test_the_first_spike_read_out() -> None:
    from threegen.gen3.readouts import FirstSpikeReadout

    spikes = torch.cat([SPIKES, torch.zeros(4, 1, 1)], 2).float()  # three classes, the third one silent
    currents = torch.rand(4, 1, 3, generator=g())
    assert FirstSpikeReadout().train()(spikes, currents).tolist() == [[-1.0, -2.0, -4.0]]
    tie = spikes[..., [0, 0, 2]]
    scores = FirstSpikeReadout().eval()(tie, torch.tensor([0.1, 0.2, 9.0]).expand(4, 1, 3))
    assert int(scores.argmax()) == 1  # of the two that fire first, the one with more input
    assert FirstSpikeReadout(votes=3).train()(spikes, currents).tolist() == [[pytest.approx(-7 / 3)]]
    net = SpikingMLP([20, 8, 3], steps=6, readout="first-spike", generator=g()).eval()
    x = torch.rand(5, 20, generator=g())
    record = net.run(x, generator=g(1))
    assert torch.equal(net(x, g(1)), record.scores)
    assert torch.equal(record.scores.round(), -first_spike_times(record.spikes[-1]))
    assert tg.count(net, x).complete


def test_two_states_and_frames_have_losses_too() -> None:
    net = tg.SpikingSequential([nn.Linear(10, 6), SynapticLIF()], shape=(10,), steps=3)
    frames = (torch.rand(4, 9, 10, generator=g()) < 0.3).float()
    (step,) = Backprop("membrane_cross_entropy")(net, Batch(frames, torch.tensor([0, 1, 2, 5])), g())
    expected = MembraneCrossEntropy()(net.run(frames), torch.tensor([0, 1, 2, 5])).item()
    assert float(step.figures["loss"]) == pytest.approx(expected)


def test_what_cannot_be_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="MLP has none; use a loss of the scores"):
        tg.fit(tg.MLP([4, 3]), Backprop("spike_count_mse"), tg.datasets.Dataset(torch.rand(3, 4), torch.arange(3)))
    for make in (
        lambda: SpikeCountMSE(1.5),
        lambda: MembraneCrossEntropy("mean"),
        lambda: FirstSpikeCrossEntropy(0.0),
        lambda: Backprop("spike_count_sme"),
        lambda: Backprop("mse", of="record"),
        lambda: Backprop(lambda record, targets: targets, of="spikes"),
    ):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(DataError, match="label"):
        SpikeCountMSE()(RECORD, torch.tensor([2]))
    with pytest.raises(ConfigError, match="3 neurons for 2 scores"):
        SpikeCountMSE()(Kept([torch.zeros(4, 1, 3)], [], torch.zeros(1, 2)), torch.tensor([1]))
