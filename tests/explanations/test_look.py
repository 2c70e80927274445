"""`explain` on many nets: what it is made of, what it has learnt, errors that help, no side effects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from explained_nets import Pooled, classic, fixtures
from torch import Tensor, nn

from threegen.errors import ConfigError, DataError, NumericError, ShapeError, ThreegenError
from threegen.explanations.explain import METHODS, explain
from threegen.explanations.maps import Maps
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP


def images(count: int = 2, size: int = 28) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(5))


# -- what it is made of ------------------------------------------------------------------------------------------------
def test_summary_of_the_classic_net() -> None:
    table = explain(classic("functional")).summary()
    assert table.parameters == 1_199_882
    assert table.mac == 11_992_448  # 194,688 + 10,616,832 + 1,179,648 + 1,280, biases not among them
    conv2 = next(row for row in table.rows if row.name == "conv2")
    assert (conv2.output, conv2.parameters, conv2.mac) == ((64, 24, 24), 18_496, 10_616_832)
    assert "1,199,882" in str(table)
    assert json.loads(json.dumps(table.as_dict()))["input"] == [1, 28, 28]


def test_summary_of_frozen_shared_and_spiking_layers() -> None:
    net = Pooled()
    net.conv1.requires_grad_(False)
    table = explain(net).summary()
    assert table.frozen == 60  # 6 * 9 weights, 6 biases
    assert table.parameters == sum(one.numel() for one in net.parameters()) - 60
    assert sum(row.parameters for row in table.rows) == table.parameters
    spiking = explain(SpikingMLP([784, 20, 10], steps=7)).summary()
    neurons = next(row for row in spiking.rows if row.name == "neurons.0")
    assert (neurons.steps, neurons.state) == (7, 20 * 4)
    assert spiking.mac == 0 < spiking.ac

    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(self.layer(x)))

    shared = explain(Again()).summary()
    assert shared.rows[0].steps == 3
    assert shared.parameters == sum(row.parameters for row in shared.rows) == 20
    assert shared.mac == 3 * 16


def test_diagram_is_valid_svg_with_branches() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(784, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((x + self.conv(x)).flatten(1))

    text = str(explain(Residual()).diagram(images(), reshapes=True))
    root = ElementTree.fromstring(text)
    labels = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"input", "conv", "add", "head"} <= set(labels)
    assert "2,355 parameters" in labels
    # input-conv, input-add, conv-add, add-flatten, flatten-head
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 5


def test_neurons_of_a_small_net() -> None:
    root = ElementTree.fromstring(str(explain(MLP([3, 4, 2])).neurons()))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 9
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == 12 + 8
    with pytest.raises(ConfigError, match="too many"):
        explain(MLP([784, 512, 10])).neurons()
    with pytest.raises(ConfigError, match="not a chain of linear layers"):
        explain(Pooled()).neurons()


# -- what it has learnt ------------------------------------------------------------------------------------------------
def test_filters() -> None:
    net = classic()
    assert torch.equal(explain(net).filters(), net.conv1.weight)
    assert explain(net).filters("conv2").shape == (64, 32, 3, 3)
    rows = explain(MLP([784, 20, 10])).filters()
    assert rows.shape == (20, 1, 28, 28)
    assert explain(MLP([6, 3])).filters(shape=(2, 3)).shape == (3, 1, 2, 3)
    with pytest.raises(ConfigError, match="has no layer with weights"):
        explain(nn.ReLU()).filters()
    with pytest.raises(ConfigError, match="conv1, conv2"):
        explain(net).filters("conv3")
    with pytest.raises(ConfigError, match="do not form"):
        explain(net).filters("fc2", shape=(28, 28))


@pytest.mark.parametrize("style", ["module", "functional in place", "method in place"])
def test_feature_maps_are_what_the_layer_makes_before_anything_overwrites_it(style: str) -> None:
    net, x = classic(style), fixtures()["x"]
    look = explain(net)
    found = look.feature_maps("conv1", x)
    with torch.no_grad():
        wanted = net.conv1(x)
    assert float(wanted.min()) < -0.1
    torch.testing.assert_close(found.as_subclass(Tensor), wanted)
    relu = "act" if style == "module" else "relu"
    torch.testing.assert_close(look.feature_maps(relu, x).as_subclass(Tensor), wanted.relu())


def test_histograms_count_everything() -> None:
    x = images(3)
    found = explain(Pooled()).activation_histograms(x, bins=10)
    assert found.layers[:3] == ("conv1", "norm", "relu")
    assert int(found.counts["conv1"].sum()) == 3 * 6 * 14 * 14
    assert found.zeros["relu"] > 0.1 > found.zeros["conv1"]


def test_maximise_excites_its_class_and_keeps_its_range() -> None:
    look = explain(classic("torch"))
    found = look.maximise(unit=[3, 8], steps=60)
    assert found.shape == (2, 1, 28, 28)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    answers = look.subject.scores(found.as_subclass(Tensor)).softmax(1)
    assert answers.argmax(1).tolist() == [3, 8]
    assert float(answers.max(1).values.min()) > 0.9
    alone, together = look.maximise(unit=[3], steps=5), look.maximise(unit=[3, 8], steps=5)
    torch.testing.assert_close(alone.activations[0], together.activations[0], rtol=0.02, atol=0.02)
    planes = look.maximise("conv2", unit=[0, 5], steps=10)
    assert planes.shape == (2, 1, 28, 28)
    with pytest.raises(ConfigError, match="is not one of the 10 units"):
        look.maximise(unit=10)


@pytest.mark.parametrize("method", ["gradient", "evolution"])
def test_maximise_spiking_neurons_with_and_without_gradient(method: str) -> None:
    net = SpikingMLP([784, 20, 10], steps=5, generator=torch.Generator().manual_seed(0))
    look = explain(net)
    start = look.maximise("neurons.0", unit=[0, 1], steps=1, method=method, l2=0.0, tv=0.0)
    found = look.maximise("neurons.0", unit=[0, 1], steps=25, method=method, l2=0.0, tv=0.0)
    assert found.shape == (2, 1, 28, 28)
    assert float(found.activations.mean()) > float(start.activations.mean()) + 0.2


# -- why this answer ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("functional", [True, False])
def test_class_activation_map_by_hand_and_equal_to_grad_cam(functional: bool) -> None:
    net, x = Pooled(functional=functional), images(3)
    look = explain(net)
    found = look.class_activation_map(x, [0, 1, 2], resize=False)
    planes = look.feature_maps("relu:2", x)
    wanted = torch.stack([(net.head.weight[c, :, None, None] * planes[c]).sum(0) for c in range(3)]).detach()
    torch.testing.assert_close(found.as_subclass(Tensor)[:, 0], wanted)
    # with global mean pooling, Grad-CAM's weights are CAM's divided by the number of pixels (Selvaraju et al. 2017)
    cam = look.grad_cam(x, [0, 1, 2], relu=False, resize=False)
    torch.testing.assert_close(cam.as_subclass(Tensor) * planes[0, 0].numel(), found.as_subclass(Tensor))


def test_scores_are_taken_before_a_final_softmax() -> None:
    x = images()
    plain, ended = explain(Pooled()), explain(Pooled(softmax=True))
    torch.testing.assert_close(ended.subject.scores(x), plain.subject.scores(x))
    wrapped = explain(nn.Sequential(Pooled(), nn.LogSoftmax(1), nn.Flatten()))
    for method in ("saliency", "grad_cam", "class_activation_map"):
        wanted = getattr(plain, method)(x, 1).as_subclass(Tensor)
        for other in (ended, wrapped):
            torch.testing.assert_close(getattr(other, method)(x, 1).as_subclass(Tensor), wanted)


def test_integrated_gradients_add_up_to_the_difference_of_the_scores() -> None:
    look, x = explain(classic("clamp")), fixtures()["x"]
    maps = look.integrated_gradients(x, 3, steps=100)
    gap = look.subject.scores(x)[:, 3] - look.subject.scores(torch.zeros_like(x))[:, 3]
    torch.testing.assert_close(maps.flatten(1).sum(1), gap, rtol=0.02, atol=0.02)


def test_smooth_grad_without_noise_is_the_gradient() -> None:
    look, x = explain(Pooled()), images()
    still = look.smooth_grad(x, 0, samples=3, noise=0.0)
    torch.testing.assert_close(still.as_subclass(Tensor), look.saliency(x, 0).as_subclass(Tensor))
    assert not torch.allclose(look.smooth_grad(x, 0, samples=3, noise=0.5), still)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_batch_equals_its_samples_alone(method: str) -> None:
    look, x = explain(Pooled()), images(3)
    options: dict[str, Any] = {"window": 9, "stride": 9} if method == "occlusion" else {}
    options = {"samples": 2} if method == "smooth_grad" else options
    together = getattr(look, method)(x, [0, 1, 3], **options)
    for number, target in enumerate([0, 1, 3]):
        alone = getattr(look, method)(x[number : number + 1], target, **options)
        torch.testing.assert_close(together[number : number + 1], alone.as_subclass(Tensor), rtol=1e-4, atol=1e-6)


# -- errors and side effects -------------------------------------------------------------------------------------------
def refused(call: Callable[[], object], kind: type[ThreegenError], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_errors_name_what_works() -> None:
    mlp, x = explain(MLP([784, 20, 10])), images()
    refused(lambda: mlp.grad_cam(x), ConfigError, "saliency and occlusion work")
    refused(lambda: mlp.class_activation_map(x), ConfigError, "saliency and occlusion work")
    net = explain(LeNet5Modern())
    refused(lambda: net.class_activation_map(x), ConfigError, "grad_cam, saliency and occlusion work")
    refused(lambda: explain(MLP([784, 10])).saliency(x, modifier="guided"), ConfigError, "calls no relu")
    spiking = explain(SpikingMLP([784, 9, 10], steps=2))
    refused(lambda: spiking.saliency(x, modifier="guided"), ConfigError, "calls no relu")
    tanh = explain(MLP([784, 9, 10], activation="tanh"))
    refused(lambda: tanh.saliency(x, modifier="deconv"), ConfigError, "saliency and occlusion work")
    look = explain(LeNet5Modern())
    refused(lambda: look.saliency(x, modifier="guidde"), ConfigError, "did you mean 'guided'")
    refused(lambda: look.saliency(x, 10), ConfigError, r"0\.\.9")
    refused(lambda: look.saliency(x, [1, 2, 3]), ConfigError, "2 classes")
    refused(lambda: look.saliency(x[0, 0]), ShapeError, "LeNet5Modern expects")
    refused(lambda: look.saliency(x[0, 0, 0]), DataError, "a batch")
    refused(lambda: look.saliency(x[:0]), DataError, "a batch")
    refused(lambda: look.saliency(x * torch.nan), NumericError, "non-finite")
    refused(lambda: look.grad_cam(x, layer="layers.conv3"), ConfigError, "did you mean 'layers.conv")
    refused(lambda: look.grad_cam(x, layer="layers.linear1"), ConfigError, "layers with planes")
    refused(lambda: explain(nn.Conv2d(1, 2, 3)).saliency(x), ShapeError, r"scores=\.\.\.")
    refused(lambda: explain(nn.Sequential(nn.Flatten(), nn.Linear(9, 2))).saliency(x), ShapeError, "cannot take")
    refused(lambda: explain(3), ConfigError, "torch.nn.Module")  # type: ignore[arg-type]


def test_a_modifier_that_meets_only_relus_before_the_layer_is_refused() -> None:
    refused(lambda: explain(Pooled()).grad_cam(images(), modifier="guided"), ConfigError, "calls no relu")


class Fragile(nn.Module):
    """A net that breaks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.drop, self.broken = LeNet5Modern(), nn.Dropout(), False

    def forward(self, x: Tensor) -> Tensor:
        if self.broken:
            raise ArithmeticError("broken on purpose")
        return self.net(self.drop(x))


