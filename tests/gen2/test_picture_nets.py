"""VGG and residual nets: parameter counts against the papers and by hand; the net of 2012 on two devices."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from threegen.errors import ConfigError, ShapeError
from threegen.gen2.alexnet import AlexNet
from threegen.gen2.resnet import ResidualBlock, ResNet
from threegen.gen2.vgg import VGG
from threegen.registry.entry import build_model, find_entry


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("blocks", "wanted"), [(3, 269_722), (5, 464_154), (9, 853_018)])
def test_parameters_of_residual_nets(blocks: int, wanted: int) -> None:
    """3 16 9 + 32; n blocks of 2 (k k 9 + 2 k) for k = 16, 32, 64, the first of a group from k / 2; 64 10 + 10.

    For n = 3: 464 + 13,824 + 192 + 50,688 + 384 + 202,752 + 768 + 650 = 269,722, the .27 million of the paper.
    """
    by_hand = 3 * 16 * 9 + 32 + 64 * 10 + 10
    for k, first in ((16, 16), (32, 16), (64, 32)):
        by_hand += first * k * 9 + (2 * blocks - 1) * k * k * 9 + 2 * blocks * 2 * k
    assert parameters(ResNet(10, blocks=blocks, generator=generator())) == by_hand == wanted


def test_parameters_of_vgg() -> None:
    """Configuration A at full width: 9,220,480 in convolutions, 123,642,856 in full layers (torchvision's vgg11)."""
    small = VGG(10, width=1.0, hidden=64, generator=generator())
    planes = [3, 64, 128, 256, 256, 512, 512, 512, 512]
    convolutions = sum(a * b * 9 + b for a, b in itertools.pairwise(planes))
    assert convolutions == 9_220_480
    assert parameters(small) == convolutions + 512 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10
    full = 512 * 7 * 7 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
    assert convolutions + full == 132_863_336


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("resnet-small", (3, 32, 32), 298_026),
        ("resnet-small", (1, 28, 28), 297_450),
        ("vgg-small", (3, 32, 32), 612_122),
        ("vgg-small", (1, 28, 28), 611_834),
        ("alexnet-small", (3, 32, 32), 1_796_458),
        ("alexnet-small", (1, 28, 28), 1_467_578),
    ],
)
def test_small_nets_of_the_registry(name: str, shape: tuple[int, int, int], wanted: int) -> None:
    """By hand, in colour.

    Residual: 3 32 9 + 64; 2 32 32 9 + 128; 32 64 9 + 64 64 9 + 256; 64 128 9 + 128 128 9 + 512;
    1,290.

    VGG: 9 (3 16 + 16 32 + 32 64 + 64 64 + 64 128 + 3 128 128) = 576,432; 2 688; 2 (128 128 + 128); 1,290.
    AlexNet: 1,824 + 19,264 + 55,392 + 41,568 + 27,712; 576 1024 + 1024; 1024 1024 + 1024; 10,250.
    """
    model = build_model(find_entry(name), shape, 10, 0, find_entry(name).plan("full").options)
    assert parameters(model) == wanted
    assert model(torch.rand(2, *shape, generator=generator())).shape == (2, 10)


def test_a_block_without_weights_hands_on_what_it_gets() -> None:
    """relu(x + 0) = x for x >= 0; halved, every second place, with planes of zeros added."""
    block = ResidualBlock(2, 4, 2, generator()).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 2, 6, 6, generator=generator(1))
    y = block(x)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, 0].any()
    assert not y[:, 3].any()


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 x 4 or more"):
        ResNet(10, shape=(3, 3, 3))
    with pytest.raises(ConfigError, match="configuration is 'C'"):
        VGG(10, configuration="C")
    with pytest.raises(ShapeError, match="ResNet expects"):
        ResNet(10, width=0.25)(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ConfigError, match="devices must be two"):
        AlexNet(10, variant="small", width=0.1, devices=("cpu",))
    with pytest.raises(ConfigError, match="splits the nets that have groups"):
        AlexNet(10, variant="one-weird-trick", width=0.1, devices=("cpu", "cpu"))


@pytest.mark.parametrize(("variant", "size"), [("2012", 67), ("small", 32)])
def test_two_devices_compute_the_whole_net(variant: str, size: int) -> None:
    """Scores and gradients, dropout off, in float32; the largest difference relative to the largest value."""
    options = {"variant": variant, "width": 0.125, "size": size, "dropout": 0.0}
    whole = AlexNet(7, generator=generator(3), **options)  # type: ignore[arg-type]
    split = AlexNet(7, generator=generator(3), devices=("cpu", "cpu"), **options)  # type: ignore[arg-type]
    assert parameters(split) == parameters(whole)
    x, y = torch.rand(4, 3, size, size, generator=generator(4)), torch.tensor([0, 3, 6, 1])
    scores, joined = whole(x), split(x)
    assert float((scores - joined).detach().abs().max()) <= 1e-5 * float(scores.detach().abs().max())
    for net in (whole, split):
        F.cross_entropy(net(x), y).backward()
    wanted = {name: p.grad for name, p in whole.named_parameters()}
    with torch.no_grad():
        for p in split.parameters():
            assert p.grad is not None
            p.copy_(p.grad)
    for name, gradient in split.whole_state().items():
        found = wanted[name]
        assert found is not None
        assert float((gradient - found).abs().max()) <= 1e-5 * max(1e-3, float(found.abs().max())), name


def test_joined_weights_are_those_of_the_whole_net() -> None:
    options = {"variant": "small", "width": 0.125, "generator": generator(5)}
    split = AlexNet(5, devices=("cpu", "cpu"), **options)  # type: ignore[arg-type]
    whole = AlexNet(5, **{**options, "generator": generator(5)})  # type: ignore[arg-type]
    for name, value in whole.state_dict().items():
        assert torch.equal(split.whole_state()[name], value), name
