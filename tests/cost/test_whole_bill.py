"""Nothing is left out in silence: every kind of layer has its price, every parameter is counted once.

Expected figures come from numbers that count what is done to them (`Counted`), from the same answer written out in
plain products, from torch's flop counter where it is right, and from sums by hand that are written beside them.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.flop_counter import FlopCounterMode

from threegen.cost.count import count
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.encoders import Direct
from threegen.gen3.networks import SpikingMLP

DONE: Counter[str] = Counter()


class Counted(float):
    """A number that takes note of every addition, product and function."""

    def __add__(self, other: float) -> Counted:
        DONE["add"] += 1
        return Counted(float(self) + float(other))

    __radd__ = __add__

    def __sub__(self, other: float) -> Counted:
        DONE["add"] += 1
        return Counted(float(self) - float(other))

    def __mul__(self, other: float) -> Counted:
        DONE["mul"] += 1
        return Counted(float(self) * float(other))

    def function(self, f: Any) -> Counted:
        DONE["function"] += 1
        return Counted(f(float(self)))


def total(numbers: list[Counted]) -> Counted:
    first, *rest = numbers
    for one in rest:
        first = first + one
    return first


def normalised(numbers: list[Counted], scale: list[float] | None, shift: list[float] | None) -> list[Counted]:
    """Mean, variance, scaling: as it is written in the papers, one operation at a time."""
    share = 1 / len(numbers)
    mean = total(numbers) * share
    apart = [one - mean for one in numbers]
    variance = total([one * one for one in apart]) * share
    factor = (variance + 1e-5).function(lambda v: v**-0.5)
    out = [one * factor for one in apart]
    out = [one * s for one, s in zip(out, scale, strict=True)] if scale else out
    return [one + s for one, s in zip(out, shift, strict=True)] if shift else out


def counted(x: Tensor) -> list[Counted]:
    return [Counted(one) for one in x.flatten().tolist()]


@pytest.mark.parametrize(
    ("layer", "groups"),
    [
        (nn.LayerNorm(6), 8),
        (nn.LayerNorm((4, 6), elementwise_affine=False), 2),
        (nn.GroupNorm(2, 4), 4),
        (nn.InstanceNorm1d(4, affine=True), 8),
    ],
)
def test_normalisation_by_numbers_that_count(layer: nn.Module, groups: int) -> None:
    x = torch.rand(2, 4, 6)
    DONE.clear()
    size = x.numel() // groups
    affine = any(True for _ in layer.parameters())
    found: list[Counted] = []
    for part in x.flatten().split(size):
        ones, zeros = ([1.0] * size, [0.0] * size) if affine else (None, None)
        found += normalised(counted(part), ones, zeros)
    torch.testing.assert_close(torch.tensor(found).reshape(x.shape), layer(x).detach())
    bill = count(layer, x)
    assert {kind: 2 * amount for kind, amount in bill.operations.items()} == dict(DONE)
    assert bill.complete
    assert bill.parameters == sum(one.numel() for one in layer.parameters())


def test_batch_normalisation_without_running_statistics_is_not_folded() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))
    x = torch.rand(3, 1, 5, 5)
    DONE.clear()
    for plane in net[0](x).movedim(1, 0):
        normalised(counted(plane), [1.0] * plane.numel(), [0.0] * plane.numel())
    row = count(net, x).rows[1]
    assert {kind: round(3 * amount) for kind, amount in row.operations.items()} == dict(DONE)


class Attention(nn.Module):
    """`nn.MultiheadAttention` and its own weights written out in plain products."""

    def __init__(self, *, whole: bool, fused: bool = False) -> None:
        super().__init__()
        self.inner, self.whole, self.fused = nn.MultiheadAttention(12, 3, batch_first=True), whole, fused

    def forward(self, x: Tensor) -> Tensor:
        if self.whole:
            return torch.as_tensor(self.inner(x, x, x)[0])
        own = self.inner
        query, key, value = F.linear(x, own.in_proj_weight, own.in_proj_bias).chunk(3, -1)
        query, key, value = (one.unflatten(-1, (3, 4)).transpose(1, 2) for one in (query, key, value))
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            mixed = torch.softmax((query * 0.5) @ key.transpose(-1, -2), -1) @ value
        return own.out_proj(mixed.transpose(1, 2).flatten(2))


def test_attention_costs_what_its_products_written_out_cost() -> None:
    x = torch.rand(2, 7, 12, generator=torch.Generator().manual_seed(0))
    whole, plain = Attention(whole=True), Attention(whole=False)
    plain.load_state_dict(whole.state_dict())
    fused = Attention(whole=False, fused=True)
    torch.testing.assert_close(whole(x), plain(x))
    bills = [count(net, x) for net in (whole, plain, fused)]
    for bill in bills:
        assert bill.complete
        assert bill.parameters == 4 * 12 * 12 + 4 * 12
        # 7 positions through 12 x 36 and 12 x 12, and 7 x 7 pairs of 12 numbers, twice
        assert bill.operations["mac"] == 7 * 12 * 48 + 2 * 7 * 7 * 12
    wanted = bills[1].operations
    for bill in (bills[0], bills[2]):
        assert {k: v for k, v in bill.operations.items() if k != "mac_nonzero"} == {
            k: v for k, v in wanted.items() if k != "mac_nonzero"
        }
    # torch's own counter sees the products where they are written out
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        plain(x[:1])
    assert flops.get_total_flops() / 2 == wanted["mac"]


def test_a_vision_transformer_is_billed_whole() -> None:
    class Vision(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut = nn.Conv2d(1, 16, 7, stride=7)
            self.token, self.place = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.zeros(1, 17, 16))
            layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
            self.body, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.cut(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.place
            return self.head(self.body(tokens)[:, 0])

    net = Vision()
    bill = count(net, torch.rand(2, 1, 28, 28))
    assert bill.complete
    assert bill.parameters == sum(one.numel() for one in net.parameters())
    block = 17 * 16 * 64 + 2 * 17 * 17 * 16 + 2 * 17 * 16 * 32
    assert bill.operations["mac"] == 16 * 16 * 49 + 2 * block + 16 * 10


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("groups", "padding"), [(1, 0), (2, 1)])
def test_transposed_convolution_by_brute_force(stride: int, groups: int, padding: int) -> None:
    net = nn.ConvTranspose2d(4, 6, 3, stride=stride, padding=padding, groups=groups)
    x = torch.rand(2, 4, 5, 4) * (torch.rand(2, 4, 5, 4) < 0.5)
    out = net(x)
    every = kept = 0
    for n, c, i, j in product(*(range(size) for size in x.shape)):
        for _, a, b in product(range(6 // groups), range(3), range(3)):
            every += 1
            y, z = i * stride + a - padding, j * stride + b - padding
            kept += bool(0 <= y < out.shape[2] and 0 <= z < out.shape[3] and x[n, c, i, j] != 0)
    bill = count(net, x)
    assert bill.operations["mac"] == every / 2
    assert bill.operations["mac_nonzero"] == kept / 2
    assert bill.operations["add"] == out[0].numel()
    assert bill.parameters == 4 * 6 // groups * 9 + 6


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,jk->bik", [(2, 3, 4), (4, 5)]),
        ("bhld,bhsd->bhls", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("...i,oi->...o", [(2, 3, 4), (5, 4)]),
        ("bi,ij", [(2, 3), (3, 4)]),
    ],
)
def test_einsum_is_half_of_torchs_flop_count(equation: str, shapes: list[tuple[int, ...]]) -> None:
    class Contraction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(shapes[1]))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum(equation, x, self.weight)

    net, x = Contraction(), torch.rand(shapes[0])
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        net(x)
    bill = count(net, x)
    assert bill.operations["mac"] == flops.get_total_flops() / 2 / len(x)
    assert bill.operations["mac_nonzero"] == bill.operations["mac"]
    assert bill.parameters == net.weight.numel()
    assert bill.complete


def test_recurrent_layers_cost_what_their_cells_cost_step_by_step() -> None:
    class Stepwise(nn.Module):
        def __init__(self, cell: nn.Module) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            state: Any = None
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
            return torch.as_tensor(state[0] if isinstance(state, tuple) else state)

    x = torch.rand(2, 5, 6)
    for layer, cell in ((nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell), (nn.RNN, nn.RNNCell)):
        whole, steps = count(layer(6, 7, batch_first=True), x), count(Stepwise(cell(6, 7)), x)
        assert whole.operations == steps.operations
        assert whole.parameters == steps.parameters
    # by hand: four gates of 7 rows, 6 + 7 inputs and two biases; three sigmoids, two tangents, three products
    lstm = count(nn.LSTM(6, 7, batch_first=True), x).operations
    assert lstm == {"mac": 5 * 28 * 13, "mac_nonzero": 5 * 28 * 13, "mul": 5 * 21, "add": 5 * 56, "function": 5 * 35}
    packed = nn.utils.rnn.pack_padded_sequence

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(6, 7, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.rnn(packed(x, torch.tensor([5, 2]), batch_first=True))[1][0][-1])

    assert count(Packed(), x).operations["mac"] == 7 / 2 * 28 * 13  # seven steps in two samples


def test_hardswish_and_its_kin_by_numbers_that_count() -> None:
    assert count(nn.Hardswish(), torch.rand(2, 5)).operations == {"mul": 10, "add": 5, "compare": 10}
    for layer in (nn.GELU(), nn.Mish(), nn.Softsign(), nn.LogSigmoid(), nn.SELU(), nn.Hardsigmoid(), nn.GLU()):
        bill = count(layer, torch.rand(2, 6))
        assert bill.complete
        assert sum(bill.operations.values()) > 0
    # |x|^2 under four places, and a root of each sum
    assert count(nn.LPPool2d(2, 2), torch.rand(1, 1, 4, 4)).operations == {"add": 12, "function": 20}


class Odd(nn.Module):
    """Weights in a list, parametrised in three ways, pruned, and tied."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.ParameterList([nn.Parameter(torch.rand(8, 4))])
        self.normed = parametrizations.weight_norm(nn.Linear(4, 4))
        self.turned = parametrizations.orthogonal(nn.Linear(4, 4))
        self.pruned = prune.l1_unstructured(nn.Linear(4, 4), "weight", 3)
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.pruned(self.turned(self.normed(x @ self.inside[0])))))


