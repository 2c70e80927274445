"""The bill against brute force: plain Python loops over every connection of tiny nets."""

import json
import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from threegen.cost.bill import OPERATIONS, Row
from threegen.cost.count import count
from threegen.errors import DataError, ShapeError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen3.encoders import Bernoulli, Latency
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sparse(*shape: int, seed: int = 0) -> Tensor:
    x = torch.rand(*shape, generator=generator(seed))
    return x * (torch.rand(*shape, generator=generator(seed + 1)) < 0.5)


def row(bill: object, name: str) -> Row:
    return next(one for one in bill.rows if one.name == name)  # type: ignore[attr-defined]


class Spikes(nn.Module):
    """LIF neurons of threshold .5 without leak: with input 0 or 1 they hand their input on, so spikes are known."""

    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.lif = LIF(decay=0.0)
        self.after = nn.Sequential(*after)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, ...], events as frames; time comes first inside."""
        spikes, _ = self.lif(x.transpose(0, 1))
        return torch.as_tensor(self.after(spikes.flatten(0, 1)))


# -- known figures -----------------------------------------------------------------------------------------------------
def published_net() -> nn.Sequential:
    """16C5-BN-AP2-32C5-BN-AP2-128-10: 24*24*16*25 + 8*8*32*16*25 + 512*128 + 128*10 = 1,116,416."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def test_published_net_has_1_116_416_multiply_accumulates() -> None:
    bill = count(published_net(), torch.rand(3, 1, 28, 28, generator=generator()))
    assert bill.operations["mac"] == 1_116_416
    assert bill.parameters == 80_298
    # both batch norms fold away: 4 * (16 + 32) values less, as the convolutions have biases; 4 bytes each
    assert bill.memory["weights"] == 4 * (80_298 - 2 * 16 - 2 * 32)
    assert bill.memory["activations"] == 4 * (16 * 576 + 16 * 144 + 32 * 64 + 32 * 16 + 128 + 10)
    assert not bill.spiking
    assert bill.uncounted == ()


@pytest.mark.parametrize(
    "make",
    [
        published_net,
        LeNet5Modern,
        lambda: MLP([784, 30, 20, 10], dropout=0.1, batch_norm=True),
        lambda: nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1, groups=1), nn.Conv2d(6, 4, 3, dilation=2, groups=2)),
    ],
)
def test_multiply_accumulates_are_half_of_torchs_flop_count(make: object) -> None:
    assert callable(make)
    net, x = make(), torch.rand(1, 1, 28, 28, generator=generator())
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        net.eval()(x)
    assert count(net, x).operations["mac"] == flops.get_total_flops() / 2


# -- dense -------------------------------------------------------------------------------------------------------------
def test_dense_layers_by_brute_force() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3, bias=False), nn.Sigmoid())
    x = sparse(6, 5)
    hidden = net[:2](x)
    macs = nonzeros = 0
    for values, outputs in ((x, 4), (hidden, 3)):
        for sample, source, _ in product(range(6), range(values.shape[1]), range(outputs)):
            macs += 1
            nonzeros += int(values[sample, source] != 0)
    bill = count(net, x, batch_size=4)  # two batches of unequal size
    assert bill.operations == {
        "mac": macs / 6,
        "mac_nonzero": nonzeros / 6,
        "add": 4,
        "compare": 4,
        "function": 3,
    }
    assert bill.compute["total"] == 2 * macs / 6 + 4
    assert bill.compute["total_skipping_zeros"] == pytest.approx(2 * nonzeros / 6 + 4)
    assert bill.memory == {"weights": 4 * 36, "activations": 4 * 7, "potentials": 0, "spikes": 0, "total": 4 * 43}


def test_float64_doubles_every_byte() -> None:
    net = nn.Sequential(nn.Linear(5, 4))
    single, double = count(net, sparse(2, 5)), count(net.double(), sparse(2, 5).double())
    assert double.memory["total"] == 2 * single.memory["total"] > 0


