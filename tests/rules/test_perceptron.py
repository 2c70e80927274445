"""Rosenblatt's rule against plain loops, hand calculations and logic gates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError, NumericError, ShapeError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.mlp import MLP
from threegen.rules.perceptron import PerceptronRule
from threegen.testing import run_rule

CORNERS = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
GATES = {"and": [1, 0, 0, 0], "or": [1, 1, 1, 0], "nand": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}


def train(model: Perceptron, batch: Batch, *, rate: float = 1.0, passes: int = 1) -> int:
    """Return the number of mistakes of the last pass."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    mistakes = 0
    for _ in range(passes):
        mistakes = len(run_rule(PerceptronRule(), model, batch, torch.Generator(), optimizer))
    return mistakes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_and_unit_ends_where_the_textbook_says(dtype: torch.dtype) -> None:
    """Rate .1, ten passes from zero: weights [.1 .2], bias -.2. Ten sums of .1 are not exact, hence approx."""
    unit = Perceptron(2).to(dtype)
    assert train(unit, Batch(CORNERS.to(dtype), torch.tensor(GATES["and"])), rate=0.1, passes=10) == 0
    assert unit.weight[0].tolist() == pytest.approx([0.1, 0.2], abs=1e-6)
    assert unit.bias.tolist() == pytest.approx([-0.2], abs=1e-6)


def test_and_unit_in_whole_numbers() -> None:
    """With rate 1 the sums are exact: [1 2], -2. Firing at u >= 0 would end at [1 2], -3 (checked by a plain loop)."""
    unit = Perceptron(2)
    train(unit, Batch(CORNERS, torch.tensor(GATES["and"])), passes=10)
    assert unit.weight.tolist() == [[1.0, 2.0]]
    assert unit.bias.tolist() == [-2.0]
    weight, bias = [0, 0], 0
    for _ in range(10):
        for (x1, x2), t in zip(CORNERS.int().tolist(), GATES["and"], strict=True):
            error = t - int(weight[0] * x1 + weight[1] * x2 + bias >= 0)
            weight, bias = [weight[0] + error * x1, weight[1] + error * x2], bias + error
    assert (weight, bias) == ([1, 2], -3)


@pytest.mark.parametrize("gate", ["and", "or", "nand"])
def test_separable_gates_are_learnt_exactly(gate: str) -> None:
    unit, targets = Perceptron(2), torch.tensor(GATES[gate])
    assert train(unit, Batch(CORNERS, targets), passes=10) == 0
    assert torch.equal(unit.predict(CORNERS), targets)
    assert torch.equal(unit.fires(CORNERS)[:, 0], targets)


def test_xor_is_never_learnt() -> None:
    """Minsky and Papert 1969: no line separates it. The weights run in a cycle, each pass has mistakes."""
    unit, targets = Perceptron(2), torch.tensor(GATES["xor"])
    assert all(train(unit, Batch(CORNERS, targets)) > 0 for _ in range(200))
    assert not torch.equal(unit.predict(CORNERS), targets)
    assert unit.weight.abs().max() < 10


def test_gates_side_by_side() -> None:
    """Targets [B, K]: three independent units learn as they would alone."""
    targets = torch.tensor([GATES[name] for name in ("and", "or", "nand")]).T
    units = Perceptron(2, 3)
    assert train(units, Batch(CORNERS, targets.float()), passes=10) == 0
    for place, name in enumerate(("and", "or", "nand")):
        alone = Perceptron(2)
        train(alone, Batch(CORNERS, torch.tensor(GATES[name])), passes=10)
        assert torch.equal(units.weight[place], alone.weight[0])


def test_one_winner_update_by_hand() -> None:
    """Scores (3, 5, 1), true class 0: the winner 1 loses x, class 0 gains it; E = 5 - 3."""
    model = Perceptron(2, 3)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0], [5.0, 0.0], [1.0, 0.0]]))
    batch = Batch(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))
    (step,) = PerceptronRule()(model, batch, torch.Generator())
    assert step.figures["loss"].item() == 2.0
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [[-1.0, -2.0], [1.0, 2.0], [0.0, 0.0]]
    assert model.bias.grad.tolist() == [-1.0, 1.0, 0.0]


def whole_numbers(examples: int, outputs: int) -> Batch:
    """Small whole inputs: every sum is exact, so that any order of summing gives the same bits."""
    generator = torch.Generator().manual_seed(examples)
    inputs = torch.randint(0, 4, (examples, 20), generator=generator).float()
    return Batch(inputs, torch.randint(0, max(outputs, 2), (examples,), generator=generator))


