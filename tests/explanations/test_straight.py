"""Straight nets take a shorter way: their maps must be those of the long way, which the same net in a module takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.explanations.straight import straight_steps


class Wrapped(nn.Module):
    """The same net, but no `nn.Sequential` itself: explained by running the module."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores


def _net(in_place: bool = False, pool: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 6, 3, stride=1, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=in_place)),
        nn.Conv2d(6, 8, 3, groups=2),
        nn.ReLU(inplace=in_place),
        pool or nn.MaxPool2d(3, stride=2, padding=1),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.LazyLinear(12),
        nn.Tanh(),
        nn.Linear(12, 5),
    )
    net(torch.rand(4, 2, 10, 9))  # running statistics that are not those of the start
    return net


NETS: dict[str, Callable[[], nn.Sequential]] = {
    "overlapping pool": _net,
    "in place": lambda: _net(in_place=True),
    "average pool": lambda: _net(pool=nn.AvgPool2d(2)),
}


def _x() -> Tensor:
    return torch.rand(3, 2, 10, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("target", [None, 2, [0, 4, 1]])
@pytest.mark.parametrize("name", NETS)
def test_the_maps_are_those_of_the_long_way(name: str, target: int | list[int] | None) -> None:
    net = NETS[name]()
    assert straight_steps(net) is not None
    short, long = tg.explain(net), tg.explain(Wrapped(net))
    x = _x()
    torch.testing.assert_close(short.saliency(x, target) + 0, long.saliency(x, target) + 0, rtol=1e-5, atol=1e-7)
    for relu in (True, False):
        ours = short.grad_cam(x, target, layer=net[2], relu=relu)
        theirs = long.grad_cam(x, target, layer=net[2], relu=relu)
        torch.testing.assert_close(ours + 0, theirs + 0, rtol=1e-5, atol=1e-6)
        assert torch.equal(ours.targets, theirs.targets)


def test_the_model_is_left_as_it_was_and_new_weights_are_seen() -> None:
    net, x = _net(), _x()
    look, before = tg.explain(net), net[0][1].running_mean.clone()
    first = look.saliency(x)
    assert net.training
    assert all(layer.training for layer in net)
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    assert torch.equal(net[0][1].running_mean, before)
    net[8].weight = nn.Parameter(2 * net[8].weight.detach())
    torch.testing.assert_close(look.saliency(x, first.targets) + 0, 2 * first, rtol=1e-5, atol=1e-7)


def test_gradients_come_where_they_are_switched_off() -> None:
    net, x = _net(), _x()
    with torch.no_grad():
        assert tg.explain(net).saliency(x).abs().sum() > 0
        assert tg.explain(net).grad_cam(x).abs().sum() > 0


class OwnRelu(nn.ReLU):
    """A layer of another type: what it does is not known."""


def test_what_may_do_anything_is_run_by_its_module() -> None:
    met: list[str] = []
    hooked, own, odd, replaced = _net(), _net(), _net(), _net()
    hooked[1].register_forward_hook(lambda *_: met.append("hook"))
    own[2] = OwnRelu()
    odd[1] = nn.Conv2d(6, 8, 3, padding=1, padding_mode="circular")
    replaced[2].forward = torch.sigmoid  # type: ignore[method-assign]
    assert all(straight_steps(net) is None for net in (hooked, own, odd, replaced, Wrapped(_net())))
    tg.explain(hooked).saliency(_x())
    assert met


def test_a_layer_used_twice_is_explained_by_the_module() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 2, 3, padding=1)
    net = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Flatten(), nn.Linear(180, 3))
    x = _x()
    ours = tg.explain(net).grad_cam(x, 1, layer=layer)
    theirs = tg.explain(Wrapped(net)).grad_cam(x, 1, layer=layer)
    torch.testing.assert_close(ours + 0, theirs + 0)
