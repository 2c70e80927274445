"""The comparison card: every figure of two tiny networks by hand, and what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import threegen as tg
from threegen.cost.compare import COUNTS
from threegen.cost.energy_tables import ENERGY_TABLES, EnergyTable
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.gen3.neurons import LIF
from threegen.report.comparing import Card
from threegen.training.evaluate import evaluate

# Four recordings [B, T, 3] of two steps and three pixels; 1, 2, 3 and 2 events, 2 on average.
EVENTS = torch.tensor(
    [
        [[1.0, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [1, 0, 0]],
        [[0, 1, 1], [0, 0, 1]],
        [[0, 0, 1], [0, 0, 1]],
    ]
)
LABELS = torch.tensor([0, 0, 1, 0])
TOWARDS = torch.tensor([[1.0, 0, 0], [0, 1, 1]])  # pixel 0 speaks for class 0, the others for class 1


class Frames(nn.Module):
    """A conventional network: all steps at once through one layer [6] -> [2] with a bias."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.cat([TOWARDS, TOWARDS], 1))
            self.layer.bias.copy_(torch.tensor([bias, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layer(x.flatten(1)))


class Spikes(nn.Module):
    """A spiking network: neurons that hand their input on, then one layer [3] -> [2], summed over the two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons = LIF(decay=0.0)
        self.layer = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(TOWARDS)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.neurons(x.transpose(0, 1))
        return torch.as_tensor(self.layer(spikes).sum(0))


ROUND = EnergyTable("round", "round numbers", "none", accumulate=1.0, multiply=10.0, byte=0.5)
CHIP = EnergyTable("chip", "a chip of events", "none", accumulate=2.0, neuron_update=3.0)


@pytest.fixture(scope="module")
def card() -> Card:
    # The bias of 3 towards class 0 makes the conventional network err on another example than the spiking one.
    return tg.compare({"ann": Frames(3.0), "snn": Spikes()}, (EVENTS, LABELS), tables=[ROUND, CHIP])


def test_accuracy_is_that_of_evaluate_and_of_the_hand(card: Card) -> None:
    # snn: scores (1,0) (2,0) (0,3) (0,2): right, right, right, wrong. ann adds 3: (4,0) (5,0) (3,3) (3,2), a tie goes
    # to class 0: right, right, wrong, right.
    assert card["ann"].right.tolist() == [True, True, False, True]
    assert card["snn"].right.tolist() == [True, True, True, False]
    found = evaluate(Spikes(), (EVENTS, LABELS))
    assert card["snn"].evaluation.interval == found.interval
    assert card["snn"].evaluation.accuracy == 0.75


def test_the_pair_by_hand(card: Card) -> None:
    pair = card.pair("snn", "ann")
    assert (pair.first, pair.second) == ("ann", "snn")
    assert (pair.both, pair.only_first, pair.only_second, pair.neither) == (2, 1, 1, 0)
    assert pair.p == pair.adjusted == 1.0  # one against one
    assert not pair.significant


def test_memory_by_kind(card: Card) -> None:
    # ann: 12 weights, 2 biases, 2 outputs. snn: 6 weights, 3 potentials, and on average over the four recordings the
    # busiest step has 1, 1, 2 and 1 spikes: 1.25 bits, which is a byte begun.
    assert card["ann"].bill.memory == {"weights": 56, "activations": 8, "potentials": 0, "spikes": 0, "total": 64}
    memory = card["snn"].bill.memory
    assert (memory["weights"], memory["potentials"], memory["spikes"]) == (24, 12, 1)


def test_operations_in_every_way_of_counting(card: Card) -> None:
    # ann: 6 inputs x 2 outputs, 2 biases; 2 of the inputs are not zero on average.
    assert card["ann"].counts == {
        "layers": 12 + 12 + 2,
        "layers_nonzero": 4 + 4 + 2,
        "synaptic": 12,
        "synaptic_nonzero": 4,
        "events": 12,
        "events_nonzero": 4,
        "all": 26,
        "all_nonzero": 10,
    }
    # snn: 2 spikes x 2 outputs; the sum of two steps, 2 classes; 3 neurons x 2 steps compared, 2 resets.
    assert card["snn"].counts == {
        "layers": 4 + 2,
        "layers_nonzero": 6,
        "synaptic": 4,
        "synaptic_nonzero": 4,
        "events": 4,
        "events_nonzero": 4,
        "all": 6 + 6 + 2,
        "all_nonzero": 14,
    }
    assert card["snn"].bill.steps == 2
    assert card["snn"].spikes == 2
    assert card["snn"].encoder_share == 0.0


class Pooled(nn.Module):
    """A spiking network that adds up pixels 1 and 2 before its layer [2] -> [2]."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons = LIF(decay=0.0)
        self.layer = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.neurons(x.transpose(0, 1)[..., 1:].unflatten(-1, (1, 2)))
        pooled = F.avg_pool1d(spikes.flatten(0, 1), 2).unflatten(0, spikes.shape[:2]).flatten(2)
        return torch.as_tensor(self.layer(pooled.expand(-1, -1, 2)).sum(0))


def test_pooled_spikes_are_counted_in_both_ways() -> None:
    """Pixels 1 and 2 have 0, 0, 3 and 2 spikes; both inputs of the layer are their mean, two steps, two outputs."""
    card = tg.compare({"ann": Frames(), "pooled": Pooled()}, (EVENTS, LABELS))
    found = card["pooled"].counts
    spikes, steps_with_spikes = 5 / 4, 4 / 4  # the third recording has 2 spikes and 1, the fourth 1 and 1
    pool, dense, nonzero = spikes, 2 * 2 * 2, steps_with_spikes * 2 * 2
    one_by_one = spikes * 2 * 2  # each spike to two inputs with two connections
    assert found["synaptic"] == pool + dense
    assert found["synaptic_nonzero"] == pool + nonzero
    assert found["events"] == found["events_nonzero"] == pool + one_by_one
    assert "pooled spikes one by one" in repr(card)
    assert (
        "pooled spikes"
        not in repr(tg.compare({"ann": Frames(), "snn": Spikes()}, (EVENTS, LABELS))).partition("How")[0]
    )


def test_energy_is_the_counts_times_the_table(card: Card) -> None:
    ann, chip = card["ann"].energy
    assert ann.compute == pytest.approx((12 * 10 + 14) * 1e-12)
    assert ann.compute_nonzero == pytest.approx((4 * 10 + 6) * 1e-12)
    # least: 12 weights of 4 bytes; 2 outputs written and read. The biases are not used by a product.
    assert ann.memory_least == pytest.approx(0.5 * (12 * 4 + 2 * 8) * 1e-12)
    assert ann.memory_most == pytest.approx(0.5 * (12 * 4 + 2 * 8) * 1e-12)
    assert chip.compute is None
    assert "multiplications" in chip.why
    snn, chip = card["snn"].energy
    assert snn.compute == snn.compute_nonzero == pytest.approx((4 + 2 + 6 + 2) * 1e-12)
    outputs = card["snn"].bill.memory["activations"]
    traffic = 4 * 4 + 2 * (outputs + 2 * 12) + 2 * 2 / 8  # 4 weights, potentials of two steps, 2 spikes of a bit
    assert snn.memory_least == snn.memory_most == pytest.approx(0.5 * traffic * 1e-12)
    assert chip.compute == pytest.approx((2 * (4 + 2) + 3 * 6) * 1e-12)
    assert chip.memory_least == 0.0


def test_the_published_tables_name_their_sources() -> None:
    # Horowitz 2014: a multiply-accumulate of 32-bit floats takes 3.7 + 0.9 = 4.6 pJ, an accumulate 0.9 pJ.
    first = ENERGY_TABLES[0]
    assert first.multiply is not None
    assert first.multiply + first.accumulate == pytest.approx(4.6)
    assert {table.name for table in ENERGY_TABLES} >= {"45nm-float32-dram", "loihi", "truenorth", "spinnaker"}
    assert all("20" in table.source for table in ENERGY_TABLES)


def test_the_card_of_the_net_with_1_116_416_multiply_accumulates() -> None:
    """16C5-BN-AP2-32C5-BN-AP2-128-10: 24*24*16*25 + 8*8*32*16*25 + 512*128 + 128*10."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = torch.rand(6, 1, 28, 28), torch.arange(6)
    card = tg.compare({"cnn": net, "mlp": tg.MLP([784, 10])}, (x, y))
    assert card["cnn"].counts["synaptic"] == 1_116_416
    assert card.reference == "cnn"
    assert card.as_dict()["models"][1]["ratios"]["counts"]["synaptic"] == 7_840 / 1_116_416


# -- the verdict -------------------------------------------------------------------------------------------------------
def test_the_verdict_follows_its_rule(card: Card) -> None:
    # snn: fewer by four counts, 4 = 4 synaptic operations with zeros skipped, and 14 > 10 of all with zeros skipped.
    [said] = card.verdict
    assert (said.model, said.outcome) == ("snn", "depends")
    assert "depends on the count" in said.headline
    assert "more by all operations with zeros skipped (1.4 times)" in said.reasons
    assert "equal by synaptic operations with zeros skipped" in said.reasons


def net(*sizes: int) -> nn.Module:
    return tg.MLP(list(sizes))


class Unpriced(nn.Module):
    """Calls a function that has no price."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


@pytest.mark.parametrize(
    ("model", "outcome", "words"),
    [
        (lambda: net(4, 3), "cheaper", "other is cheaper in compute than ann and not measurably different"),
        (lambda: net(4, 9, 3), "more expensive", "ann is cheaper in compute than other and not measurably different"),
        (lambda: net(4, 5, 3), "equal", "other and ann need the same operations"),
        (lambda: nn.Sequential(nn.Linear(4, 3), Unpriced()), "unknown", "cannot be said"),
    ],
)
def test_verdicts(model: Callable[[], nn.Module], outcome: str, words: str) -> None:
    x, y = torch.rand(9, 4, generator=torch.Generator().manual_seed(0)) + 0.1, torch.arange(9) % 3
    torch.manual_seed(0)
    ann = net(4, 5, 3)
    with torch.no_grad():  # all hidden units fire in all nets, so that zeros are the same
        other = model()
        for one in (ann, other):
            for weights in one.parameters():
                weights.abs_()
    [said] = tg.compare({"ann": ann, "other": other}, (x, y)).verdict
    assert said.outcome == outcome
    assert words in said.headline


def test_a_measured_difference_is_said() -> None:
    x = torch.eye(2).repeat(10, 1)
    right, wrong = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        right.weight.copy_(torch.eye(2))
        wrong.weight.copy_(1 - torch.eye(2))
    card = tg.compare({"right": right, "wrong": wrong}, (x, torch.arange(20) % 2))
    assert card.pairs[0].p == 2 / 2**20  # twenty coins, all the same side
    assert card.verdict[0].headline == "wrong and right need the same operations; wrong is less accurate."


# -- what it promises --------------------------------------------------------------------------------------------------
def test_all_is_plain_data(card: Card) -> None:
    found = json.loads(json.dumps(card.as_dict(), allow_nan=False))
    assert [model["name"] for model in found["models"]] == ["ann", "snn"]
    assert found["models"][1]["compute"]["additions"] == 6
    assert found["models"][1]["ratios"]["counts"] == {
        name: card["snn"].counts[name] / card["ann"].counts[name] for name in COUNTS
    }
    assert found["pairs"][0]["p"] == 1.0
    assert found["rules"]["counting"] == card["ann"].bill.rule
    assert found["energy_tables"][0]["source"] == "none"


def test_the_table_prints_figures_ratios_and_rules(card: Card) -> None:
    text = repr(card)
    for wanted in (
        "ann (Frames), snn (Spikes) on data, 4 examples; ratios are to ann",
        "75.00 %",
        "6 (0.23x)",  # 6 of 26
        "membrane potentials M_p",
        "time steps T",
        "Energy estimate: round numbers",
        "McNemar's exact test on the same examples",
        "not shown",
    ):
        assert wanted in text, wanted
    assert " ".join(card["ann"].bill.rule.split()) in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 110
    assert "<table>" in card._repr_html_()


def test_spiking_models_are_not_the_reference_unless_named() -> None:
    models = {"snn": Spikes(), "ann": Frames()}
    assert tg.compare(models, (EVENTS, LABELS)).reference == "ann"
    assert tg.compare(models, (EVENTS, LABELS), reference="snn").reference == "snn"
    assert tg.compare({"a": Spikes(), "b": Spikes()}, (EVENTS, LABELS)).reference == "a"


def test_a_loader_that_shuffles_shows_every_model_the_same_order() -> None:
    x = torch.rand(40, 4)
    loader = DataLoader(TensorDataset(x, torch.arange(40) % 3), batch_size=7, shuffle=True)
    same = net(4, 3)
    pair = tg.compare({"a": same, "b": same}, loader).pairs[0]
    assert (pair.only_first, pair.only_second) == (0, 0)
    assert pair.both + pair.neither == 40


def test_models_and_generators_are_left_as_they_were() -> None:
    model = tg.MLP([4, 5, 3], dropout=0.5)
    spiking = tg.SpikingMLP([4, 5, 3], steps=3, encoder=tg.Bernoulli())
    before = torch.get_rng_state()
    data = torch.rand(8, 4, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3
    first, second = (tg.compare({"a": model, "b": spiking}, data) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    assert spiking.training
    assert first.as_dict() == second.as_dict()  # random encoders too: the seed is an argument
    assert first["b"].encoder_spikes > 0
    assert 0 < first["b"].encoder_share < 1


# -- what cannot be compared -------------------------------------------------------------------------------------------
X, Y = torch.rand(6, 4), torch.arange(6) % 3


@pytest.mark.parametrize(
    ("models", "data", "options", "error", "words"),
    [
        ({"a": net(4, 3)}, (X, Y), {}, ConfigError, "compare needs at least two models, got 1"),
        ({}, (X, Y), {}, ConfigError, "compare needs at least two models, got 0"),
        ([net(4, 3)], (X, Y), {}, ConfigError, "compare takes models by name, .* got list"),
        ({"a": net(4, 3), "b": 7}, (X, Y), {}, ConfigError, "b must be a torch.nn.Module, got int"),
        ({"a": net(4, 3), "": net(4, 3)}, (X, Y), {}, ConfigError, "name of a model must be a text"),
        ({"a": net(4, 3), "b": tg.RBM(4, 3)}, (X, Y), {}, ConfigError, "b: RBM does not classify"),
        ({"a": net(4, 3), "b": net(4, 5)}, (X, Y), {}, ShapeError, r"different numbers of classes \(a 3, b 5\)"),
        ({"a": net(4, 3), "b": net(4, 1)}, (X, Y), {}, ShapeError, r"b: .* MLP returned \[2, 1\]"),
        ({"a": net(4, 3), "b": net(5, 3)}, (X, Y), {}, ShapeError, r"b: MLP expects \[B, 5\]"),
        ({"a": net(4, 3), "b": nn.Linear(5, 3)}, (X, Y), {}, ShapeError, r"b: Linear cannot take \[2, 4\]"),
        ({"a": net(4, 2), "b": net(4, 2)}, (X, Y), {}, DataError, "label 2 at index 2 is outside 0..1"),
        ({"a": net(4, 3), "b": net(4, 3)}, X, {}, DataError, "no labels"),
        ({"a": net(4, 3), "b": net(4, 3)}, [], {}, DataError, "empty"),
        ({"a": net(4, 3), "b": net(4, 3)}, [(X[:0], Y[:0])], {}, DataError, "empty"),
        ({"a": net(4, 3), "b": net(4, 3)}, [(X,)], {}, DataError, "no labels"),
        ({"a": net(4, 3), "b": net(4, 3)}, (X, Y), {"reference": "c"}, ConfigError, "reference is 'c'.*choose a, b"),
        ({"a": net(4, 3), "b": net(4, 3)}, (X, Y), {"counted": 0}, ConfigError, "counted must be a whole number"),
    ],
)
def test_what_cannot_be_compared(
    models: Any, data: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        tg.compare(models, data, **options)


def test_data_with_a_test_part_are_refused_with_the_way_out() -> None:
    data = tg.Data("own", tg.Dataset.from_arrays(X, Y), tg.Dataset.from_arrays(X, Y))
    with pytest.raises(DataError, match=r"pass data\.test"):
        tg.compare({"a": net(4, 3), "b": net(4, 3)}, data)


def test_unknown_names_of_a_card(card: Card) -> None:
    with pytest.raises(ConfigError, match=r"no model 'anm' \(did you mean 'ann'\?\)"):
        card["anm"]
    with pytest.raises(ConfigError, match="same model"):
        card.pair("ann", "ann")
    with pytest.raises(ConfigError, match="accumulate of the energy table x must be a finite number"):
        EnergyTable("x", "x", "somewhere", accumulate=-1.0)
