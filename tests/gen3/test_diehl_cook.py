"""Diehl and Cook's network: its votes by hand, its constants, and that answering changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, NumericError, ShapeError
from threegen.figures.spike_timing import stdp_stages
from threegen.functional.diehl_cook import constants as c
from threegen.functional.diehl_cook.constants import VARIANTS, Plasticity
from threegen.functional.diehl_cook.learning import depress, normalise, potentiate
from threegen.functional.diehl_cook.network_fused import FIRED, LAST_POST, LAST_PRE, LIT
from threegen.functional.diehl_cook.runs import make_cell
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import make_generator
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit


def test_the_start_is_the_papers() -> None:
    """784 x 400 weights, 0.3 (U(0, 1) + 0.01); thresholds start at -52 mV: v_thr -52, theta 20, offset 20."""
    model = DiehlCook(generator=make_generator("start"))
    assert sum(p.numel() for p in model.parameters()) == 784 * 400
    weight = model.weight.detach()
    assert 0.003 <= float(weight.min()) < 0.0031
    assert 0.3029 < float(weight.max()) <= 0.303
    numbers = model.kernel_net().k
    assert float(model.theta[0]) + float(numbers[c.OFFSET]) == -52.0
    assert model.variant.steps == 700
    assert model.variant.rest_steps == 300
    assert sorted(model.delays.unique().tolist()) == list(range(20))  # 0 .. 9.5 ms
    grouped = DiehlCook(40, variant="grouped").delays
    assert list(grouped.shape) == [784, 3]


def test_votes_by_hand() -> None:
    """Four neurons, three classes. Mean spikes by class: (4 0 0), (0 2 0), (0 1 0), (0 0 0)."""
    model = DiehlCook(4, inputs=2, classes=3)
    counts = torch.tensor([[4, 0, 0, 0], [0, 2, 1, 0], [0, 2, 1, 0]])
    model.add_responses(counts, torch.tensor([0, 1, 1]))
    assert model.assignments.tolist() == [0, 1, 1, -1]
    answer = torch.tensor([[1, 3, 0, 9]])
    torch.testing.assert_close(model.votes(answer), torch.tensor([[1.0, 1.5, 0.0]]))  # means over a class's neurons
    model.readout = "proportion"
    torch.testing.assert_close(model.votes(answer), torch.tensor([[1.0, 3.0, 0.0]]))
    model.readout = "likelihood"  # sum of n log(r + .01) - (r + .01); class 2 was never shown
    first = math.log(4.01) + 3 * math.log(0.01) + 9 * math.log(0.01) - 4.04
    second = math.log(0.01) + 3 * math.log(2.01) + 9 * math.log(0.01) - 3.04
    torch.testing.assert_close(model.votes(answer)[0, :2], torch.tensor([first, second]))
    assert model.votes(answer)[0].argmax() == 1
    model.forget_labels()
    assert not model.votes(answer).any()


def test_two_spikes_by_hand() -> None:
    """One input, one neuron, dt 0.5 ms; input at step 10, neuron at steps 20 and 30, input again at step 40.

    Triplet: nothing at 20, +0.01 e^(-20 dt / 20) e^(-10 dt / 40) at 30, -0.0001 e^(-10 dt / 20) at 40.
    """
    model = DiehlCook(1, inputs=1, variant="fast").double()
    with torch.no_grad():
        model.weight.fill_(0.5)
    net = model.kernel_net(Plasticity("triplet"))
    cell = make_cell(net)
    cell.ends[LAST_PRE, 0], cell.ends[LIT, 0], cell.marks[LIT] = 10, 0, 1
    cell.whole[LAST_POST, 0] = -1
    potentiate(net, cell, 0, 20)
    assert net.weight[0, 0] == 0.5
    cell.whole[LAST_POST, 0], cell.whole[FIRED, 0] = 20, 0
    potentiate(net, cell, 0, 30)
    gained = 0.01 * math.exp(-20 * 0.5 / 20) * math.exp(-10 * 0.5 / 40)
    assert net.weight[0, 0] == pytest.approx(0.5 + gained, abs=1e-12)
    cell.whole[LAST_POST, 0] = 30
    depress(net.weight, net.k, net.n[c.KIND], net.tables, cell.whole, 1, cell.ends, 0, 40)
    lost = 0.0001 * math.exp(-10 * 0.5 / 20)
    assert net.weight[0, 0] == pytest.approx(0.5 + gained - lost, abs=1e-12)
    assert cell.ends[LAST_PRE, 0] == 40


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pair", 0.01 * math.exp(-0.25)),
        ("power", 0.01 * (math.exp(-0.25) - 0.4) * 0.75**0.2),
        ("exponential", 0.01 * (math.exp(-0.25) * math.exp(-0.25) - 0.4 * math.exp(-0.75))),
        ("symmetric", 0.01 * (math.exp(-0.25) - 0.4) * 0.75**0.2),
    ],
)
def test_one_spike_after_another_by_hand(kind: str, expected: float) -> None:
    """An input fires 5 ms before the neuron, w = 0.25: the change by the paper's formula of each rule."""
    model = DiehlCook(1, inputs=1, variant="fast").double()
    with torch.no_grad():
        model.weight.fill_(0.25)
    net = model.kernel_net(Plasticity(kind))
    cell = make_cell(net)
    cell.ends[LAST_PRE, 0], cell.marks[LIT], cell.whole[LAST_POST, 0] = 10, 1, -1
    potentiate(net, cell, 0, 20)
    assert net.weight[0, 0] == pytest.approx(0.25 + expected, abs=1e-12)


