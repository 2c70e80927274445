"""LeNet-5 of 1998: the paper's counts and tables, sub-sampling, distances and codes by hand."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from threegen.errors import ConfigError
from threegen.gen2.digit_codes import DRAWINGS, digit_codes
from threegen.gen2.lenet_5 import LeNet5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_parameters_and_connections_of_the_paper() -> None:
    """LeCun et al. 1998, section II.B: 60,000 trainable parameters, 340,908 connections."""
    model = LeNet5()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.layers.named_children()}
    wanted = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: number for name, number in counts.items() if number} == wanted
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 60_000
    assert model.connections() == {
        "c1": 122_304,
        "s2": 5_880,
        "c3": 151_600,
        "s4": 2_000,
        "c5": 48_120,
        "f6": 10_164,
        "rbf": 840,
    }
    assert sum(model.connections().values()) == 340_908


def test_the_connection_table_of_c3() -> None:
    """Table I of the paper, column by column; read from the derivatives of C3's potentials."""
    table_i = [
        "X...XXX..XXXX.XX",
        "XX...XXX..XXXX.X",
        "XXX...XXX..X.XXX",
        ".XXX..XXXX..X.XX",
        "..XXX..XXXX.XX.X",
        "...XXX..XXXX.XXX",
    ]
    model = LeNet5(generator=generator())
    states = torch.rand(1, 6, 14, 14, generator=generator(1), requires_grad=True)
    potentials = model.layers.c3(states)
    assert potentials.shape == (1, 16, 10, 10)
    for plane in range(16):
        (slope,) = torch.autograd.grad(potentials[0, plane].sum(), states, retain_graph=True)
        read = "".join("X" if slope[0, k].abs().sum() > 0 else "." for k in range(6))
        assert read == "".join(row[plane] for row in table_i), plane
    dense = torch.nn.functional.conv2d(states, model.layers.c3.weight, model.layers.c3.bias)
    assert torch.equal(potentials, dense)


@torch.no_grad()
def test_subsampling_by_hand() -> None:
    model = LeNet5(generator=generator())
    s2 = model.layers.s2
    with torch.no_grad():
        s2.bias.normal_(generator=generator(3))
    x = torch.rand(1, 6, 4, 4, generator=generator(1))
    for plane, row, column in ((0, 0, 0), (5, 1, 1), (2, 0, 1)):
        total = sum(float(x[0, plane, 2 * row + i, 2 * column + j]) for i in (0, 1) for j in (0, 1))
        wanted = float(s2.coefficient[plane]) * total + float(s2.bias[plane])
        assert math.isclose(float(s2(x)[0, plane, row, column]), wanted, rel_tol=1e-5, abs_tol=1e-6)


@torch.no_grad()
def test_scaling_and_border() -> None:
    """White is -0.1, black 1.175, and 28 x 28 become 32 x 32 with a white border."""
    x = torch.zeros(1, 1, 28, 28)
    x[0, 0, 0, 0] = 1.0
    scaled = LeNet5().layers.scaling(x)
    assert scaled.shape == (1, 1, 32, 32)
    assert float(scaled[0, 0, 2, 2]) == pytest.approx(1.175)
    assert float(scaled.sum()) == pytest.approx(1.175 - 0.1 * (32 * 32 - 1), rel=1e-5)


@torch.no_grad()
def test_scores_are_negated_squared_distances() -> None:
    model = LeNet5(generator=generator())
    x = torch.rand(2, 1, 28, 28, generator=generator(1))
    states, codes = model.last_units(x), digit_codes()
    assert states.shape == (2, 84)
    scores = model(x)
    for image in range(2):
        for digit in range(10):
            pairs = zip(states[image].tolist(), codes[digit].tolist(), strict=True)
            assert float(scores[image, digit]) == pytest.approx(-sum((a - b) ** 2 for a, b in pairs), rel=1e-5)
    exact = model.score_units(codes)
    assert torch.equal(exact.argmax(1), torch.arange(10))
    assert float(exact.diagonal().abs().max()) == 0.0


def test_codes_are_drawings_that_differ() -> None:
    """Hamming distances of all pairs, counted mark by mark; squared distances are four times as large."""
    flat = ["".join(drawing.split()) for drawing in DRAWINGS]
    assert all(len(one) == 84 and set(one) == {"#", "."} for one in flat)
    distances = {
        (a, b): sum(x != y for x, y in zip(flat[a], flat[b], strict=True)) for a, b in combinations(range(10), 2)
    }
    assert min(distances.values()) == distances[3, 5] == 19
    assert max(distances.values()) == distances[0, 1] == 57
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    for (a, b), marks in distances.items():
        assert float((codes[a] - codes[b]).square().sum()) == 4.0 * marks


def test_codes_of_other_classes() -> None:
    codes = torch.sign(torch.randn(26, 84, generator=generator()))
    model = LeNet5(codes=codes)
    assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 26)
    assert sum(p.numel() for p in model.parameters()) == 60_000
    with pytest.raises(
        ConfigError, match=r"codes must be floating numbers \[classes, 84\], got torch.float32 \[26, 83\]"
    ):
        LeNet5(codes=codes[:, :83])


@torch.no_grad()
def test_initial_values_lie_within_the_papers_bounds() -> None:
    """U(-2.4 / F, 2.4 / F): F is 25, 4, 75 to 150, 4, 400, 120; biases are zero."""
    model = LeNet5(generator=generator())
    layers = model.layers
    assert 0.09 < float(layers.c1.weight.abs().max()) <= 2.4 / 25
    assert 0.0059 < float(layers.c5.weight.abs().max()) <= 2.4 / 400
    assert 0.0199 < float(layers.f6.weight.abs().max()) <= 2.4 / 120
    first, last = layers.c3.kernels[0], layers.c3.kernels[-1]
    assert float(first.abs().max()) <= 2.4 / 75
    assert float(last.abs().max()) <= 2.4 / 150
    assert all(float(p.abs().max()) == 0 for name, p in model.named_parameters() if name.endswith("bias"))
