"""The fast way of a `SpikingGraph` against its plain way, and when it steps aside."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.conversion.convert import ConvertedNet, convert
from threegen.errors import ConfigError
from threegen.functional.spiking.graph_fused import fingerprint
from threegen.gen3 import spiking_graph
from threegen.gen3.networks import SpikingNet
from threegen.gen3.spiking_graph import GraphLayer, SpikingGraph, Wire

SHAPE = (2, 11, 9)
NETS = {
    "convolutions": [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(5, 7, 2), nn.ReLU(), nn.Flatten()],
    "a border": [nn.Conv2d(2, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=2), nn.ReLU(), nn.Flatten()],
    "pooled twice": [
        *(nn.Conv2d(2, 4, 2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 33, 2, padding=1), nn.ReLU(), nn.AvgPool2d(3)),
        *(nn.Flatten(), nn.Linear(66, 17), nn.ReLU()),
    ],
    "vectors": [nn.Flatten(), nn.Linear(198, 300), nn.ReLU(), nn.Linear(300, 20), nn.ReLU()],
}


def converted(name: str) -> ConvertedNet:
    torch.manual_seed(0)
    layers = copy.deepcopy(NETS[name])
    features = nn.Sequential(*layers)(torch.zeros(1, *SHAPE)).shape[1]
    model = nn.Sequential(*layers, nn.Linear(features, 6)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(model, images(), steps=5)


def images() -> Tensor:
    return torch.rand(220, *SHAPE, generator=torch.Generator().manual_seed(3))


def plain(net: SpikingGraph, x: Tensor) -> Tensor:
    net.backend = "plain"
    scores = net(x)
    net.backend = "auto"
    return scores


@pytest.mark.parametrize("name", NETS)
def test_kernels_answer_as_the_plain_way(name: str) -> None:
    net, x = converted(name), images()
    with torch.no_grad():
        assert net._obstacle(x) is None
        found, wanted = net(x), plain(net, x)
    # a potential may meet its threshold to the last bits: then one spike is another, in few images
    same = (found - wanted).abs().amax(1) < 1e-4
    assert float(same.float().mean()) > 0.98
    assert float((found.argmax(1) == wanted.argmax(1)).float().mean()) > 0.98


def test_many_steps_are_answered_a_part_of_the_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = converted("convolutions"), images()
    sizes: list[int] = []
    through = SpikingNet._through_layers

    def observed(self: SpikingNet, inputs: Tensor, *rest: Any) -> Tensor:
        sizes.append(inputs.shape[1])
        return through(self, inputs, *rest)

    monkeypatch.setattr(SpikingNet, "_through_layers", observed)
    with torch.no_grad():
        at_once = plain(net, x)
        monkeypatch.setattr(spiking_graph, "LARGEST_INPUT", 100 * 5 * 2 * 11 * 9)  # a hundred images of five steps
        assert torch.allclose(plain(net, x), at_once, atol=1e-6)
        assert sizes == [220, 100, 100, 20]
        net.neurons[0].register_forward_hook(lambda *_: None)  # who looks on sees all images
        plain(net, x)
    assert sizes[4:] == [220]


@torch.no_grad()
def test_changed_weights_are_seen_however_they_were_changed() -> None:
    net, x = converted("convolutions"), images()[:20]
    net(x)
    weight = net.synapses[1].parts[-1].weight
    changes = (
        lambda: weight.mul_(0.5),
        lambda: weight.data.mul_(2.5),  # torch keeps no count of this one
        lambda: weight.data.copy_(weight.data.flip(0)),
        lambda: weight.numpy().__setitem__((0, 0, 0, 0), 3.0),
        lambda: net.neurons[0].initial.fill_(0.25),
    )
    for change in changes:
        change()
        assert torch.allclose(net(x), plain(net, x), atol=1e-4)


@torch.no_grad()
def test_a_module_put_in_another_place_is_seen() -> None:
    net, x = converted("vectors"), images()[:20]
    before = net(x)
    other = nn.Linear(300, 20)
    net.synapses[1].parts[-1] = other
    assert not torch.allclose(net(x), before)
    assert torch.allclose(net(x), plain(net, x), atol=1e-4)


def test_the_plain_way_is_taken_where_something_looks_on() -> None:
    net, x = converted("convolutions"), images()[:3]
    assert "gradients" in str(net._obstacle(x))
    with torch.no_grad():
        seen: list[int] = []
        hook = net.neurons[0].register_forward_hook(lambda *_: seen.append(1))
        net(x)
        assert seen
        hook.remove()
        assert net._obstacle(x) is None
        assert net._obstacle(x.double()) is not None

    class Louder(SpikingGraph):
        def summed_input(self, layer: int, signals: object) -> Tensor:
            return 2 * super().summed_input(layer, signals)  # type: ignore[arg-type]

    louder = Louder(**net.plan)
    louder.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert "summed_input" in str(louder._obstacle(x))
        assert not torch.allclose(louder(x), net(x))


@torch.no_grad()
def test_copies_and_pickles_answer_alike() -> None:
    net, x = converted("pooled twice"), images()[:9]
    wanted = net(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301 - our own bytes
        assert torch.equal(other(x), wanted)


def test_a_fingerprint_knows_values_and_their_order() -> None:
    values = torch.randn(100).numpy().view("uint32")
    turned = values.copy()
    turned[[3, 4]] = turned[[4, 3]]
    assert fingerprint(values) != fingerprint(turned)
    turned = values.copy()
    turned[7] ^= 1
    assert fingerprint(values) != fingerprint(turned)


def test_a_plan_that_cannot_be_is_refused() -> None:
    layer = GraphLayer("one", "if", {"channels": 3, "reset": "soft"}, (Wire("linear", (5,), {}),))
    with pytest.raises(ConfigError, match="later layer"):
        SpikingGraph([layer], shape=[4])
    with pytest.raises(ConfigError, match="wire"):
        SpikingGraph([GraphLayer("one", "sum", {}, (Wire("lineer", (0,), {}),))], shape=[4])
    with pytest.raises(ConfigError, match="at least one layer"):
        SpikingGraph([], shape=[4])
    with pytest.raises(ConfigError, match="needs name, neurons and wires"):
        SpikingGraph([{"name": "x"}], shape=[4])