def by_example(batch: Batch, outputs: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """The rule as the paper tells it, one example at a time; also the mean weight after every example."""
    weight, bias = torch.zeros(outputs, 20), torch.zeros(outputs)
    total, mistakes = torch.zeros(outputs, 20), 0
    for x, target in zip(batch.inputs, batch.targets.tolist(), strict=True):
        potential = weight @ x + bias
        if outputs == 1:
            error = torch.tensor([target - float(potential[0] > 0)])
        else:
            error = torch.zeros(outputs)
            error[target] += 1
            error[int(potential.argmax())] -= 1
        mistakes += bool(error.any())
        weight, bias = weight + error[:, None] * x, bias + error
        total += weight
    return weight, bias, total / len(batch), mistakes


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("examples", [1, 15, 16, 17, 200])
def test_equals_the_rule_example_by_example(examples: int, outputs: int) -> None:
    """Batches around the size of the window of potentials computed ahead (16), and a long one."""
    batch = whole_numbers(examples, outputs)
    weight, bias, mean, mistakes = by_example(batch, outputs)
    model = Perceptron(20, outputs, averaged=True)
    assert train(model, batch) == mistakes
    assert torch.equal(model.weight, weight)
    assert torch.equal(model.bias, bias)
    assert model.examples.item() == examples
    assert torch.allclose(model.eval().answering()[0], mean, rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 4])
def test_the_cut_into_batches_changes_nothing(outputs: int) -> None:
    whole = whole_numbers(200, outputs)
    together, pieces = (Perceptron(20, outputs, averaged=True) for _ in range(2))
    train(together, whole)
    for start in range(0, 200, 7):
        train(pieces, Batch(whole.inputs[start : start + 7], whole.targets[start : start + 7]))
    assert torch.equal(together.weight, pieces.weight)
    assert torch.equal(together.weight_sum, pieces.weight_sum)
    assert together.examples.item() == pieces.examples.item()


def test_the_rate_only_scales() -> None:
    """From zero, rate 4 gives exactly 4 times the weights and the average of rate 1 (a power of two: no rounding)."""
    batch = whole_numbers(200, 4)
    one, four = (Perceptron(20, 4, averaged=True) for _ in range(2))
    train(one, batch)
    train(four, batch, rate=4.0)
    assert torch.equal(4 * one.weight, four.weight)
    assert torch.equal(4 * one.weight_sum, four.weight_sum)


def test_no_mistake_no_yield() -> None:
    batch = whole_numbers(50, 4)
    model = Perceptron(20, 4)
    batch.targets = model.predict(batch.inputs)
    assert list(PerceptronRule()(model, batch, torch.Generator())) == []


def test_the_average_must_not_answer_while_learning() -> None:
    model = Perceptron(20, 4, averaged=True).eval()
    with pytest.raises(ConfigError, match=r"evaluation mode; call model.train\(\)"):
        train(model, whole_numbers(5, 4))


def test_wrong_model_is_named() -> None:
    with pytest.raises(ConfigError, match=r"PerceptronRule needs a model with potentials\(\), MLP has none"):
        PerceptronRule().check(MLP([4, 2]))


@pytest.mark.parametrize(
    ("outputs", "targets", "error", "message"),
    [
        (4, [0, 4], DataError, r"label 4 at index 1 is outside 0\.\.3"),
        (4, [-100, 1], DataError, r"label -100 at index 0 is outside 0\.\.3"),
        (4, [0.0, 1.0], DataError, "labels must be whole numbers"),
        (1, [0, 2], DataError, r"target is 0 or 1, got 2 at \[1, 0\]"),
        (1, [-1.0, 1.0], DataError, r"target is 0 or 1, got -1\.0 at \[0, 0\]"),
        (3, [[0, 1], [1, 0]], ShapeError, r"targets of 3 units must be \[B\] or \[B, 3\], got \[2, 2\]"),
        (4, [1], DataError, "2 inputs but 1 targets"),
    ],
)
def test_bad_targets_are_named(outputs: int, targets: list[float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(Perceptron(20, outputs), Batch(torch.ones(2, 20), torch.tensor(targets)))


def test_bad_inputs_are_named() -> None:
    inputs = torch.ones(2, 20)
    inputs[1, 3] = torch.inf
    with pytest.raises(NumericError, match=r"1 non-finite values, first at \[1, 3\]"):
        train(Perceptron(20, 4), Batch(inputs, torch.tensor([0, 1])))
    with pytest.raises(DataError, match="empty batch"):
        train(Perceptron(20, 4), Batch(torch.ones(0, 20), torch.ones(0, dtype=torch.int64)))
    with pytest.raises(ShapeError, match="Perceptron expects"):
        train(Perceptron(20, 4), Batch(torch.ones(2, 19), torch.tensor([0, 1])))
