"""The multi-layer perceptron: its equation, its initial values, its options."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from threegen.errors import ConfigError, ShapeError
from threegen.gen2.initial_values import convolution, fill_weight
from threegen.gen2.mlp import MLP


def test_documented_equation() -> None:
    """a = relu(W1 x + b1), s = W2 a + b2, evaluated layer by layer."""
    model = MLP([5, 4, 3, 2], generator=torch.Generator().manual_seed(0))
    for layer in (model.layers.linear1, model.layers.linear2, model.layers.linear3):
        nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(1))
    x = torch.rand(7, 5, generator=torch.Generator().manual_seed(2))
    a = x
    for layer in (model.layers.linear1, model.layers.linear2):
        a = torch.clamp(a @ layer.weight.T + layer.bias, min=0)
    assert torch.allclose(model(x), a @ model.layers.linear3.weight.T + model.layers.linear3.bias, atol=1e-6)


def test_the_classic_net_has_the_published_number_of_parameters() -> None:
    """784 * 512 + 512 + 512 * 10 + 10 = 407,050."""
    assert sum(p.numel() for p in MLP([784, 512, 10]).parameters()) == 407_050


def test_order_and_names_of_the_parts() -> None:
    model = MLP([4, 3, 2], activation="sigmoid", dropout=0.5, batch_norm=True)
    assert [name for name, _ in model.layers.named_children()] == [
        "linear1", "norm1", "activation1", "dropout1", "linear2",
    ]  # fmt: skip
    assert [name for name, _ in MLP([4, 2]).layers.named_children()] == ["linear1"]
    assert isinstance(MLP([4, 3, 2], activation="tanh").layers.activation1, nn.Tanh)


def test_hooks_on_the_parts_see_the_signals() -> None:
    model, seen = MLP([4, 3, 2]), []
    model.layers.activation1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model(torch.zeros(5, 1, 2, 2))
    assert seen == [(5, 3)]


@pytest.mark.parametrize(
    ("init", "deviation"),
    [  # 400 inputs, 100 outputs
        ("xavier", math.sqrt(1 / 400)),
        ("glorot", math.sqrt(2 / 500)),
        ("glorot-uniform", math.sqrt(2 / 500)),  # U(-a, a) has variance a^2 / 3 = 6 / 500 / 3
        ("he", math.sqrt(2 / 400)),
        (0.01, 0.01),
        ("zeros", 0.0),
        (0, 0.0),
    ],
)
def test_initial_spread(init: str | float, deviation: float) -> None:
    """Means and deviations of 40,000 draws, give or take 4 standard errors."""
    layer = MLP([400, 100], init=init, generator=torch.Generator().manual_seed(0)).layers.linear1
    assert layer.weight.mean().item() == pytest.approx(0.0, abs=4 * deviation / 200)
    assert layer.weight.std().item() == pytest.approx(deviation, abs=4 * deviation / 80_000**0.5)
    assert not layer.bias.any()


def test_glorot_uniform_stays_within_its_bound() -> None:
    bound = math.sqrt(6 / 500)
    weight = MLP([400, 100], generator=torch.Generator().manual_seed(0)).layers.linear1.weight
    assert 0.99 * bound < weight.abs().max().item() <= bound


def test_a_kernel_counts_in_the_fans() -> None:
    """6 planes of 5x5 make 150 connections into a unit: he gives sqrt(2 / 150)."""
    layer = convolution(6, 400, 5, "he", torch.Generator().manual_seed(0))
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 150), rel=0.02)


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(0)
    one = MLP([6, 5, 4], generator=torch.Generator().manual_seed(7))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    two = MLP([6, 5, 4], generator=torch.Generator().manual_seed(7))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.layers.linear1.weight, MLP([6, 5, 4]).layers.linear1.weight)


def test_dropout_and_normalisation_know_the_mode() -> None:
    model = MLP([6, 50, 4], dropout=0.5, batch_norm=True, generator=torch.Generator().manual_seed(0))
    x = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [784]}, "sizes must list at least 2"),
        ({"sizes": [784, 0, 10]}, r"sizes\[1\] must be a whole number of at least 1, got 0"),
        ({"sizes": 784}, "sizes must be a list of layer sizes"),
        ({"activation": "rleu"}, r"activation is 'rleu'.*did you mean 'relu'"),
        ({"init": "glorot_uniform"}, r"init is 'glorot_uniform'.*did you mean 'glorot-uniform'"),
        ({"init": -0.1}, "init .* at least 0.0, got -0.1"),
        ({"init": math.nan}, "init .* finite number"),
        ({"dropout": 1.0}, "dropout must be .* below 1.0, got 1.0"),
        ({"dropout": -0.1}, "dropout must be .* at least 0.0"),
    ],
)
def test_bad_settings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MLP(**{"sizes": [4, 3, 2], **options})  # type: ignore[arg-type]


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(ShapeError, match=r"MLP expects \[B, 784\] or images of 784 pixels, got \[2, 3, 28, 28\]"):
        MLP([784, 10])(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ShapeError, match="MLP expects a tensor, got list"):
        MLP([784, 10])([0.0])
    with pytest.raises(ShapeError, match=r"torch\.uint8; use x\.float"):
        MLP([784, 10])(torch.zeros(2, 784, dtype=torch.uint8))


def test_autocast_may_narrow_the_numbers() -> None:
    model = MLP([4, 3, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.rand(2, 4)).dtype == torch.bfloat16


def test_fill_weight_names_an_unknown_scheme() -> None:
    with pytest.raises(ConfigError, match="init is 'lecun'"):
        fill_weight(torch.zeros(2, 2), "lecun")