def test_normalised_weights_sum_to_the_norm() -> None:
    model = DiehlCook(7, generator=make_generator("norm"))
    net = model.kernel_net(Plasticity())
    normalise(net, np.empty(7))
    np.testing.assert_allclose(net.weight.sum(0), 78.0, rtol=1e-5)


def blobs(count: int = 60) -> Dataset:
    """Pictures of 6 x 6 in three classes: two lit rows tell the class."""
    labels = torch.arange(count) % 3
    images = 0.1 * torch.rand(count, 1, 6, 6, generator=make_generator("blobs"))
    for index, label in enumerate(labels.tolist()):
        images[index, 0, 2 * label : 2 * label + 2] = 0.9
    return Dataset.from_arrays(images, labels, name="blobs")


def test_any_pictures_are_learnt_and_evaluation_freezes_everything() -> None:
    data = blobs()
    model = DiehlCook(12, inputs=36, classes=3, variant="faster", generator=make_generator("blobs"))
    rule = DiehlCookSTDP("pair", eta_pre=5e-4, eta_post=0.05, theta_plus=0.2)
    fit(model, stdp_stages(model, rule, epochs=10, batch_size=20), data)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert evaluate(model, data).accuracy >= 0.95
    model.train()
    model(data.inputs[:4])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert {"theta", "responses", "synapses.weight"} <= set(before)
    other = DiehlCook(12, inputs=36, classes=3, variant="faster")
    other.load_state_dict(model.state_dict())
    x, seed = data.inputs[:5], "again"
    assert torch.equal(model(x, make_generator(seed)), other(x, make_generator(seed)))


def test_event_recordings_come_as_frames() -> None:
    model = DiehlCook(6, inputs=2 * 4 * 4, classes=2, variant="faster", generator=make_generator("events"))
    frames = torch.poisson(torch.full((3, 5, 2, 4, 4), 0.8), generator=make_generator("events"))
    counts, outcome = model.count_spikes(frames, make_generator("events"))
    assert (outcome[:, 0] >= 5).all()
    assert counts.sum(1).tolist() == outcome[:, 0].tolist()
    with pytest.raises(ShapeError, match="frames of 32 values"):
        model(frames[..., :3])


def test_the_record_is_what_the_answer_was_made_of() -> None:
    model = DiehlCook(8, inputs=36, classes=3, variant="faster", generator=make_generator("record"))
    x = blobs(3).inputs
    record = model.run(x, generator=make_generator("record"))
    counts, _ = model.count_spikes(x, make_generator("record"))
    assert torch.equal(record.spikes[0].sum(0).int(), counts)
    assert list(record.inputs.shape) == [250, 3, 36]
    assert list(record.potentials[0].shape) == [250, 3, 8]
    fired = record.spikes[0] > 0
    limit = model.theta + model.kernel_net().k[c.OFFSET]
    assert (record.potentials[0] >= limit)[fired].all()


def test_bad_settings_and_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"variant is 'papre'.*did you mean 'paper'"):
        DiehlCook(variant="papre")
    with pytest.raises(ConfigError, match="readout is 'votes'"):
        DiehlCook(readout="votes")
    with pytest.raises(ConfigError, match="kind is 'tripple'"):
        DiehlCookSTDP("tripple")
    with pytest.raises(ConfigError, match="most must be at most 60"):
        DiehlCook(most=100)
    model = DiehlCook(3, inputs=4, classes=2, variant="faster")
    with pytest.raises(ConfigError, match=r"needs values in 0\.\.1, got 0\.\.255; divide by 255"):
        model(torch.tensor([[0.0, 255.0, 3.0, 4.0]]))
    with pytest.raises(NumericError, match="non-finite"):
        model(torch.tensor([[0.0, math.nan, 0.0, 0.0]]))
    with pytest.raises(ConfigError, match="without a state"):
        model.run(torch.zeros(1, 4), state=[])  # type: ignore[arg-type]
    assert set(VARIANTS) == {"paper", "grouped", "fast", "faster"}