# -- convolution and pooling -------------------------------------------------------------------------------------------
def brute_convolution(x: Tensor, layer: nn.Conv2d) -> tuple[int, int]:
    """Return (all products, products with a non-zero input) by loops; padding counts among all products."""
    (high, wide), (down, across), (pad_y, pad_x) = layer.kernel_size, layer.stride, layer.padding  # type: ignore[misc]
    gap_y, gap_x = layer.dilation
    per_group_in = layer.in_channels // layer.groups
    per_group_out = layer.out_channels // layer.groups
    out = layer(x)
    everything = effective = 0
    for n, o, i, j in product(*(range(size) for size in out.shape)):
        for c, a, b in product(range(per_group_in), range(high), range(wide)):
            everything += 1
            y, z = i * down - pad_y + a * gap_y, j * across - pad_x + b * gap_x
            inside = 0 <= y < x.shape[2] and 0 <= z < x.shape[3]
            effective += int(inside and x[n, (o // per_group_out) * per_group_in + c, y, z] != 0)
    return everything, effective


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    seed=st.integers(0, 100),
)
def test_convolution_by_brute_force(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: int, groups: int, seed: int
) -> None:
    layer = nn.Conv2d(2, 4, kernel, stride, padding, dilation, groups)
    x = sparse(2, 2, 5, 6, seed=seed)
    everything, effective = brute_convolution(x, layer)
    own = row(count(nn.Sequential(layer), x), "0").operations
    assert own["mac"] * 2 == everything
    assert own["mac_nonzero"] * 2 == effective
    frames = (x > 0).float().unsqueeze(0)  # one sample, two time steps
    spiking = row(count(Spikes(layer), frames), "after.0")
    assert spiking.fed_by == "spikes"
    assert spiking.operations["ac"] == effective
    assert "mac" not in spiking.operations


def test_same_padding_and_one_dimension() -> None:
    layer = nn.Conv1d(1, 1, 3, padding="same", bias=False)
    # five ones: the middle three meet 3 products, the two at the ends 2
    assert count(nn.Sequential(layer), torch.ones(1, 1, 5)).operations == {"mac": 15, "mac_nonzero": 13}


def test_pooling_of_values_by_hand() -> None:
    x = torch.rand(2, 3, 6, 6, generator=generator())
    assert count(nn.Sequential(nn.MaxPool2d(2)), x).operations == {"compare": 3 * 9 * 3}
    assert count(nn.Sequential(nn.AvgPool2d(3)), x).operations == {"mul": 3 * 4, "add": 3 * 4 * 8}
    # windows of 6 into 4 are 2 wide: rows 0-2, 1-3, 3-5, 4-6
    assert count(nn.Sequential(nn.AdaptiveAvgPool2d(4)), x).operations == {"mul": 3 * 16, "add": 3 * 16 * 3}


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (3, 2, 0)])
def test_average_pooling_of_spikes_adds_each_spike_once_a_window(size: int, stride: int, padding: int) -> None:
    frames = (torch.rand(2, 3, 2, 6, 6, generator=generator()) < 0.4).float()
    bill = count(Spikes(nn.AvgPool2d(size, stride, padding), nn.Flatten(), nn.LazyLinear(4)), frames)
    events = 0
    for n, t, c in product(range(2), range(3), range(2)):
        padded = F.pad(frames[n, t, c], [padding] * 4)
        spots = range(0, padded.shape[0] - size + 1, stride)
        for i, j in product(spots, spots):
            events += int(padded[i : i + size, j : j + size].sum())
    pool, dense = bill.rows[1], bill.rows[2]
    assert pool.operations == {"ac": events / 2}
    # its output is event counts: multiply-accumulates at every one of the three steps
    assert dense.fed_by == "counts"
    assert dense.operations["mac"] == 3 * math.prod(pool.output) * 4


def test_maximum_pooling_hands_spikes_on() -> None:
    frames = (torch.rand(1, 3, 2, 4, 4, generator=generator()) < 0.4).float()
    bill = count(Spikes(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(8, 5)), frames)
    pooled = F.max_pool2d(frames[0], 2)
    assert bill.rows[2].operations == {"ac": int(pooled.sum()) * 5, "add": 5 * 3}


# -- neurons -----------------------------------------------------------------------------------------------------------
def test_neuron_updates_and_spike_memory_by_hand() -> None:
    # one sample, T = 3, four neurons; spikes a step: 1, 3, 2 -> the busiest step has 3 of them, 3 bits: 1 byte
    frames = torch.tensor([[[1.0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]]])
    net = Spikes(nn.Linear(4, 2))
    net.lif = LIF(decay=0.5, threshold=1.0)
    # u of neuron 0: 1 fires, 1 fires, 0; neuron 2: 0, 1 fires, 1 fires; as above
    bill = count(net, frames)
    assert bill.steps == 3
    assert bill.spiking
    assert bill.rows[0].operations == {"leak": 12, "integrate": 12, "threshold": 12, "reset": 6}
    assert bill.rows[0].spikes == 6
    assert bill.rows[1].operations == {"ac": 12, "add": 6}
    assert bill.memory["potentials"] == 4 * 4
    assert bill.spike_bytes == 3 / 8
    assert bill.memory["spikes"] == 1
    assert bill.compute["neuron_updates"] == 42


