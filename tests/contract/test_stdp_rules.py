"""The rules of spike timing under the contract of `rules/rule.py`. They have no objective, so there is no oracle.

The toy problem of those without labels: the first four of eight inputs fire together, and one neuron must end with more
weight on them than on the four that fire at random. With labels: two groups of inputs, two neurons, one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from threegen.datasets.batches import Batch
from threegen.gen3.ordered_conv import DecisionConv, OrderedConv
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.exponential_stdp import ExponentialSTDP
from threegen.rules.mstdp import MSTDP
from threegen.rules.mstdpet import MSTDPET
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.pair_stdp import PairSTDP
from threegen.rules.post_pre import PostPre
from threegen.rules.power_law_stdp import PowerLawSTDP
from threegen.rules.reward import SpikeCritic
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.rule import Rule
from threegen.rules.symmetric_stdp import SymmetricSTDP
from threegen.rules.triplet_stdp import TripletSTDP
from threegen.testing import check_rule

STEPS = 12


def together(examples: int = 3) -> Batch:
    """Trains [B, T, 8]: inputs 0 to 3 fire together every five steps, 4 to 7 at random and as often."""
    generator = torch.Generator().manual_seed(0)
    trains = (torch.rand(examples, STEPS, 8, generator=generator) < 0.2).float()
    trains[:, :, :4] = 0
    trains[:, 2::5, :4] = 1
    return Batch(trains)


def two_groups(examples: int = 4) -> Batch:
    """Trains [B, T, 8] and labels: inputs 0 to 3 fire at random for class 0, 4 to 7 for class 1."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(examples) % 2
    trains = (torch.rand(examples, STEPS, 8, generator=generator) < 0.4).float()
    lit = (torch.arange(8) // 4) == labels[:, None]
    return Batch(trains * lit[:, None], labels)


def layer(neurons: int, **settings: Any) -> Callable[[torch.Generator], nn.Module]:
    def make(generator: torch.Generator) -> nn.Module:
        return PlasticLayer(8, neurons, tau=5.0, threshold=0.8, w_start=0.6, generator=generator, **settings)

    return make


def prefers_the_group(model: Any, batch: Batch) -> bool:
    weight = model.weight.detach()
    return bool(weight[:, :4].mean() > weight[:, 4:].mean() + 0.2)


def silent(model: nn.Module, batch: Batch) -> Batch:
    return Batch(torch.zeros_like(batch.inputs), batch.targets)


ONE = layer(1, theta_plus=0.02, theta_tau=1000.0)
UNSUPERVISED: dict[str, Callable[[], Rule]] = {
    "pair, plain": lambda: PairSTDP(0.02, 0.03, backend="plain"),
    "pair, fused": lambda: PairSTDP(0.02, 0.03, backend="fused"),
    "post-pre, plain": lambda: PostPre(0.02, 0.02, tau_pre=3.0, backend="plain"),
    "post-pre, fused": lambda: PostPre(0.02, 0.02, tau_pre=3.0, backend="fused"),
    "triplet, plain": lambda: TripletSTDP(0.0, 0.02, 0.02, 0.0, backend="plain"),
    "triplet, fused": lambda: TripletSTDP(0.0, 0.02, 0.02, 0.0, backend="fused"),
    "power law": lambda: PowerLawSTDP(0.05, target=0.6, tau=3.0),
    "exponential": lambda: ExponentialSTDP(0.05, target=0.6, tau=3.0),
    "symmetric": lambda: SymmetricSTDP(0.005, 0.05, target=0.6, tau=3.0),
}


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_rule_without_labels_keeps_the_contract(name: str) -> None:
    ran = check_rule(UNSUPERVISED[name], ONE, together(), rate=1.0, quiet=silent, learnt=prefers_the_group, passes=40)
    assert len(ran) == 13


@pytest.mark.parametrize(
    "rule", [lambda: MSTDP(SpikeCritic(2), 0.02), lambda: MSTDPET(SpikeCritic(2, delay=3), 0.2, tau_z=5.0)]
)
def test_rule_with_reward_keeps_the_contract(rule: Callable[[], Rule]) -> None:
    ran = check_rule(rule, layer(2, inhibition=0.5), two_groups(), rate=1.0, quiet=silent, passes=40)
    assert len(ran) == 14


def corners(labels: bool) -> Batch:
    """Spike times [B, 1, 4, 4], 5 for never: the upper left or the lower right corner is early, all else late or never.

    A third of the places changes from example to example.
    """
    generator = torch.Generator().manual_seed(0)
    which = torch.arange(6) % 2
    times = torch.randint(3, 6, (6, 1, 4, 4), generator=generator).float()
    times[which == 0, :, :2, :2] = 0.0
    times[which == 1, :, 2:, 2:] = 0.0
    return Batch(times, which if labels else None)


def never(model: Any, batch: Batch) -> Batch:
    return Batch(torch.full_like(batch.inputs, float(model.steps)), batch.targets)


def knows_a_corner(model: Any, batch: Batch) -> bool:
    """Two features, one for each corner: near 1 there and near 0 elsewhere."""
    weight = model.weight.detach()[:, 0]
    first = (weight[:, :2, :2].mean((1, 2)) - weight[:, 2:, 2:].mean((1, 2))).sort().values
    return bool(first[0] < -0.5 and first[1] > 0.5)


def test_order_based_stdp_keeps_the_contract() -> None:
    def make(generator: torch.Generator) -> nn.Module:
        return OrderedConv(1, 2, 4, steps=5, threshold=2.5, w_mean=0.7, w_deviation=0.1, generator=generator)

    rule = lambda: OrderBasedSTDP(0.1, double_every=4, most=0.2)  # noqa: E731
    ran = check_rule(rule, make, corners(False), rate=1.0, quiet=never, learnt=knows_a_corner, passes=60)
    assert len(ran) == 13


def test_reward_stdp_keeps_the_contract() -> None:
    def make(generator: torch.Generator) -> nn.Module:
        return DecisionConv(1, 2, 4, classes=2, steps=5, generator=generator, w_mean=0.5)

    rule = lambda: RewardSTDP(2, reward=(0.02, 0.02), punish=(0.02, 0.02), window=4)  # noqa: E731
    ran = check_rule(rule, make, corners(True), rate=1.0, quiet=never, passes=60)
    assert len(ran) == 14
