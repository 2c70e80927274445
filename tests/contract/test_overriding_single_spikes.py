"""Nets of single spikes: an overridden method, or an own layer, counts in answers, costs, features and learning.

The kernels that compute spike times on the CPU know only layers of the library that sum exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from threegen.datasets.dataset import Dataset
from threegen.gen3.kheradpisheh import Kheradpisheh2018
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.mozafari_2018 import Mozafari2018
from threegen.gen3.ordered_conv import DecisionConv, OrderedConv
from threegen.gen3.parts import Use
from threegen.gen3.single_spikes import fired_at
from threegen.registry.deep_reward import SpikeCache, deep_reward_stages
from threegen.registry.shallow_reward import shallow_reward_stages
from threegen.registry.stdp_features import fit_svm, kheradpisheh_stages
from threegen.training.fit import fit

IMAGES = torch.zeros(6, 1, 28, 28)
for number in range(6):  # bars at different rows and columns
    IMAGES[number, 0, 4 + 3 * number : 8 + 3 * number, 5:22] = 1.0
    IMAGES[number, 0, 6:24, 3 + 3 * number : 6 + 3 * number] = 0.6
DATA = Dataset(IMAGES, torch.tensor([0, 1, 0, 1, 0, 1]), ("0", "1"), "bars")


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def silent_fire(layer: OrderedConv, times: Tensor) -> tuple[Tensor, Tensor]:
    fired, potentials = OrderedConv.fire(layer, times)
    return torch.full_like(fired, layer.steps), torch.zeros_like(potentials)


class Silent(OrderedConv):
    def fire(self, times: Tensor) -> tuple[Tensor, Tensor]:
        return silent_fire(self, times)


class SilentDecision(DecisionConv, Silent):
    pass


def own(kind: Any, change: str) -> Any:
    """Return a sub-class whose method `change` sends nothing: times (bytes) are `steps`, bits and scores 0."""
    if not change:
        return kind

    def silent(self: Any, *args: Tensor) -> Tensor:
        found: Tensor = getattr(kind, change)(self, *args)
        return torch.full_like(found, self.steps) if found.dtype == torch.uint8 else 0 * found

    return type("Own", (kind,), {change: silent})


def deep(change: str = "") -> Mozafari2019:
    model: Mozafari2019 = own(Mozafari2019, change)(2, maps=(6, 12, 4), generator=g())
    return model


def read(change: str = "") -> Kheradpisheh2018:
    model: Kheradpisheh2018 = own(Kheradpisheh2018, change)(2, maps=(6, 12), generator=g())
    torch.nn.init.ones_(model.readout.weight)
    return model


def shallow(change: str = "") -> Mozafari2018:
    model: Mozafari2018 = own(Mozafari2018, change)(2, maps=4, generator=g())
    return model


def paid(model: Any) -> float:
    """Return all operations that the answers to the images cost."""
    return sum(
        sum(cost.operations.values()) for cost in model.cost(Use((IMAGES,), model(IMAGES).detach(), ("values",)))
    )


@pytest.mark.parametrize("change", ["encode", "c1", "c2", "features", "answer"])
def test_answers_of_the_deep_net(change: str) -> None:
    assert float(deep()(IMAGES).detach().max()) > 0
    assert float(deep(change)(IMAGES).detach().abs().max()) == 0


@pytest.mark.parametrize("change", ["encode", "c1", "features"])
def test_answers_of_the_net_with_a_read_out(change: str) -> None:
    assert float(read()(IMAGES).detach().max()) > 0
    assert float(read(change)(IMAGES).detach().abs().max()) == 0


def test_answers_of_the_shallow_net() -> None:
    assert float(shallow()(IMAGES).detach().max()) > 0
    assert float(shallow("encode")(IMAGES).detach().abs().max()) == 0


@pytest.mark.parametrize(("make", "change"), [(deep, "c1"), (deep, "c2"), (read, "c1"), (shallow, "encode")])
def test_fewer_spikes_cost_less(make: Any, change: str) -> None:
    assert paid(make(change)) < paid(make())


@pytest.mark.parametrize(
    ("change", "unmoved"),
    [("", ()), ("encode", ("s1", "s2", "s3")), ("c1", ("s2", "s3")), ("c2", ("s3",)), ("features", ("s3",))],
)
def test_learning_of_the_deep_net(change: str, unmoved: tuple[str, ...]) -> None:
    model, before = deep(change), deep().state_dict()
    fit(model, deep_reward_stages(model, passes=(1, 1, 1), batch_sizes=(6, 6, 6)), DATA)
    same = {name for name in ("s1", "s2", "s3") if torch.equal(getattr(model, name).weight, before[f"{name}.weight"])}
    assert same == set(unmoved)


@pytest.mark.parametrize(
    ("change", "unmoved"), [("", ()), ("encode", ("s1", "s2")), ("c1", ("s2",)), ("c1_alone", ("s2",))]
)
def test_learning_of_the_net_with_a_read_out(change: str, unmoved: tuple[str, ...]) -> None:
    model, before = read(change), read().state_dict()
    fit(model, kheradpisheh_stages(model, passes=(1, 1), batch_size=6), DATA)
    same = {name for name in ("s1", "s2") if torch.equal(getattr(model, name).weight, before[f"{name}.weight"])}
    assert same == set(unmoved)


@pytest.mark.parametrize("change", ["", "features"])
def test_the_svm_reads_own_features(change: str) -> None:
    pytest.importorskip("sklearn")
    model = read(change)
    fit_svm(model, DATA)
    assert (float(model.readout.weight.detach().abs().max()) == 0) == (change == "features")


def test_learning_of_the_shallow_net() -> None:
    before = shallow().s2.weight.detach().clone()
    model = shallow()
    fit(model, shallow_reward_stages(model, passes=2, dropout=0.0, window=6), DATA)
    assert not torch.equal(model.s2.weight, before)
    model = shallow("encode")
    with pytest.warns(UserWarning, match="no neuron has fired"):
        fit(model, shallow_reward_stages(model, passes=2, dropout=0.0, window=6), DATA)
    assert torch.equal(model.s2.weight, before)


# -- own layers ----------------------------------------------------------------------------------------------------


def silenced(layer: OrderedConv) -> OrderedConv:
    """Make a layer one of a class with its own `fire`."""
    layer.__class__ = SilentDecision if isinstance(layer, DecisionConv) else Silent
    return layer


@pytest.mark.parametrize(
    ("make", "layer"), [(deep, "s1"), (deep, "s2"), (deep, "s3"), (read, "s1"), (read, "s2"), (shallow, "s2")]
)
@pytest.mark.parametrize("on_instance", [False, True])
def test_an_own_way_to_fire_counts(make: Any, layer: str, on_instance: bool) -> None:
    model = make()
    assert float(model(IMAGES).detach().abs().max()) > 0
    if on_instance:
        part = getattr(model, layer)
        part.fire = lambda times: silent_fire(part, times)
    else:
        silenced(getattr(model, layer))
    assert float(model(IMAGES).detach().abs().max()) == 0


@pytest.mark.parametrize("make", [deep, read])
@pytest.mark.parametrize("strict", [False, True])
def test_layers_that_do_not_sum_exactly_fire_by_their_own_rule(make: Any, strict: bool) -> None:
    """A weight of 1/2 and a threshold that sums reach exactly: `strict` neurons do not fire there, others do."""
    model = make()
    for layer in (model.s1, model.s2):
        layer.strict, layer.threshold = strict, 4.0
        torch.nn.init.constant_(layer.weight, 0.5)
    encoded = model.encode(IMAGES)
    plain = model.s1.fire(encoded.long())[0]
    assert torch.equal(fired_at(model.s1, encoded).long(), plain)
    model.s1.strict = not strict
    assert not torch.equal(model.s1.fire(encoded.long())[0], plain)


# -- spikes that were computed once --------------------------------------------------------------------------------


def test_stored_spikes_are_of_the_same_settings_and_class(tmp_path: Path) -> None:
    model = deep()
    first = SpikeCache(model, tmp_path).pooled(DATA).inputs[:]
    model.s1.threshold = 4.0
    second = SpikeCache(model, tmp_path).pooled(DATA).inputs[:]
    assert not torch.equal(second, first)
    assert torch.equal(second.to(torch.uint8), model.c1(model.encode(IMAGES)))
    model.s1.threshold = 15.0
    assert torch.equal(SpikeCache(model, tmp_path).pooled(DATA).inputs[:], first)
    model.encoder.equal_bins = False
    third = SpikeCache(model, tmp_path).encoded(DATA).inputs[:]
    assert torch.equal(third.to(torch.uint8), model.encode(IMAGES))
    count = len(list(tmp_path.iterdir()))
    SpikeCache(deep("answer"), tmp_path).pooled(DATA)
    assert len(list(tmp_path.iterdir())) > count