def test_spike_memory_is_the_busiest_step_of_each_sample_then_the_mean() -> None:
    frames = torch.zeros(2, 2, 8)
    frames[0, 0] = 1  # sample 0: 8 then 0 spikes; sample 1: 0 then 4
    frames[1, 1, :4] = 1
    for batch_size in (1, 2):
        assert count(Spikes(), frames, batch_size=batch_size).spike_bytes == 6 / 8


def test_no_leak_is_no_multiplication() -> None:
    for decay, leak, integrate in ((1.0, 0, 4), (0.5, 4, 4), (0.0, 0, 0)):
        net = Spikes()
        net.lif = LIF(decay=decay)
        operations = count(net, torch.zeros(1, 2, 2)).operations
        assert (operations["leak"], operations["integrate"]) == (leak, integrate)


def test_kind_follows_from_the_model_never_from_the_data() -> None:
    zeros_and_ones = (torch.rand(4, 6, generator=generator()) < 0.5).float()
    net = nn.Sequential(nn.Linear(6, 3))
    assert "ac" not in count(net, zeros_and_ones).operations
    silent = SpikingMLP([6, 5, 3], steps=2)
    assert "mac" not in count(silent, torch.zeros(4, 6)).operations


# -- our own models ----------------------------------------------------------------------------------------------------
def test_spiking_mlp_by_brute_force() -> None:
    net = SpikingMLP([9, 7, 4], steps=5, generator=generator())
    x = torch.rand(3, 1, 3, 3, generator=generator(1))
    record = net.eval().run(x, generator=generator(2))
    bill = count(net, x, generator=generator(2))
    trains = [train.detach() for train in (record.inputs, *record.spikes)]
    arriving = sum(int(train.sum()) * fan_out for train, fan_out in zip(trains, (7, 4), strict=False))
    last = int(record.spikes[-1].sum())
    busiest = sum(max(sum(float(train[t, n].sum()) for train in trains) for t in range(5)) for n in range(3))
    assert bill.operations["ac"] == (arriving + last) / 3  # reading out by rate adds each spike of the last layer
    assert bill.operations["add"] == 5 * (7 + 4) + 5 * 4  # biases, and the input summed to break ties
    assert bill.operations["draw"] == 5 * 9
    assert bill.operations["reset"] == sum(int(train.sum()) for train in record.spikes) / 3
    assert bill.operations["leak"] == bill.operations["integrate"] == bill.operations["threshold"] == 5 * 11
    assert bill.compute["encoder"] == 2 * 5 * 9
    assert bill.compute["multiplications"] == 0
    assert bill.compute["additions"] == bill.operations["ac"] + bill.operations["add"]
    assert bill.spike_bytes == busiest / 3 / 8
    assert bill.memory["weights"] == 4 * (9 * 7 + 7 + 7 * 4 + 4)
    assert bill.memory["potentials"] == 4 * 11
    assert bill.memory["activations"] == 0
    assert bill.uncounted == ()


@pytest.mark.parametrize("averaged", [False, True])
def test_perceptron_is_an_ann_and_making_its_weights_ready_is_free(averaged: bool) -> None:
    bill = count(Perceptron(16, 10, averaged=averaged), torch.rand(2, 1, 4, 4, generator=generator()))
    assert bill.operations["mac"] == 160
    assert bill.operations["add"] == 10
    assert set(bill.operations) == {"mac", "mac_nonzero", "add"}
    assert bill.parameters == 170
    assert not bill.spiking


def test_latency_net_and_potential_readout() -> None:
    net = SpikingMLP([4, 3], steps=6, encoder=Latency(), readout="potential")
    bill = count(net, torch.ones(2, 4))
    assert row(bill, "synapses.0").operations == {"ac": 4 * 3, "add": 6 * 3}  # every pixel fires exactly once
    assert row(bill, "readout").operations == {"add": 6 * 3}


