"""Both LeNets: a layer that was exchanged or parametrised, a hook or an own `forward` counts while the net learns too.

Compiled kernels that stand for the layers are used only while the layers are those that were built.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from threegen.gen2.lenet_5 import LeNet5
from threegen.gen2.lenet_1989 import LeNet1989

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])


def g() -> torch.Generator:
    return torch.Generator().manual_seed(1)


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def exchange(name: str, part: Callable[[], nn.Module]) -> Callable[[Any], None]:
    return lambda net: setattr(net.layers, name, part())


def half(name: str) -> Callable[[Any], None]:
    return lambda net: parametrize.register_parametrization(getattr(net.layers, name), "weight", Halved())


def doubled_by_a_hook(net: Any) -> None:
    net.layers.squash1.register_forward_hook(lambda part, inputs, output: 2 * output)


CHANGES = {
    "relu": exchange("squash1", nn.ReLU),
    "identity": exchange("squash3", nn.Identity),
    "parametrised": lambda net: half("c1" if isinstance(net, LeNet5) else "h1")(net),
    "hook": doubled_by_a_hook,
}


@pytest.mark.parametrize("change", CHANGES)
def test_lenet_5_learns_with_the_layers_it_answers_with(change: str) -> None:
    net = LeNet5(generator=g())
    before = net.train().last_units(IMAGES).detach()
    CHANGES[change](net)
    learning, answering = net.train().last_units(IMAGES).detach(), net.eval().last_units(IMAGES).detach()
    assert torch.allclose(learning, answering, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(learning, before, rtol=1e-2)


def test_hooks_of_all_modules_are_called_while_lenet_5_learns() -> None:
    seen: list[str] = []
    net = LeNet5(generator=g()).train()
    handle = nn.modules.module.register_module_forward_hook(
        lambda part, inputs, output: seen.append(type(part).__name__)
    )
    try:
        net(IMAGES)
    finally:
        handle.remove()
    assert seen.count("ScaledTanh") == 6


def test_lenet_5_that_was_copied_still_uses_its_kernels() -> None:
    net = LeNet5(generator=g()).train()
    twin = copy.deepcopy(net)
    assert twin._nobody_watches(IMAGES)
    assert twin.layers.c1 is not net.layers.c1
    assert torch.equal(twin(IMAGES), net(IMAGES))


@pytest.mark.parametrize("change", CHANGES)
def test_lenet_1989_learns_with_the_layers_it_answers_with(change: str) -> None:
    """The loss of the first step is that of the answer; plain steps in float64 give the same weights."""
    net, same = LeNet1989(generator=g()), LeNet1989(generator=g())
    CHANGES[change](net)
    plain = copy.deepcopy(net).double()
    signed = nn.functional.one_hot(LABELS, 10) * 2.0 - 1.0
    asked = nn.functional.mse_loss(net(IMAGES[:1]), signed[:1]).detach()
    assert float(copy.deepcopy(net).learn_one_by_one(IMAGES[:1], LABELS[:1], 0.1)) == pytest.approx(
        float(asked), rel=1e-4
    )
    losses = [
        float(one.learn_one_by_one(IMAGES.to(p), LABELS, 0.1))
        for one in (net, plain, same)
        for p in [next(one.parameters())]
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] != pytest.approx(losses[2], rel=1e-4)
    for ours, other in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.double(), other, atol=1e-5)


def test_an_own_forward_of_lenet_1989_counts_while_it_learns() -> None:
    class Stretched(LeNet1989):
        def forward(self, inputs: Tensor) -> Tensor:
            return 2 * super().forward(inputs)

    own, plain = Stretched(generator=g()), LeNet1989(generator=g())
    losses = [float(net.learn_one_by_one(IMAGES, LABELS, 0.01)) for net in (own, plain)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)
    assert not torch.equal(own.layers.h1.weight, plain.layers.h1.weight)
