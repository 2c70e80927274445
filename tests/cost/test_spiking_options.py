"""The bill of a spiking net's options: each number is reckoned from the net's own record, or by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from threegen.cost.bill import Row
from threegen.cost.count import count
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import Record, SpikingMLP, SpikingNet

SAMPLES = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def billed(net: SpikingNet) -> tuple[dict[str, Row], Record, int]:
    """Return the rows by name, what the net did for the same draws, and the bytes of the weights."""
    bill = count(net, SAMPLES, generator=generator(2))
    assert not bill.uncounted
    assert bill.steps == 3
    with torch.no_grad():
        record = net.eval().run(SAMPLES, generator=generator(2))
    return {row.name: row for row in bill.rows}, record, bill.weight_bytes


def mlp(**options: Any) -> SpikingMLP:
    return SpikingMLP([36, 7, 3], steps=3, generator=generator(), **options)


def conv(layers: str, **options: Any) -> SpikingConvNet:
    return SpikingConvNet(layers, shape=(1, 6, 6), steps=3, generator=generator(), **options)


def mean(spikes: torch.Tensor) -> float:
    """Spikes of one sample."""
    return float(spikes.sum()) / len(SAMPLES)


def test_recurrent_weights_cost_an_addition_a_spike_and_neuron() -> None:
    rows, record, _ = billed(mlp(recurrent=True))
    assert rows["neurons.0"].operations["ac"] == pytest.approx(7 * mean(record.spikes[0][:-1]))
    assert rows["neurons.0"].parameters == 49


def test_neurons_with_more_state_need_more_memory() -> None:
    rows, record, _ = billed(mlp(adaptation=0.1, refractory=2, kernel=[1.0, 0.5, 0.25]))
    own = rows["neurons.0"]
    assert own.memory == {"potentials": 7 * 4 * 5}  # potential, threshold, countdown, two earlier inputs
    assert own.operations["mac"] == 7 * 3 * 2  # two earlier inputs at each of three steps
    assert own.operations["leak"] == 2 * 7 * 3
    assert own.operations["add"] == pytest.approx(7 * 3 + mean(record.spikes[0]))
    assert own.operations["compare"] == 7 * 3


def test_direct_coding_multiplies_once_for_all_steps() -> None:
    rows, record, _ = billed(mlp(encoder="direct"))
    assert "encoder" not in rows
    assert (rows["synapses.0"].fed_by, rows["synapses.0"].operations["mac"]) == ("values", 36 * 7)
    assert rows["synapses.1"].operations["ac"] == pytest.approx(3 * mean(record.spikes[0]))


def test_leaky_reading_out_and_votes() -> None:
    rows, _, _ = billed(mlp(readout="leaky", votes=2))
    assert rows["readout"].operations == {"mul": 6 * 3, "add": 6 * 3 + 3}
    rows, record, _ = billed(mlp(votes=2))
    assert rows["readout"].operations["ac"] == pytest.approx(mean(record.spikes[1]))
    assert rows["readout"].operations["add"] == 6 * 3 + 3


def test_a_shortcut_of_spikes_costs_an_addition_a_spike() -> None:
    rows, record, _ = billed(conv("2C3-R2C3-4-3"))
    assert rows["joins.2"].operations == {"ac": pytest.approx(mean(record.spikes[0]))}
    assert rows["synapses.2"].memory == {}  # summed input is part of the potential
    assert (rows["synapses.3"].kind, rows["synapses.3"].fed_by) == ("linear", "spikes")


def test_spikes_added_to_spikes_are_counts() -> None:
    rows, record, _ = billed(conv("2C3-R2C3-4-3", shortcut="spikes"))
    assert rows["joins.2"].operations == {"ac": pytest.approx(mean(record.spikes[0]))}
    assert rows["synapses.3"].fed_by == "counts"
    assert rows["synapses.3"].operations["mac"] == 2 * 4 * 4 * 4 * 3  # 32 counts, 4 neurons, 3 steps


def test_a_projected_shortcut_is_a_convolution_and_an_addition_a_value() -> None:
    rows, record, _ = billed(conv("2C3-R3C3-4-3"))
    assert rows["shortcuts.2"].operations == {"ac": pytest.approx(3 * mean(record.spikes[0]))}
    assert rows["joins.2"].operations == {"add": 3 * 4 * 4 * 3}
    assert rows["shortcuts.2"].memory == {}


def test_tdbn_is_folded_into_the_weights() -> None:
    rows, _, stored = billed(conv("2C3-BN-R3C3-BN-4-3"))
    plain = count(conv("2C3-R3C3-4-3"), SAMPLES, generator=generator(2)).weight_bytes
    assert rows["synapses.0.1"].kind == "batch normalisation (folded)"
    assert rows["synapses.0.1"].operations == {"add": 2 * 4 * 4 * 3}  # a bias
    assert stored == plain + 3 * 4  # the bias of the projection, which has none without tdBN


def test_neunorm_is_auxiliary_neurons_and_a_product_a_value() -> None:
    rows, record, _ = billed(conv("2C3-NN-4-3"))
    own = rows["norms.0"]
    assert own.operations["ac"] == pytest.approx(mean(record.spikes[0]))
    assert own.operations["mac"] == 2 * 4 * 4 * 3
    assert own.operations["leak"] == own.operations["integrate"] == 4 * 4 * 3
    assert own.memory == {"potentials": 4 * 4 * 4}
    assert rows["synapses.1"].fed_by == "values"


def test_a_learnt_decay_leaks() -> None:
    assert billed(mlp(learnable_decay=True))[0]["neurons.0"].operations["leak"] == 7 * 3
    assert billed(mlp(neuron="if"))[0]["neurons.0"].operations["leak"] == 0