def test_functional_calls_count_like_modules() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 9))

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(torch.relu(x), 2).flatten(1)
            return torch.softmax(x @ self.weight.T, 1)

    bill = count(Plain(), torch.ones(2, 1, 6, 6))
    assert [one.kind for one in bill.rows] == ["rectifier", "maximum pooling", "linear", "softmax"]
    assert bill.operations["mac"] == 36
    assert bill.parameters == 36


def test_a_matrix_from_the_left_and_spikes_written_into_a_buffer() -> None:
    class Left(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = LIF(decay=0.0)
            self.weight = nn.Parameter(torch.ones(4, 5))

        def forward(self, x: Tensor) -> Tensor:
            buffer = torch.zeros(1, len(x), 5)
            buffer[0] = self.lif(x.unsqueeze(0))[0][0]
            return (self.weight @ buffer[0].T).T

    bill = count(Left(), torch.tensor([[1.0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]))
    assert row(bill, "linear").operations == {"ac": 3 * 4 / 2}


def test_batch_norm_folds_only_behind_a_layer_of_weights() -> None:
    x = torch.rand(4, 3, 5, 5, generator=generator())
    folded = count(nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.BatchNorm2d(2)), x, batch_size=3)
    assert folded.operations["add"] == 2 * 9  # the fold gives the convolution a bias
    assert folded.memory["weights"] == 4 * (2 * 27 + 2)
    rectified = count(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(2)), x)
    assert rectified.operations["mul"] == 2 * 9
    alone = count(nn.Sequential(nn.BatchNorm2d(3)), x)
    assert alone.operations == {"mul": 75, "add": 75}
    assert alone.memory["weights"] == 4 * 6


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)])
def test_recurrent_layers_use_every_weight_once_a_step(kind: type[nn.RNNBase], gates: int) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = kind(6, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    bill = count(Reader(), torch.rand(2, 5, 6, generator=generator()))
    assert bill.operations["mac"] == 5 * gates * (8 * 6 + 8 * 8) + 8 * 3
    assert bill.operations["add"] == 5 * gates * (8 + 8) + 3
    assert bill.operations["function"] == 5 * 8 * {1: 1, 4: 5, 3: 3}[gates]
    assert bill.uncounted == ()
    cell = {1: nn.RNNCell, 4: nn.LSTMCell, 3: nn.GRUCell}[gates](6, 8)
    step = count(nn.Sequential(cell), torch.rand(2, 6, generator=generator()))
    assert step.operations["mac"] == gates * (8 * 6 + 8 * 8)


def test_unknown_functions_are_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.erfinv(x)

    assert count(Odd(), torch.zeros(1, 2)).uncounted == ("erfinv",)


# -- the habits --------------------------------------------------------------------------------------------------------
class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ShapeError("broken on purpose")


def test_everything_is_put_back_after_an_exception_too() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), Broken())
    net[1].eval()
    before = torch.random.get_rng_state()
    with pytest.raises(ShapeError, match="on purpose"):
        count(net, torch.rand(2, 3, generator=generator()))
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())
    assert torch.equal(before, torch.random.get_rng_state())
    good = nn.Sequential(net[0])
    assert count(good, torch.rand(2, 3)).operations["mac"] == 9
    assert not good[0]._forward_hooks


def test_same_data_same_bill_without_a_generator() -> None:
    net, x = SpikingMLP([9, 4], steps=5), torch.rand(3, 9, generator=generator())
    assert count(net, x).as_dict() == count(net, x).as_dict()


def test_as_dict_is_plain_json_and_adds_up() -> None:
    bill = count(SpikingMLP([9, 7, 4], encoder=Bernoulli()), torch.rand(3, 9, generator=generator()))
    data = json.loads(json.dumps(bill.as_dict()))
    assert set(data["operations"]) <= set(OPERATIONS)
    kinds = ("weights", "activations", "potentials", "spikes")
    assert data["memory"]["total"] == sum(data["memory"][kind] for kind in kinds)
    for kind, amount in data["operations"].items():
        assert amount == pytest.approx(sum(one["operations"].get(kind, 0) for one in data["layers"]))
    assert "never on the data" in data["rule"]


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="at least one sample"):
        count(nn.Linear(2, 2), torch.zeros(0, 2))
    with pytest.raises(ShapeError, match="uint8"):
        count(nn.Linear(2, 2), torch.zeros(1, 2, dtype=torch.uint8))
