"""The delta rule against hand calculations and the least-squares solution."""

from __future__ import annotations

import pytest
import torch

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.mlp import MLP
from threegen.rules.delta import DeltaRule
from threegen.testing import run_rule


def test_one_update_by_hand() -> None:
    """w = 0, b = 0: u = 0, targets +1 and -1. mean (t - u) x = (1*2 - 1*4)/2 = -1 and (1*0 - 1*2)/2 = -1; bias 0."""
    unit = Perceptron(2)
    batch = Batch(torch.tensor([[2.0, 0.0], [4.0, 2.0]]), torch.tensor([1, 0]))
    figures = run_rule(DeltaRule(), unit, batch, torch.Generator(), torch.optim.SGD(unit.parameters(), lr=0.5))
    assert figures == [{"loss": 0.5}]  # 1/2 (1 + 1) / 2
    assert unit.weight.tolist() == [[-0.5, -0.5]]
    assert unit.bias.tolist() == [0.0]


def test_coding_of_the_labels() -> None:
    """One unit a class, zero weights: the gradient of the bias is minus the mean target."""
    batch = Batch(torch.zeros(4, 2), torch.tensor([0, 0, 0, 2]))
    for rule, expected in ((DeltaRule(), [-0.5, 1.0, 0.5]), (DeltaRule(off=0.0), [-0.75, 0.0, -0.25])):
        units = Perceptron(2, 3)
        list(rule(units, batch, torch.Generator()))
        assert units.bias.grad.tolist() == expected


def test_reaches_the_least_squares_solution() -> None:
    """ADALINE's fixed point is the solution of the normal equations, here found by torch.linalg.lstsq."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    units = Perceptron(3, 2).double()
    optimizer = torch.optim.SGD(units.parameters(), lr=0.5)
    for _ in range(300):
        run_rule(DeltaRule(), units, Batch(inputs, targets), generator, optimizer)
    solution = torch.linalg.lstsq(torch.cat([inputs, torch.ones(30, 1)], 1), targets).solution
    assert torch.allclose(torch.cat([units.weight, units.bias[:, None]], 1), solution.T, atol=1e-9)


def test_answers_by_the_sign() -> None:
    """AND, learnt with targets -1 and +1: least squares give u = x1 + x2 - 1.5, which has the sign of the gate."""
    corners, targets = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), torch.tensor([1, 0, 0, 0])
    unit = Perceptron(2)
    optimizer = torch.optim.SGD(unit.parameters(), lr=0.5)
    for _ in range(300):
        run_rule(DeltaRule(), unit, Batch(corners, targets), torch.Generator(), optimizer)
    assert [*unit.weight[0].tolist(), unit.bias.item()] == pytest.approx([1.0, 1.0, -1.5], abs=1e-4)
    assert torch.equal(unit.predict(corners), targets)


def test_bad_settings_and_labels_are_named() -> None:
    with pytest.raises(ConfigError, match=r"off must be below on, got off=1\.0, on=1\.0"):
        DeltaRule(off=1.0)
    with pytest.raises(ConfigError, match="off must be a finite number"):
        DeltaRule(off=float("nan"))
    with pytest.raises(ConfigError, match=r"DeltaRule needs a model with potentials\(\), MLP has none"):
        DeltaRule().check(MLP([4, 2]))
    with pytest.raises(DataError, match=r"label 3 at index 0 is outside 0\.\.2"):
        list(DeltaRule()(Perceptron(2, 3), Batch(torch.zeros(1, 2), torch.tensor([3])), torch.Generator()))
    with pytest.raises(DataError, match=r"label 2 at index 0 is outside 0\.\.1"):
        list(DeltaRule()(Perceptron(2), Batch(torch.zeros(1, 2), torch.tensor([2])), torch.Generator()))
