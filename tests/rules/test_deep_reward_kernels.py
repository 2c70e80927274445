"""Kernels of layers that fire at most once against plain tensors: the same winners, weights and rates in all bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.plasticity import decision_bounds
from threegen.functional.plasticity.whole_sums import whole_bits, whole_weights
from threegen.gen3.ordered_conv import DecisionConv, OrderedConv
from threegen.machine.threads import use_threads
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.rule import PlainSGD, Rule

STEPS = 6


def drawn_times(count: int, channels: int, size: int, seed: int = 0, active: float = 0.4) -> Tensor:
    """Spike times as bytes; about `active` of the inputs fire, and one example is silent."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.randint(0, STEPS, (count, channels, size, size), generator=generator)
    fired = torch.rand(count, channels, size, size, generator=generator) < active
    fired[count // 2] = False
    return torch.where(fired, times, STEPS).to(torch.uint8)


def train_plainly(layer: OrderedConv, rule: Rule, batch: Batch) -> list[dict[str, float]]:
    """Walk a rule's updates with SGD of rate 1, as `fit` does."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    figures = []
    for step in rule(layer, batch, torch.Generator()):
        assert step.pending
        optimizer.step()
        optimizer.zero_grad()
        layer.project()
        figures.append({name: float(value) for name, value in step.figures.items()})
    return figures


def train_by_kernel(layer: OrderedConv, rule: Rule, batch: Batch) -> dict[str, float]:
    rule.hand_over(PlainSGD([{"lr": 1.0}]))
    (step,) = list(rule(layer, batch, torch.Generator()))
    assert not step.pending
    return {name: float(value) for name, value in step.figures.items()}


def order_layer(radius: int = 1, padding: int = 1, stabiliser: bool = True) -> tuple[OrderedConv, OrderBasedSTDP]:
    generator = torch.Generator().manual_seed(1)
    layer = OrderedConv(
        3,
        7,
        3,
        steps=STEPS,
        padding=padding,
        threshold=4.0,
        winners=3,
        radius=radius,
        strict=True,
        generator=generator,
    )
    return layer, OrderBasedSTDP(double_every=5, stabiliser=stabiliser)


@pytest.mark.parametrize(("radius", "padding", "stabiliser"), [(0, 0, True), (1, 1, True), (2, 2, False)])
def test_order_rule(radius: int, padding: int, stabiliser: bool) -> None:
    times = drawn_times(40, 3, 8)
    (plain, slow), (quick, fast) = (order_layer(radius, padding, stabiliser) for _ in range(2))
    figures = train_plainly(plain, slow, Batch(times))
    found = train_by_kernel(quick, fast, Batch(times))
    assert found["winners"] == pytest.approx(np.mean([one["winners"] for one in figures]))
    assert torch.equal(plain.weight, quick.weight)
    assert not torch.equal(plain.weight, order_layer(radius, padding)[0].weight)
    assert slow.state_dict() == fast.state_dict()


def test_ties_go_to_the_first_map_and_place() -> None:
    """Equal weights: every potential is a tie."""
    times = drawn_times(12, 3, 8)
    (plain, slow), (quick, fast) = order_layer(), order_layer()
    for layer in (plain, quick):
        with torch.no_grad():
            layer.weight.fill_(1.0)
    train_plainly(plain, slow, Batch(times))
    train_by_kernel(quick, fast, Batch(times))
    assert torch.equal(plain.weight, quick.weight)


def test_times_of_all_neurons_and_pools() -> None:
    from threegen.gen3.single_spikes import pooled_times

    layer, _ = order_layer()
    times = drawn_times(5, 3, 8)
    plain = layer.fire(times.long())[0]
    assert torch.equal(pooled_times(layer, times, 1).long(), plain)
    for pool, whole in ((2, False), (3, False), (3, True)):
        expected = -torch.nn.functional.max_pool2d(-plain.double(), pool, ceil_mode=whole)
        assert torch.equal(pooled_times(layer, times, pool, whole).double(), expected)
    assert int((plain < STEPS).sum()) > 100


def decision(seed: int = 2) -> DecisionConv:
    generator = torch.Generator().manual_seed(seed)
    return DecisionConv(9, 12, 3, classes=4, steps=STEPS, padding=1, strict=True, generator=generator)


def decision_batch(count: int = 60) -> Batch:
    times = drawn_times(count, 9, 4, seed=3)
    targets = torch.randint(0, 4, (count,), generator=torch.Generator().manual_seed(4))
    return Batch(times, targets)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stabiliser": True},
        {"tries": 2, "floor": 0.1},
        {"margin": 1.5},
        {"margin": 0.5, "tries": 2, "adaptive": False},
        {"margin": 1000.0},
    ],
    ids=str,
)
def test_reward_rule(options: dict[str, Any]) -> None:
    """Three passes, so that bounds are used again; the plain layer sums whole images in float64, which is exact."""
    batch = decision_batch()
    rules = [RewardSTDP(4, window=25, first_shares=(1.0, 1.0), rate=1.5, **options) for _ in range(2)]
    plain, quick = decision(), decision()
    for _ in range(3):
        figures = train_plainly(plain, rules[0], batch)
        found = train_by_kernel(quick, rules[1], batch)
        first = [one["reward"] for one in figures if "reward" in one]
        assert found["reward"] == pytest.approx(np.mean(first))
        assert found["answered"] == pytest.approx(59 / 60)
        assert ("tries" in options) == (len(figures) > len(first))
    assert torch.equal(plain.weight, quick.weight)
    one, other = (rule.state_dict() for rule in rules)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_equal_potentials_and_empty_images_are_decided_alike() -> None:
    batch = decision_batch()
    plain, quick = decision(), decision()
    for layer in (plain, quick):
        with torch.no_grad():
            layer.weight.fill_(0.5)
    train_plainly(plain, RewardSTDP(4), batch)
    train_by_kernel(quick, RewardSTDP(4), batch)
    assert torch.equal(plain.weight, quick.weight)


def test_a_margin_by_hand() -> None:
    """Two classes of one map each, three inputs; potentials .5 + .5 = 1 and .25 + .5 = .75, so the lead is .25."""
    first = torch.tensor([[0.5, 0.5, 0.5], [0.25, 0.5, 0.5]]).view(2, 3, 1, 1)
    batch = Batch(torch.tensor([0, 3, STEPS], dtype=torch.uint8).view(1, 3, 1, 1), torch.tensor([0]))
    moved = torch.tensor([[0.125, 0.125, -0.0625], [-0.25, -0.25, 0.03125]]).view(2, 3, 1, 1)
    for margin, target, change in (
        (0.25, 0, torch.zeros(2, 3, 1, 1)),
        (0.5, 0, moved),
        (0.5, 1, torch.tensor([[-0.25, -0.25, 0.03125], [0.0, 0.0, 0.0]]).view(2, 3, 1, 1)),
    ):
        for train in (train_plainly, train_by_kernel):
            layer = DecisionConv(3, 2, 1, classes=2, steps=STEPS, bounds=(0.0, 1.0), strict=True)
            with torch.no_grad():
                layer.weight.copy_(first)
            rule = RewardSTDP(2, reward=(0.125, 0.0625), punish=(0.25, 0.03125), adaptive=False, margin=margin, tries=0)
            train(layer, rule, Batch(batch.inputs, torch.tensor([target])))
            assert torch.equal(layer.weight, first + change)


def test_a_margin_needs_potentials_of_the_last_step() -> None:
    rule = RewardSTDP(4, margin=1.0)
    layer = DecisionConv(9, 12, 3, classes=4, steps=STEPS, threshold=5.0)
    with pytest.raises(ConfigError, match="threshold=inf"):
        rule.check(layer)
    with pytest.raises(ConfigError, match="runner_up"):
        rule.check(OrderedConv(9, 12, 3, steps=STEPS))
    with pytest.raises(ConfigError, match="margin"):
        RewardSTDP(4, margin=-1.0)


def test_dropped_maps_are_no_rivals() -> None:
    layer, times = decision(), decision_batch().inputs[0].long()
    winner = layer.compete(times)[0]
    rival = layer.runner_up(times, winner, 1000.0)
    assert rival is not None
    assert rival.feature // 3 != winner.feature // 3
    layer.dropped[rival.feature] = True
    other = layer.runner_up(times, winner, 1000.0)
    assert other is not None
    assert other.feature != rival.feature
    assert layer.runner_up(times, winner, 1e-9) is None


def test_bounds_are_used_and_change_nothing() -> None:
    """With fewer sums than there are neurons; batches of other sizes and an empty store give the same bits."""
    batch = decision_batch(120)
    ends = []
    for size, forget in ((120, False), (40, False), (40, True)):
        layer, rule = decision(), RewardSTDP(4, reward=(0.0004, 0.0003), punish=(0.0004, 0.00005), adaptive=False)
        for _ in range(4):
            for start in range(0, 120, size):
                part = slice(start, start + size)
                assert batch.targets is not None
                found = train_by_kernel(layer, rule, Batch(batch.inputs[part], batch.targets[part]))
                if forget:
                    rule._store.held.clear()
        assert found["sums"] < 12 * 16 / 2
        ends.append(layer.weight.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_one_core_and_two_give_the_same_bits() -> None:
    ends = []
    for threads in (1, 2):
        with use_threads(threads):
            layer, rule = decision(), RewardSTDP(4)
            train_by_kernel(layer, rule, decision_batch())
            below, order = order_layer()
            train_by_kernel(below, order, Batch(drawn_times(40, 3, 8)))
            ends.append((layer.weight.detach().clone(), below.weight.detach().clone()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert torch.equal(ends[0][1], ends[1][1])


def test_answers_without_learning_are_those_of_the_layer() -> None:
    layer, batch = decision(), decision_batch()
    before = layer.weight.detach().clone()
    winners = decision_bounds.answers(layer.weight, (batch.inputs < STEPS).to(torch.uint8), layer.padding)
    scores = layer(batch.inputs)
    silent = winners < 0
    assert int(silent.sum()) == 1
    assert torch.equal(scores.argmax(1)[~silent], (winners // 16 // 3)[~silent])
    assert torch.equal(layer.weight, before)


def test_the_store_forgets_the_oldest_batches() -> None:
    store = decision_bounds.BoundsStore(most=1)
    layer, rule = decision(), RewardSTDP(4)
    rule._store = store
    for seed in range(3):
        train_by_kernel(layer, rule, Batch(drawn_times(10, 9, 4, seed=seed), torch.zeros(10, dtype=torch.int64)))
    assert len(store.held) == 1


def test_other_optimisers_and_layers_take_the_plain_way() -> None:
    layer, rule = decision(), RewardSTDP(4)
    rule.hand_over(PlainSGD([{"lr": 0.5}]))
    assert next(iter(rule(layer, decision_batch(), torch.Generator()))).pending
    rule.hand_over(PlainSGD([{"lr": 1.0}]))
    layer.strict = False
    assert next(iter(rule(layer, decision_batch(), torch.Generator()))).pending


def test_whole_weights_fit_into_32_bits() -> None:
    assert whole_bits(270) == 22
    assert whole_bits(1) == 24
    weight = torch.ones(2, 30, 3, 3)
    whole, unit = whole_weights(weight)
    assert whole.sum((1, 2, 3)).tolist() == [270 * 2.0**22] * 2
    assert unit == 2.0**-22
    assert 270 * 2**22 < 2**31