def test_nested_parametrised_pruned_and_tied_weights_are_counted_once() -> None:
    net = Odd()
    bill = count(net, torch.rand(2, 8))
    assert bill.complete
    assert bill.parameters == sum(one.numel() for one in net.parameters()) == 32 + (4 + 16 + 4) + 20 + 20 + 16
    by_name = {row.name: row.parameters for row in bill.rows}
    assert by_name == {"linear": 32, "normed.linear": 24, "turned.linear": 20, "pruned": 20, "first": 16, "second": 0}
    assert bill.operations["mac"] == 32 + 5 * 16  # what makes a weight ready is no part of the answer
    net.first.weight.requires_grad_(False)
    assert {row.name: row.frozen for row in count(net, torch.rand(2, 8)).rows}["first"] == 16


def test_what_is_not_counted_makes_the_total_at_least() -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.gain = nn.Linear(6, 6), nn.Parameter(torch.rand(6))

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(self.linear(x) * self.gain).real

    bill = count(Strange(), torch.rand(2, 6))
    assert not bill.complete
    assert bill.uncounted == ("fft_fft",)
    assert bill.parameters == 48
    assert bill.as_dict()["complete"] is False
    assert next(row for row in bill.rows if row.kind == "not counted").operations == {}
    for text in (str(bill), repr(bill), bill._repr_html_()):
        assert "at least" in text
    whole = count(nn.Linear(6, 6), torch.rand(2, 6))
    assert "at least" not in str(whole) + repr(whole) + whole._repr_html_()
    assert whole.complete


