"""Grad-CAM and class activation maps over one, two and three axes of space, and over tokens; Captum is the oracle."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.errors import ConfigError
from threegen.explanations.explain import explain

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Net(nn.Module):
    """Two convolutions, global mean pooling and a linear layer, over so many axes."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.norm = CONV[axes](2, 5, 3, stride=2), NORM[axes](5)
        self.conv2, self.head = CONV[axes](5, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv1(x)))
        return self.head(F.relu(self.conv2(x)).flatten(2).mean(2))


def samples(axes: int, count: int = 3) -> Tensor:
    return torch.rand(count, 2, *[12] * axes, generator=torch.Generator().manual_seed(axes))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "norm"])
def test_grad_cam_equals_captum_over_any_number_of_axes(axes: int, layer: str) -> None:
    net, x = Net(axes).eval(), samples(axes)
    wanted = LayerGradCam(net, getattr(net, layer)).attribute(x, torch.tensor([0, 3, 1]))
    found = explain(net).grad_cam(x, [0, 3, 1], layer=layer, relu=False, resize=False)
    torch.testing.assert_close(found.as_subclass(Tensor), wanted.detach(), rtol=1e-4, atol=1e-6)
    large = explain(net).grad_cam(x, [0, 3, 1], layer=layer)
    assert large.shape == (3, 1, *[12] * axes)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[axes]
    resized = F.interpolate(wanted.detach().relu(), size=[12] * axes, mode=mode, align_corners=False)
    torch.testing.assert_close(large.as_subclass(Tensor), resized, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_class_activation_maps_and_the_default_layer(axes: int, tmp_path: Any) -> None:
    net, x = Net(axes).eval(), samples(axes)
    look = explain(net)
    heat = look.grad_cam(x, 2, resize=False)
    assert heat.layer == "relu:2"
    # where one mean pooling and one linear layer follow, Grad-CAM is the class activation map divided by the places
    pooled = nn.Sequential(net.conv1, nn.ReLU(), net.conv2, nn.ReLU(), _pool(axes), nn.Flatten(), net.head).eval()
    cam = explain(pooled).class_activation_map(x, 2, resize=False)
    gradient = explain(pooled).grad_cam(x, 2, layer="3", resize=False, relu=False)
    torch.testing.assert_close(cam / cam[0, 0].numel(), gradient.as_subclass(Tensor), rtol=1e-4, atol=1e-6)
    flat = look.class_activation_map(x, 2, resize=False)  # this net takes its mean over planes put in one line
    assert flat.shape == heat.shape
    torch.testing.assert_close(flat.relu() / flat[0, 0].numel(), heat.as_subclass(Tensor), rtol=1e-4, atol=1e-6)
    plus = look.grad_cam_plus_plus(x, 2)
    assert plus.shape == (3, 1, *[12] * axes)
    assert look.guided_grad_cam(x, 2).shape == x.shape
    for picture in (heat, plus, cam):
        assert picture.save(tmp_path / "heat.png").stat().st_size > 200
    assert heat.save(tmp_path / "heat.pdf", bar=True).read_bytes().startswith(b"%PDF")


def _pool(axes: int) -> nn.Module:
    return {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[axes](1)


def test_a_sequence_that_is_turned_for_its_convolution_gets_a_map_over_its_steps() -> None:
    class Turned(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.transpose(1, 2))

    net, x = Turned(1).eval(), samples(1)
    wanted = explain(Net(1).eval()).grad_cam(x, 1)
    found = explain(net).grad_cam(x.transpose(1, 2).contiguous(), 1)
    torch.testing.assert_close(found.as_subclass(Tensor), wanted.as_subclass(Tensor))


class Tokens(nn.Module):
    """The net over planes, written over tokens [B, N, C] with a class token in front that no one reads."""

    def __init__(self, *, time_first: bool = False, front: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cut, self.mix, self.head = nn.Conv2d(2, 5, 3, stride=3), nn.Linear(5, 6), nn.Linear(6, 4)
        self.token, self.keep = nn.Parameter(torch.rand(1, front, 5)), nn.Identity()
        self.time_first, self.front = time_first, front

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.cut(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        tokens = torch.relu(self.mix(tokens))
        tokens = self.keep(tokens.transpose(0, 1)).transpose(0, 1) if self.time_first else self.keep(tokens)
        return self.head(torch.tanh(tokens[:, self.front :]).mean(1))


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("front", [0, 1, 5])
def test_grad_cam_of_tokens_is_that_of_the_planes_they_are(time_first: bool, front: int) -> None:
    net, x = Tokens(time_first=time_first, front=front).eval(), samples(2)
    planes = torch.relu(net.mix(net.cut(x).movedim(1, 3))).movedim(3, 1).detach().requires_grad_()
    scores = net.head(torch.tanh(planes).flatten(2).mean(2))
    (slope,) = torch.autograd.grad(scores[:, 1].sum(), planes)
    wanted = (slope.mean((2, 3), keepdim=True) * planes).sum(1, keepdim=True).relu().detach()
    look = explain(net)
    found = look.grad_cam(x, 1, layer="keep", reshape=(4, 4), resize=False)
    torch.testing.assert_close(found.as_subclass(Tensor), wanted, rtol=1e-4, atol=1e-6)

    def turn(tokens: Tensor) -> Tensor:
        tokens = tokens.transpose(0, 1) if time_first else tokens
        return tokens[:, front:].transpose(1, 2).reshape(len(tokens), 6, 4, 4)

    again = look.grad_cam(x, 1, layer="keep", reshape=turn, resize=False)
    assert torch.equal(again, found)
    assert look.grad_cam(x, 1, layer="keep", reshape=(4, 4)).shape == (3, 1, 12, 12)
    assert look.grad_cam_plus_plus(x, 1, layer="keep", reshape=(4, 4)).shape == (3, 1, 12, 12)
    with pytest.raises(ConfigError, match="at least 100"):
        look.grad_cam(x, 1, layer="keep", reshape=(10, 10))
    with pytest.raises(ConfigError, match="reshape must turn"):
        look.grad_cam(x, 1, layer="keep", reshape=lambda tokens: tokens[0])
    with pytest.raises(ConfigError, match="name the layer"):
        look.grad_cam(x, 1, reshape=(4, 4))


def test_grad_cam_inside_a_transformer() -> None:
    class Vision(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.cut, self.head = nn.Conv2d(2, 8, 3, stride=3), nn.Linear(8, 4)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(self.cut(x).flatten(2).transpose(1, 2)).mean(1))

    net, x = Vision().eval(), samples(2)
    found = explain(net).grad_cam(x, 1, layer="body.layers.0", reshape=(4, 4), resize=False, relu=False)
    layer: Any = net.body.layers[0]
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, args, out: kept.append(out))
    score = net(x)[:, 1].sum()
    hook.remove()
    (slope,) = torch.autograd.grad(score, kept[0])
    wanted = (slope.mean(1, keepdim=True) * kept[0]).sum(2).reshape(3, 1, 4, 4).detach()
    torch.testing.assert_close(found.as_subclass(Tensor), wanted, rtol=1e-4, atol=1e-6)
