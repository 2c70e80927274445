"""LeNet-5 in its widespread form: the counts of its table."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from threegen.errors import ConfigError, ShapeError
from threegen.gen2.lenet import LeNet5Modern


def test_parameters_of_the_table() -> None:
    """(25 + 1) 6, (150 + 1) 16, (400 + 1) 120, (120 + 1) 84, (84 + 1) 10: 61,706. The 1998 net has 60,000."""
    model = LeNet5Modern()
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in model.layers.named_children()
        if any(True for _ in part.parameters())
    }
    assert counts == {"conv1": 156, "conv2": 2_416, "linear1": 48_120, "linear2": 10_164, "linear3": 850}
    assert sum(counts.values()) == 61_706


def test_planes_of_the_table() -> None:
    model, shapes = LeNet5Modern(), {}
    for name, part in model.layers.named_children():
        part.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: list(output.shape[1:])})
        )
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    wanted = {"conv1": [6, 28, 28], "pool1": [6, 14, 14], "conv2": [16, 10, 10], "pool2": [16, 5, 5], "linear1": [120]}
    assert {name: shapes[name] for name in wanted} == wanted


def test_the_border_is_that_of_a_32_by_32_image() -> None:
    """Two zeros around the image inside equal the paper's 32x32 input."""
    model = LeNet5Modern(generator=torch.Generator().manual_seed(0))
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    conv1 = model.layers.conv1
    padded = nn.functional.conv2d(nn.functional.pad(images, (2, 2, 2, 2)), conv1.weight, conv1.bias)
    assert torch.allclose(conv1(images), padded, atol=1e-6)


def test_another_number_of_classes() -> None:
    assert LeNet5Modern(26)(torch.zeros(1, 1, 28, 28)).shape == (1, 26)
    with pytest.raises(ConfigError, match="classes must be a whole number of at least 1, got 0"):
        LeNet5Modern(0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 784), r"expects \[B, 1, 28, 28\], got \[2, 784\]; use x.reshape\(-1, 1, 28, 28\)"),
        ((2, 28, 28), r"got \[2, 28, 28\]; use x.reshape"),
        ((2, 28, 28, 1), r"got \[2, 28, 28, 1\]"),
        ((2, 3, 32, 32), r"got \[2, 3, 32, 32\]$"),
    ],
)
def test_wrong_shapes_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        LeNet5Modern()(torch.zeros(shape))