def test_several_inputs_whole_numbers_and_models_without_data() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.left, self.right = nn.Embedding(9, 4), nn.Linear(4, 3), nn.Linear(5, 3)

        def forward(self, words: Tensor, picture: Tensor) -> Tensor:
            return self.left(self.words(words).mean(1)) + self.right(picture)

    words, picture = torch.randint(0, 9, (3, 6)), torch.rand(3, 5)
    bill = count(Two(), (words, picture), batch_size=2)
    assert bill.samples == 3
    assert bill.operations["mac"] == 12 + 15
    assert bill.parameters == 36 + 15 + 18
    assert count(Two(), {"picture": picture, "words": words}).operations == bill.operations
    with pytest.raises(ConfigError, match=r"takes 2 inputs \(words, picture\), count got 1"):
        count(Two(), words)
    with pytest.raises(ShapeError, match="same number of samples"):
        count(Two(), (words, picture[:2]))
    with pytest.raises(DataError, match="at least one input"):
        count(Two(), ())
    bare = count(Two().to("meta"), (words, picture))
    assert bare.operations["mac"] == 27
    assert "mac_nonzero" not in bare.operations
    assert bare.parameters == bill.parameters
    assert bare.memory == bill.memory
    with pytest.raises(ShapeError, match=r"x\.float\(\) / 255"):
        count(nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 5, 5, dtype=torch.uint8))
    with pytest.raises(ConfigError, match="meta"):
        count(SpikingMLP([4, 3, 2], steps=2).to("meta"), torch.rand(1, 4))


