"""LeNet of 1989: the paper's counts, its wiring by brute force, and its kernel against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from threegen.errors import ConfigError, DataError, ShapeError
from threegen.gen2.lenet_1989 import READS, LeNet1989


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=generator(seed))


def test_parameters_and_connections_of_the_paper() -> None:
    """LeCun et al. 1989: 1,068 + 2,592 + 5,790 + 310 = 9,760 parameters; 64,660 connections."""
    model = LeNet1989()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.layers.named_children()}
    wanted = {"h1": 300, "bias1": 768, "h2": 2_400, "bias2": 192, "h3": 5_790, "output": 310}
    assert {name: number for name, number in counts.items() if number} == wanted
    assert sum(p.numel() for p in model.parameters()) == 9_760
    assert model.connections() == {"h1": 19_968, "h2": 38_592, "h3": 5_790, "output": 310}
    assert sum(model.connections().values()) == 64_660


def test_each_plane_of_h2_reads_eight_planes() -> None:
    """By the derivatives of H2's potentials: planes 0-3 read 0-7, 4-7 read 4-11, 8-11 read 0-3 and 8-11."""
    model = LeNet1989(generator=generator())
    states = torch.rand(1, 12, 8, 8, generator=generator(1), requires_grad=True)
    layers = model.layers
    potentials = layers.h2(layers.reads(layers.border2(states)))
    for plane in range(12):
        (slope,) = torch.autograd.grad(potentials[0, plane].sum(), states, retain_graph=True)
        read = [k for k in range(12) if slope[0, k].abs().sum() > 0]
        assert read == list(READS[plane // 4])


@torch.no_grad()
def test_one_unit_by_hand() -> None:
    """A unit of H1 at the border: the mean of each pixel's area, -1 outside, its own bias, then the tanh."""
    model = LeNet1989(generator=generator(), cut=4).double()  # 20 x 20 to 16 x 16: areas overlap
    x = images(1).double()
    with torch.no_grad():
        model.layers.bias1.bias.normal_(generator=generator(2))
        states = model.layers[:5](x)
    inner = x[0, 0, 4:24, 4:24]

    def pixel(row: int, column: int) -> float:
        if not (0 <= row < 16 and 0 <= column < 16):
            return -1.0
        rows = slice(row * 20 // 16, -(-(row + 1) * 20 // 16))
        columns = slice(column * 20 // 16, -(-(column + 1) * 20 // 16))
        return 2.0 * float(inner[rows, columns].mean()) - 1.0

    for plane, row, column in ((0, 0, 0), (5, 3, 7), (11, 7, 7)):
        kernel = model.layers.h1.weight[plane, 0]
        u = float(model.layers.bias1.bias[plane, row, column])
        u += sum(float(kernel[i, j]) * pixel(2 * row + i - 2, 2 * column + j - 2) for i in range(5) for j in range(5))
        assert math.isclose(float(states[0, plane, row, column]), 1.7159 * math.tanh(2 / 3 * u), rel_tol=1e-6)


@torch.no_grad()
def test_the_kernel_is_autograd_one_example_at_a_time() -> None:
    """The compiled steps in float32 against the plain ones in float64, 30 updates."""
    kernel = LeNet1989(generator=generator())
    plain = LeNet1989(generator=generator()).double()
    x, labels = images(30), torch.arange(30) % 10
    before = [p.detach().clone() for p in kernel.parameters()]
    losses = [
        model.learn_one_by_one(x.to(p), labels, 0.05) for model in (kernel, plain) for p in [model.layers.h1.weight]
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    for (name, fast), slow, first in zip(kernel.named_parameters(), plain.parameters(), before, strict=True):
        assert float((slow - first).abs().max()) > 1e-4, name  # it has moved
        assert torch.allclose(fast.double(), slow, atol=3e-6), name


def test_other_numbers_of_classes_and_targets() -> None:
    model, x = LeNet1989(3, generator=generator()), images(4)
    assert model(x).shape == (4, 3)
    labels = torch.tensor([0, 1, 2, 0])
    signed = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, -1]])
    twin = LeNet1989(3, generator=generator())
    assert float(model.learn_one_by_one(x, labels, 0.1)) == float(twin.learn_one_by_one(x, signed, 0.1))
    with pytest.raises(DataError, match=r"label 3 at index 1 is outside 0\.\.2"):
        model.learn_one_by_one(x[:2], torch.tensor([0, 3]), 0.1)
    with pytest.raises(ShapeError, match=r"targets \[4, 2\] do not fit 3 scores"):
        model.learn_one_by_one(x, signed[:, :2], 0.1)
    with pytest.raises(ConfigError, match="classes must be a whole number"):
        LeNet1989(0)
