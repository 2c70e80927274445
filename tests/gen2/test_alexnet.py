"""AlexNet: the counts of both variants, response normalisation by brute force, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from threegen.cost.count import count
from threegen.datasets.load import load_data
from threegen.errors import ConfigError
from threegen.gen2.alexnet import AlexNet
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def full() -> AlexNet:
    return AlexNet(generator=generator())


@pytest.fixture(scope="module")
def successor() -> AlexNet:
    return AlexNet(variant="one-weird-trick", generator=generator())


def small(**options: object) -> AlexNet:
    settings: dict[str, object] = {"width": 0.1, "channels": 1, "size": 67, "picture": 28, "generator": generator()}
    return AlexNet(10, **{**settings, **options})  # type: ignore[arg-type]


def test_parameters_of_2012_layer_by_layer(full: AlexNet) -> None:
    """Kernels by groups: 96 (3 121 + 1), 256 (48 25 + 1), 384 (256 9 + 1), 384 (192 9 + 1), 256 (192 9 + 1), ..."""
    counts = {
        name.split(".")[1]: sum(p.numel() for p in part.parameters())
        for name, part in full.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }
    assert counts == {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }
    assert sum(counts.values()) == sum(p.numel() for p in full.parameters()) == 60_965_224


def test_planes_of_2012(full: AlexNet) -> None:
    x, sides = torch.rand(1, 3, 227, 227, generator=generator()), {}
    for name, part in full.features.named_children():
        x = part(x)
        sides[name] = list(x.shape[1:])
    wanted = {
        "conv1": [96, 55, 55],
        "pool1": [96, 27, 27],
        "conv2": [256, 27, 27],
        "pool2": [256, 13, 13],
        "conv5": [256, 13, 13],
        "pool5": [256, 6, 6],
    }
    assert {name: sides[name] for name in wanted} == wanted


@torch.no_grad()
def test_initial_values_of_2012(full: AlexNet) -> None:
    """N(0, .01) everywhere; biases 1 in conv2, conv4, conv5, fc6 and fc7, else 0 (section 5 of the paper)."""
    for name, part in full.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            layer = name.split(".")[1]
            assert float(part.weight[:64].std()) == pytest.approx(0.01, rel=0.02)
            assert part.bias is not None
            assert set(part.bias.unique().tolist()) == {1.0 if layer in "conv2 conv4 conv5 fc6 fc7" else 0.0}


def test_torchvisions_weights_fit_unchanged(successor: AlexNet) -> None:
    """The names and shapes of torchvision.models.alexnet, written out from its published weights."""
    shapes = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    }
    own = {name: tuple(value.shape) for name, value in successor.state_dict().items()}
    wanted = {f"{name}.weight": shape for name, shape in shapes.items()}
    wanted |= {f"{name}.bias": shape[:1] for name, shape in shapes.items()}
    assert own == wanted
    assert list(own) == [f"{name}.{kind}" for name in shapes for kind in ("weight", "bias")]
    assert sum(p.numel() for p in successor.parameters()) == 61_100_840
    dropouts = [name for name, part in successor.classifier.named_children() if isinstance(part, nn.Dropout)]
    assert dropouts == ["0", "3"]


def test_response_normalisation_is_the_papers_formula() -> None:
    """b_i = a_i / (2 + 1e-4 sum over planes i-2..i+2 of a^2)^.75, in plain loops; torch's own divides alpha by n."""
    norm = small(width=1.0).features.norm1
    a = 300 * torch.rand(1, 9, 2, 3, generator=generator(), dtype=torch.float64)
    b = torch.empty_like(a)
    for i in range(9):
        for y in range(2):
            for x in range(3):
                near = sum(float(a[0, j, y, x]) ** 2 for j in range(max(0, i - 2), min(9, i + 3)))
                b[0, i, y, x] = float(a[0, i, y, x]) / (2 + 1e-4 * near) ** 0.75
    assert torch.allclose(norm(a), b, rtol=1e-12)


def test_groups_see_their_own_half() -> None:
    """As on two GPUs: in conv2, conv4 and conv5 the first half of the planes reads the first half alone."""
    net = small().double()
    for name in ("conv2", "conv4", "conv5"):
        convolution: nn.Conv2d = getattr(net.features, name)
        x = torch.rand(1, convolution.in_channels, 5, 5, generator=generator(), dtype=torch.float64, requires_grad=True)
        half = convolution.out_channels // 2
        (slope,) = torch.autograd.grad(convolution(x)[:, :half].sum(), x)
        reads = slope.abs().sum((0, 2, 3)) > 0
        assert reads.tolist() == [True] * (convolution.in_channels // 2) + [False] * (convolution.in_channels // 2)


def test_small_pictures_are_enlarged_inside() -> None:
    whole, inside = small(picture=67), small()
    x = torch.rand(2, 1, 28, 28, generator=generator(1))
    large = F.interpolate(x, size=(67, 67), mode="bilinear", align_corners=False)
    assert torch.equal(whole.eval()(large), inside.eval()(x))
    with pytest.raises(ConfigError, match="size is 66; 2012 needs images of at least 67 x 67"):
        small(size=66)
    with pytest.raises(ConfigError, match="size is 62; one-weird-trick needs images of at least 63 x 63"):
        AlexNet(variant="one-weird-trick", size=62)
    with pytest.raises(ConfigError, match="variant is '2013'"):
        AlexNet(variant="2013")


def test_it_learns_64_pictures_by_heart() -> None:
    """64 digits, enlarged: the loss falls below .01 in evaluation mode."""
    data, model = load_data("mnist").train.take(64), small(dropout=0.2)
    fit(model, Backprop(), data, optimizer=optimizer("adam", lr=1e-3), epochs=60, batch_size=32)
    with torch.no_grad():
        assert float(F.cross_entropy(model(data.inputs), data.targets)) < 0.01


@torch.no_grad()
def test_operations_of_2012(full: AlexNet) -> None:
    """724.4 million multiply-accumulates, as published: 105.4, 223.9, 149.5, 112.1, 74.8, 37.7, 16.8 and 4.1."""
    bill = count(full, torch.rand(1, 3, 227, 227, generator=generator(1)))
    assert bill.operations["mac"] == 724_406_816
    assert bill.uncounted == ()