class LastStep(nn.Module):
    """The recurrent net of the report: time first, the last step read out."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.rnn, self.head, self.options = nn.GRU(6, 7, **options), nn.Linear(7, 4), options

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)
        return self.head(out[:, -1] if self.options else out[-1])


def test_time_is_read_from_the_layers_that_know_it() -> None:
    # 9 steps of 3 * 7 * (6 + 7) = 273, and 7 * 4
    assert 9 * 273 + 28 == 2485
    for samples in (1, 3):
        assert count(LastStep(), torch.rand(9, samples, 6)).operations["mac"] == 2485
        assert count(LastStep(batch_first=True), torch.rand(samples, 9, 6)).operations["mac"] == 2485
    bill = count(LastStep(), torch.rand(9, 3, 6))
    assert bill.samples == 3
    assert {row.name: row.output for row in bill.rows} == {"rnn": (9, 7), "head": (4,)}


def test_attention_and_cells_that_take_time_first_and_what_cannot_be_known() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.TransformerEncoderLayer(6, 2, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).mean(0)

    assert count(Reader(), torch.rand(9, 2, 6)).samples == 2

    class Cells(nn.Module):
        def __init__(self, axis: int) -> None:
            super().__init__()
            self.cell, self.axis = nn.GRUCell(6, 7), axis

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for one in x.unbind(self.axis):
                state = self.cell(one, state)
            return torch.as_tensor(state)

    assert count(Cells(0), torch.rand(9, 2, 6)).operations["mac"] == 2457
    assert count(Cells(1), torch.rand(2, 9, 6)).operations["mac"] == 2457

    class Fixed(LastStep):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x.reshape(9, -1, 6)[:, :9])[0][-1])

    assert count(Fixed(), torch.rand(9, 2, 6)).operations["mac"] == 2485
    with pytest.raises(ConfigError, match="give time=0"):
        count(Fixed(), torch.rand(9, 9, 6))
    assert count(Fixed(), torch.rand(9, 9, 6), time=0).operations["mac"] == 2485
    with pytest.raises(ConfigError, match="axis of the input"):
        count(Fixed(), torch.rand(9, 9, 6), time=7)
    with pytest.raises(ShapeError, match="one sequence without samples"):
        count(nn.GRU(6, 7), torch.rand(9, 6))


def test_the_first_layer_behind_the_direct_encoder_is_billed_once_as_the_rule_says() -> None:
    for steps in (1, 6):
        bill = count(SpikingMLP([16, 8, 4], steps=steps, encoder=Direct()), torch.rand(3, 1, 4, 4))
        assert bill.operations["mac"] == 16 * 8
        convolved = SpikingConvNet("4C3-P2-8", shape=(1, 8, 8), steps=steps, encoder=Direct())
        rows = count(convolved, torch.rand(2, 1, 8, 8)).rows
        # 36 places of 4 planes and 9 weights once; 36 pooled counts into 8 neurons at every step
        assert [row.operations["mac"] for row in rows if "mac" in row.operations] == [36 * 4 * 9, steps * 36 * 8]
    assert "direct encoder" in bill.rule
    assert "computed once and billed once" in bill.rule