CALLS: dict[str, Callable[[Any, Tensor], object]] = {
    "summary": lambda look, x: look.summary(x),
    "diagram": lambda look, x: look.diagram(x),
    "filters": lambda look, x: look.filters(),
    "feature maps": lambda look, x: look.feature_maps("net.layers.conv2", x),
    "histograms": lambda look, x: look.activation_histograms(x),
    "maximise": lambda look, x: look.maximise(unit=1, steps=2, example=x),
    "saliency": lambda look, x: look.saliency(x, modifier="guided"),
    "smooth grad": lambda look, x: look.smooth_grad(x, samples=2),
    "integrated gradients": lambda look, x: look.integrated_gradients(x, steps=2),
    "grad cam": lambda look, x: look.grad_cam(x, modifier="deconv"),
    "occlusion": lambda look, x: look.occlusion(x, window=14, stride=14, incremental=False),
    "incremental occlusion": lambda look, x: look.occlusion(x, window=14, stride=14, incremental=True),
    "check": lambda look, x: look.check(x, ("saliency",)),
}


def state_of(net: nn.Module) -> tuple[object, ...]:
    return (
        [module.training for module in net.modules()],
        [id(weight.grad) for weight in net.parameters()],
        [weight.requires_grad for weight in net.parameters()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in net.modules()],
        [weight.clone().tolist() for weight in (*net.parameters(), *net.buffers())],
    )


