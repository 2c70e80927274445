"""Back-propagation written out for plain chains must be autograd's, which the same net inside a module goes through."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import threegen as tg
from threegen.datasets.batches import Batch
from threegen.errors import DataError
from threegen.machine.sparse import layouts
from threegen.rules.dense_chain import dense_chain


class Inside(nn.Module):
    """A net within a module that says nothing about its layers."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores


def batch(dtype: torch.dtype = torch.float32, classes: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 1, 3, 5, generator=generator, dtype=dtype)
    return Batch(images, torch.randint(0, classes, (7,), generator=generator))


def sequential() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(15, 9), nn.Linear(9, 8), nn.Sigmoid(), nn.Linear(8, 4))


def transposed() -> nn.Module:
    net = mlp("relu")
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 2:
                parameter.set_(parameter.t().contiguous().t())
    return net


def mlp(activation: str, sizes: tuple[int, ...] = (15, 11, 6, 4)) -> nn.Module:
    return tg.MLP(sizes, activation=activation, generator=torch.Generator().manual_seed(2))


NETS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: mlp("relu"),
    "tanh": lambda: mlp("tanh"),
    "sigmoid": lambda: mlp("sigmoid"),
    "one layer": lambda: mlp("relu", (15, 4)),
    "sequential": sequential,
    "double": lambda: mlp("relu").double(),
    "transposed": transposed,
}


