"""The perceptron and the sigmoid neuron against hand calculations."""

from __future__ import annotations

import copy

import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.gen1.perceptron import Perceptron, SigmoidNeuron


def test_starts_at_zero_and_silent() -> None:
    """u = 0 everywhere, and a unit fires above zero only."""
    unit = Perceptron(2)
    corners = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert unit.potentials(corners).tolist() == [[0.0], [0.0]]
    assert unit.fires(corners).tolist() == [[0], [0]]
    assert unit.predict(corners).tolist() == [0, 0]


def test_documented_equation() -> None:
    """u = W x + b by hand: 2*1 - 1*3 + 0.5 = -0.5 and 1*1 + 1*3 - 3 = 1."""
    units = Perceptron(2, 2)
    units.load_state_dict({"weight": torch.tensor([[2.0, -1.0], [1.0, 1.0]]), "bias": torch.tensor([0.5, -3.0])})
    point = torch.tensor([[1.0, 3.0]])
    assert units(point).tolist() == [[-0.5, 1.0]]
    assert units.fires(point).tolist() == [[0, 1]]
    assert units.predict(point).tolist() == [1]


def test_images_are_flattened() -> None:
    units = Perceptron(784, 10)
    torch.nn.init.normal_(units.weight, generator=torch.Generator().manual_seed(0))
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    assert torch.equal(units(images), units(images.flatten(1)))


def test_construction_draws_nothing_from_torchs_generator() -> None:
    before = torch.random.get_rng_state()
    Perceptron(4, 2)
    SigmoidNeuron(4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.random.get_rng_state())


def averaged_unit() -> Perceptron:
    """Lives through 3 examples with w = 2, b = 1 and 1 example with w = -2, b = 5: averages 1 and 2."""
    unit = Perceptron(1, averaged=True)
    with torch.no_grad():
        for weight, bias, examples in ((2.0, 1.0, 3), (-2.0, 5.0, 1)):
            unit.weight.fill_(weight)
            unit.bias.fill_(bias)
            unit.accumulate(examples)
    return unit


def test_average_answers_in_evaluation_mode() -> None:
    unit, point = averaged_unit(), torch.tensor([[10.0]])
    assert unit.train()(point).item() == -15.0  # -2 * 10 + 5
    assert unit.eval()(point).item() == 12.0  # 1 * 10 + 2
    assert [value.item() for value in unit.answering()] == [1.0, 2.0]


def test_average_is_saved_and_does_not_change_the_weights() -> None:
    unit, other = averaged_unit(), Perceptron(1, averaged=True)
    other.load_state_dict(copy.deepcopy(unit.state_dict()))
    assert other.examples.item() == 4
    assert other.eval()(torch.tensor([[10.0]])).item() == 12.0
    assert other.weight.item() == -2.0


def test_before_the_first_example_the_present_weights_answer() -> None:
    unit = Perceptron(1, averaged=True)
    torch.nn.init.ones_(unit.weight)
    assert unit.eval()(torch.tensor([[3.0]])).item() == 3.0


def test_accumulate_without_averaging_does_nothing() -> None:
    unit = Perceptron(1)
    unit.accumulate(5)
    assert set(unit.state_dict()) == {"weight", "bias"}


def test_sigmoid_neuron_equation() -> None:
    """u = 0.6 * 0.5 - 0.8 * 1 + 0.5 = 0, y = 1/2; u = ln 3 gives y = 3/4."""
    neuron = SigmoidNeuron(2)
    neuron.load_state_dict({"weight": torch.tensor([[0.6, -0.8]]), "bias": torch.tensor([0.5])})
    assert neuron(torch.tensor([[0.5, 1.0]])).item() == pytest.approx(0.5)
    neuron.load_state_dict({"weight": torch.zeros(1, 2), "bias": torch.tensor([3.0]).log()})
    assert neuron(torch.zeros(1, 2)).item() == pytest.approx(0.75)
    assert neuron.predict(torch.zeros(1, 2)).tolist() == [1]


def test_sigmoid_neuron_learns_by_the_textbook_gradient() -> None:
    """dE/dw = (y - t) y (1 - y) x with y = 1/2, t = 1, x = (2, -1): -1/8 x = (-0.25, 0.125)."""
    neuron = SigmoidNeuron(2)
    torch.nn.init.zeros_(neuron.weight)
    (0.5 * (neuron(torch.tensor([[2.0, -1.0]])) - 1.0).square()).sum().backward()
    assert neuron.weight.grad is not None
    assert neuron.weight.grad.tolist() == [[-0.25, 0.125]]


def test_sigmoid_neurons_initial_spread() -> None:
    """N(0, 1/inputs): 40,000 draws at 400 inputs have a deviation of .05, give or take 4 standard errors."""
    weight = SigmoidNeuron(400, 100, generator=torch.Generator().manual_seed(0)).weight
    assert weight.std().item() == pytest.approx(0.05, abs=4 * 0.05 / 80_000**0.5)


@pytest.mark.parametrize("model", [Perceptron(784, 10), SigmoidNeuron(784, 10)])
def test_wrong_inputs_are_named(model: torch.nn.Module) -> None:
    name = type(model).__name__
    with pytest.raises(ShapeError, match=rf"{name} expects \[B, 784\].*got \[5, 783\]"):
        model(torch.zeros(5, 783))
    with pytest.raises(ShapeError, match=f"{name} expects floating-point values, got torch.uint8"):
        model(torch.zeros(5, 784, dtype=torch.uint8))
    with pytest.raises(ShapeError, match=r"got torch\.float64; use x\.to"):
        model(torch.zeros(5, 784, dtype=torch.float64))


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 1), (784, 0), (-1, 1), (2.5, 1)])
def test_sizes_must_be_whole_and_positive(inputs: int, outputs: int) -> None:
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        Perceptron(inputs, outputs)
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        SigmoidNeuron(inputs, outputs)