@pytest.mark.parametrize("name", sorted(CALLS))
def test_no_side_effects_also_after_an_exception(name: str) -> None:
    net, x = Fragile(), images()
    net.drop.eval()
    net.net.layers.conv1.weight.grad = torch.ones_like(net.net.layers.conv1.weight)
    net.net.layers.conv2.bias.requires_grad_(False)
    net.net.layers.relu1.register_forward_hook(lambda *_: None)
    look = explain(net)
    before, random, grad = state_of(net), torch.random.get_rng_state(), torch.is_grad_enabled()
    CALLS[name](look, x)
    assert state_of(net) == before
    look.subject.trace(x)
    net.broken = True
    if name != "filters":
        with pytest.raises(ArithmeticError, match="on purpose"):
            CALLS[name](look if name not in ("diagram",) else explain(net), x)
    assert state_of(net) == before
    assert torch.equal(random, torch.random.get_rng_state())
    assert torch.is_grad_enabled() == grad


# -- pictures ----------------------------------------------------------------------------------------------------------
def test_maps_are_tensors_that_can_be_saved_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = explain(Pooled()).saliency(images())
    assert isinstance(maps, Maps)
    assert type(maps + 1) is Tensor
    assert maps.save(tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.fromstring(maps.save(tmp_path / "map.svg").read_text())
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 1
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert maps.show().exists()
    assert opened[0].startswith("file:")
    with pytest.raises(ConfigError, match=r"\.png, \.svg or \.pdf"):
        maps.save(tmp_path / "map.jpg")
    with pytest.raises(ConfigError, match=r"\.svg"):
        explain(Pooled()).diagram().save(tmp_path / "net.png")
    with pytest.raises(AttributeError, match="targets"):
        _ = maps.nothing


def test_sheets_are_wrapped_and_colours_are_colours(tmp_path: Path) -> None:
    """Twenty filters stand in two rows of ten; a filter of three channels is drawn as a picture, not as a sum."""
    torch.manual_seed(0)
    grey, colour = nn.Conv2d(1, 20, 5), nn.Conv2d(3, 2, 4)
    root = ElementTree.fromstring(explain(grey).filters().save(tmp_path / "grey.svg").read_text())
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 2
    found = explain(colour).filters()
    (sheet,), most, width = found._blocks()
    scale = 336 // 4
    assert (most, width) == (2, 4 * scale + 4)
    low, high = torch.aminmax(colour.weight[0])
    wanted = ((colour.weight[0] - low) / (high - low) * 255).round().permute(1, 2, 0).detach()
    tile = torch.from_numpy(sheet[: 4 * scale : scale, : 4 * scale : scale].copy())
    assert float((tile - wanted).abs().max()) <= 1


def test_every_picture_can_be_drawn(tmp_path: Path) -> None:
    look, x = explain(SpikingMLP([784, 12, 10], steps=3)), images()
    for number, picture in enumerate(
        (
            look.summary(),
            look.diagram(),
            look.filters(),
            look.feature_maps("neurons.0", x, per_step=True),
            look.activation_histograms(x),
            look.saliency(x, per_step=True),
            look.spike_activation_maps(x),
            look.deletion_insertion(x, look.saliency(x)),
            look.randomisation(x),
            look.check(x, ("saliency",)),
        )
    ):
        ElementTree.fromstring(picture.save(tmp_path / f"{number}.svg").read_text())