def gradients(net: nn.Module, loss: str, given: Batch) -> tuple[list[Tensor], float]:
    (step,) = tg.Backprop(loss)(net, given, torch.Generator())
    found = [p.grad for p in net.parameters() if p.grad is not None]
    for parameter in net.parameters():
        parameter.grad = None
    return found, float(step.figures["loss"])


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "sse", "signed_mse", "map"])
@pytest.mark.parametrize("name", NETS)
def test_gradients_are_those_of_autograd(name: str, loss: str) -> None:
    net = NETS[name]()
    given = batch(next(net.parameters()).dtype)
    assert dense_chain(net, given.inputs) is not None
    assert dense_chain(Inside(net), given.inputs) is None
    ours, loss_here = gradients(net, loss, given)
    theirs, loss_there = gradients(Inside(net), loss, given)
    assert loss_here == pytest.approx(loss_there, rel=1e-6)
    assert len(ours) == len(theirs) == len(list(net.parameters()))
    for a, b, parameter in zip(ours, theirs, net.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
        assert a.stride() == parameter.stride()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_blank_inputs_are_left_out(activation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of which four fifths are 0, one that is not, and a short one: all by turns, with the same net."""
    monkeypatch.setattr(layouts, "has_wide_vectors", lambda: True)
    net = mlp(activation, (784, 72, 10)).to(dtype)
    first = net.layers.linear1
    first.weight = nn.Parameter(layouts.lay_out(first.weight.detach()))
    generator = torch.Generator().manual_seed(3)
    used = []
    for examples, density in ((96, 0.1), (96, 1.0), (103, 0.1), (3, 0.1), (96, 0.1)):
        images = torch.randn(examples, 784, generator=generator, dtype=dtype)
        images *= torch.rand(examples, 784, generator=generator) < density
        some = Batch(images.view(examples, 1, 28, 28), torch.randint(0, 10, (examples,), generator=generator))
        ours, loss_here = gradients(net, "cross_entropy", some)
        theirs, loss_there = gradients(Inside(net), "cross_entropy", some)
        assert loss_here == pytest.approx(loss_there, rel=1e-6)
        for a, b in zip(ours, theirs, strict=True):
            near = 1e-12 if dtype == torch.float64 else 1e-6
            torch.testing.assert_close(a, b, rtol=0, atol=near * max(b.abs().max().item(), 1.0))
        chain = dense_chain(net, some.inputs)
        assert chain is not None
        used.append(chain._listed is not None)
    assert used == [True, False, True, False, True]


def test_probabilities_are_targets_too() -> None:
    net, given = mlp("relu"), batch()
    soft = Batch(given.inputs, torch.rand(7, 4, generator=torch.Generator().manual_seed(0)))
    for a, b in zip(
        gradients(net, "cross_entropy", soft)[0], gradients(Inside(net), "cross_entropy", soft)[0], strict=True
    ):
        torch.testing.assert_close(a, b)


def test_wrong_labels_are_refused_and_leave_nothing() -> None:
    net, given = mlp("relu"), batch()
    with pytest.raises(DataError, match="label"):
        list(tg.Backprop()(net, Batch(given.inputs, torch.full((7,), 4)), torch.Generator()))
    assert all(parameter.grad is None for parameter in net.parameters())


class Doubled(tg.MLP):
    """A subclass with another way forward."""

    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * super().forward(inputs)


def changed(change: Callable[[nn.Module], object]) -> nn.Module:
    net = mlp("relu")
    change(net)
    return net


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "subclass": lambda: Doubled((15, 4)),
    "dropout": lambda: tg.MLP((15, 6, 4), dropout=0.5),
    "norm": lambda: tg.MLP((15, 6, 4), batch_norm=True),
    "frozen": lambda: changed(lambda net: net.layers[0].weight.requires_grad_(False)),
    "hook": lambda: changed(lambda net: net.layers[0].register_forward_hook(lambda *_: None)),
    "gradient hook": lambda: changed(lambda net: net.layers[0].weight.register_hook(lambda g: 2 * g)),
    "own forward": lambda: changed(lambda net: setattr(net.layers[0], "forward", lambda x: x[:, :11])),
    "kept gradient": lambda: changed(lambda net: setattr(net.layers[0].bias, "grad", torch.ones(11))),
    "shared": lambda: nn.Sequential(nn.Flatten(), *[nn.Linear(15, 15)] * 2),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(15, 4, bias=False)),
    "other width": lambda: tg.MLP((16, 4)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_left_to_autograd(name: str) -> None:
    assert dense_chain(OTHERS[name](), batch().inputs) is None


def test_gradients_add_up_as_autograd_adds_them() -> None:
    net, given = mlp("relu"), batch()
    once, _ = gradients(net, "cross_entropy", given)
    for _ in range(2):  # nobody clears them in between
        list(tg.Backprop()(net, given, torch.Generator()))
    for parameter, single in zip(net.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * single)


def test_a_loss_of_ones_own_may_look_at_the_weights() -> None:
    net, given = mlp("relu", (15, 4)), batch()
    weight = net.layers[0].weight

    def decayed(scores: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(scores, targets) + 3.0 * weight.square().sum()

    plain, _ = gradients(net, "cross_entropy", given)
    list(tg.Backprop(decayed)(net, given, torch.Generator()))
    torch.testing.assert_close(weight.grad, plain[0] + 6.0 * weight.detach())


def square_sum(net: nn.Module) -> float:
    return sum(float(p.grad.double().square().sum()) for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("largest", [None, 5.0], ids=["inputs unknown", "inputs bounded"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", NETS)
def test_the_bound_is_one(name: str, loss: str, largest: float | None) -> None:
    net = NETS[name]()
    given = batch(next(net.parameters()).dtype)
    given.largest = largest
    assert largest is None or given.inputs.abs().max() <= largest
    (step,) = tg.Backprop(loss)(net, given, torch.Generator())
    assert square_sum(net) <= step.square_bound < 1e6


def test_a_gradient_that_overflows_has_no_finite_bound() -> None:
    net, given = mlp("relu"), batch()
    with torch.no_grad():
        net.layers[0].weight.mul_(1e30)
        net.layers[2].weight.mul_(1e30)
    (step,) = tg.Backprop()(net, given, torch.Generator())
    assert not step.square_bound < 1e24


class Swapped(nn.Tanh):
    """An activation that no chain knows."""


LATER: dict[str, Callable[[nn.Module], object]] = {
    "hook on a layer": lambda net: net.layers[1].register_forward_hook(lambda *_: None),
    "hook on the model": lambda net: net.register_forward_pre_hook(lambda *_: None),
    "another activation": lambda net: setattr(net.layers, "activation1", Swapped()),
    "other layers": lambda net: setattr(net, "layers", nn.Sequential(nn.Flatten(), nn.LazyLinear(4))),
    "one layer more": lambda net: net.layers.append(nn.Dropout()),
    "no weight": lambda net: setattr(net.layers[2], "weight", None),
    "frozen": lambda net: net.layers[2].bias.requires_grad_(False),
    "another type": lambda net: net.double(),
    "gradient hook": lambda net: net.layers[2].weight.register_hook(lambda g: g),
    "own forward": lambda net: setattr(net.layers[1], "forward", lambda x: x),
}


@pytest.mark.parametrize("name", LATER)
def test_what_changes_later_is_seen(name: str) -> None:
    net, given = mlp("relu"), batch()
    assert dense_chain(net, given.inputs) is dense_chain(net, given.inputs) is not None
    LATER[name](net)
    assert dense_chain(net, given.inputs) is None


def test_a_new_weight_is_learnt_from_then_on() -> None:
    net, given = mlp("relu"), batch()
    assert dense_chain(net, given.inputs) is not None
    net.layers[0].weight = nn.Parameter(net.layers[0].weight.detach() / 2)
    found = gradients(net, "cross_entropy", given)[0]
    for ours, theirs in zip(found, gradients(Inside(net), "cross_entropy", given)[0], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_known_model_may_go() -> None:
    for build in (lambda: mlp("relu"), sequential):
        net = build()
        assert dense_chain(net, batch().inputs) is not None
        gone = weakref.ref(net)
        del net
        gc.collect()
        assert gone() is None
