"""Nets with an energy: own units, and overridden methods of a layer or of a belief net, count while they learn.

The fused steps of contrastive divergence and of the up-down algorithm are written for plain binary units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.energy.units import BernoulliUnits, are_plain_binary
from threegen.gen2.dbn import DBN, AssociativeMemory
from threegen.gen2.rbm import RBM
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.wake_sleep import WakeSleep
from threegen.training.fit import fit

PIXELS = torch.rand(20, 12, generator=make_generator("pixels")).round()
LABELS = torch.arange(20) % 3


@dataclass(frozen=True)
class Steep(BernoulliUnits):
    """Units with twice the slope."""

    def mean(self, x: Tensor) -> Tensor:
        return torch.sigmoid(2 * x)


@dataclass(frozen=True)
class Named(BernoulliUnits):
    """Plain units with a property more."""

    name: str = "pixels"


@dataclass(frozen=True)
class Costly(BernoulliUnits):
    """Units with an energy of their own."""

    def own_energy(self, states: Tensor) -> Tensor:
        return states.sum(-1)


def test_which_units_are_plain() -> None:
    assert are_plain_binary(BernoulliUnits(3))
    assert are_plain_binary(Named(3))
    assert not are_plain_binary(Steep(3))
    assert not are_plain_binary(None)


@pytest.mark.parametrize("layer", ["visible_units", "hidden_units"])
def test_own_units_of_an_rbm_learn_as_by_the_plain_rule(layer: str) -> None:
    def trained(backend: str, kind: type[BernoulliUnits]) -> RBM:
        rbm = RBM(12, 8, init=0.5, generator=make_generator("own units"))
        setattr(rbm, layer, kind(getattr(rbm, layer).size))
        fit(rbm, ContrastiveDivergence(2, backend=backend), (PIXELS, LABELS), lr=0.1, batch_size=5, epochs=2, seed=1)
        return rbm

    own, plain, usual = trained("auto", Steep), trained("plain", Steep), trained("auto", BernoulliUnits)
    assert torch.allclose(own.weight, plain.weight, atol=1e-6)
    assert not torch.allclose(own.weight, usual.weight, atol=1e-3)
    assert torch.allclose(trained("auto", Named).weight, usual.weight, atol=0)
    if layer == "hidden_units":
        with pytest.raises(ConfigError, match="the hidden units are not plain binary ones"):
            trained("fused", Steep)


def test_units_with_an_own_energy_are_not_enumerated() -> None:
    rbm = RBM(4, 3, init=0.5, generator=make_generator("z"))
    assert float(rbm.log_partition()) > 0
    rbm.visible_units, rbm.hidden_units = Costly(4), Costly(3)
    with pytest.raises(ConfigError, match="exact enumeration needs"):
        rbm.log_partition(method="exact")


# -- the up-down algorithm -----------------------------------------------------------------------------------------


class OwnBelow(DBN):
    def below(self, number: int, upper: Tensor) -> Tensor:
        return super().below(number, upper) * 0.5


class OwnLayer(RBM):
    def hidden_given_visible(self, states: Tensor) -> Tensor:
        return super().hidden_given_visible(states) * 0.5


class OwnTop(AssociativeMemory):
    def visible_given_hidden(self, states: Tensor) -> Tensor:
        return super().visible_given_hidden(states) * 0.5


def own_class(part: Any, kind: type) -> None:
    part.__class__ = kind


CHANGES: dict[str, Callable[[Any], None]] = {
    "nothing": lambda net: None,
    "below": lambda net: own_class(net, OwnBelow),
    "a layer": lambda net: own_class(net.layers[0], OwnLayer),
    "the memory": lambda net: own_class(net.top, OwnTop),
    "the input's units": lambda net: setattr(net.layers[0], "visible_units", Steep(12)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_replaced_in_a_belief_net_counts_while_it_learns(change: str) -> None:
    def trained(changed: str, fused: bool) -> DBN:
        net = DBN([12, 8, 6], classes=3, generator=make_generator("own net"))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_(0, 0.5, generator=make_generator("weights"))
        CHANGES[changed](net)
        rule, generator = WakeSleep(2, rate=0.2, fused=fused), make_generator("draws")
        optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
        for _ in range(2):
            for step in rule(net, Batch(PIXELS, LABELS), generator):
                if step.pending:
                    optimizer.step()
                    optimizer.zero_grad()
        return net

    own, plain = trained(change, True), trained(change, False)
    for ours, other in zip(own.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, other, atol=1e-5)
    usual = trained("nothing", True)
    moved = [not torch.allclose(a, b, atol=1e-3) for a, b in zip(own.parameters(), usual.parameters(), strict=True)]
    assert any(moved) == (change != "nothing")
