"""Back-propagation: the losses by hand, the targets they take, the models they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError, NumericError, ShapeError
from threegen.gen1.perceptron import Perceptron, SigmoidNeuron
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop


class Scores(nn.Module):
    """Returns the same scores whatever the input: what a loss sees, without a net."""

    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(rows))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scores


def step(loss: Any, scores: Scores, targets: Any) -> float:
    (update,) = Backprop(loss)(
        scores, Batch(torch.zeros(len(scores.scores), 1), torch.tensor(targets)), torch.Generator()
    )
    assert update.pending
    return update.figures["loss"].item()


def test_cross_entropy_by_hand() -> None:
    """softmax(0, ln 3) = (1/4, 3/4); targets 1 and 0: -(ln 3/4 + ln 1/4) / 2; gradient (p - onehot) / 2."""
    model = Scores([0.0, math.log(3)], [0.0, math.log(3)])
    assert step("cross_entropy", model, [1, 0]) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    expected = torch.tensor([[0.125, -0.125], [-0.375, 0.375]])
    assert torch.allclose(model.scores.grad, expected)


def test_squared_errors_by_hand() -> None:
    """Errors (1, -2, 0) and (0, 0, 3), squares summing to 5 and 9.

    mse: 14 / 6, gradient 2 e / 6. sse: (5/2 + 9/2) / 2 = 3.5, gradient e / 2.
    """
    rows, targets = ([1.0, -1.0, 0.0], [1.0, 0.0, 3.0]), [1, 0]
    errors = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]])
    model = Scores(*rows)
    assert step("mse", model, targets) == pytest.approx(14 / 6)
    assert torch.allclose(model.scores.grad, errors / 3)
    model = Scores(*rows)
    assert step("sse", model, targets) == pytest.approx(3.5)
    assert torch.allclose(model.scores.grad, errors / 2)


def test_one_score_takes_labels_zero_and_one() -> None:
    """Scores .5 and .5, targets 1 and 0: both losses see errors -.5 and .5; sse is half of mse."""
    assert step("mse", Scores([0.5], [0.5]), [1, 0]) == pytest.approx(0.25)
    assert step("sse", Scores([0.5], [0.5]), [1, 0]) == pytest.approx(0.125)
    assert step("sse", Scores([0.5], [0.5]), [0.5, 0.0]) == pytest.approx(0.0625)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "sse"])
def test_floating_targets_are_taken_as_they_are(loss: str) -> None:
    rows = ([0.3, -0.2], [1.0, 2.0])
    assert step(loss, Scores(*rows), [[0.0, 1.0], [1.0, 0.0]]) == pytest.approx(step(loss, Scores(*rows), [1, 0]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_of_any_whole_type(dtype: torch.dtype) -> None:
    batch = Batch(torch.zeros(1, 1), torch.tensor([1], dtype=dtype))
    for loss in ("cross_entropy", "mse"):
        list(Backprop(loss)(Scores([0.0, 1.0]), batch, torch.Generator()))


def test_a_function_as_loss() -> None:
    model = Scores([2.0, 5.0])
    assert step(lambda scores, targets: (scores[:, 0] * targets).sum(), model, [3]) == 6.0
    assert model.scores.grad.tolist() == [[3.0, 0.0]]
    with pytest.raises(ConfigError, match=r"the loss must be a 0-d tensor, got shape \[1, 2\]"):
        step(lambda scores, targets: scores, Scores([2.0, 5.0]), [3])


def test_a_net_learns_xor() -> None:
    """What no perceptron learns, a hidden layer of four does."""
    corners, targets = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), torch.tensor([0, 1, 1, 0])
    model = MLP([2, 4, 2], activation="tanh", generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(200):
        for _ in Backprop()(model, Batch(corners, targets), torch.Generator()):
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(model(corners).argmax(1), targets)


def test_the_generator_reaches_a_stochastic_model() -> None:
    class Noisy(Scores):
        def forward(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
            return self.scores * torch.rand((), generator=generator)

    losses = []
    for _ in range(2):
        batch = Batch(torch.zeros(1, 1), torch.tensor([0]))
        (update,) = Backprop()(Noisy([0.0, 1.0]), batch, torch.Generator().manual_seed(3))
        losses.append(update.figures["loss"].item())
        torch.rand(1)  # torch's own generator moves on, the loss must not
    assert losses[0] == losses[1]


def test_works_where_gradients_are_switched_off() -> None:
    model = Scores([0.0, 1.0])
    with torch.no_grad():
        step("mse", model, [0])
    assert model.scores.grad is not None


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "sse"])
@pytest.mark.parametrize("label", [-100, -1, 2, 255])
def test_labels_out_of_range_are_named(loss: str, label: int) -> None:
    """torch itself leaves -100 out of the mean without a word."""
    with pytest.raises(DataError, match=rf"label {label} at index 1 is outside 0\.\.1"):
        step(loss, Scores([0.0, 1.0], [0.0, 1.0]), [0, label])


def test_settings_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigError, match=r"loss is 'crossentropy'.*did you mean 'cross_entropy'"):
        Backprop("crossentropy")
    with pytest.raises(ConfigError, match="cross_entropy needs at least 2 scores, the model has 1; use 'mse'"):
        step("cross_entropy", Scores([0.0]), [0])
    with pytest.raises(ShapeError, match=r"targets \[2, 3\] do not fit scores \[2, 2\]"):
        step("mse", Scores([0.0, 1.0], [0.0, 1.0]), [[0.0] * 3] * 2)
    with pytest.raises(ShapeError, match=r"must return scores \[B, classes\], got \[2\]"):
        step("mse", Scores(0.0, 1.0), [0, 1])  # type: ignore[arg-type]


def test_models_without_anything_to_train_are_named() -> None:
    frozen = MLP([1, 2]).requires_grad_(False)
    for attempt in (
        lambda: Backprop().check(frozen),
        lambda: list(Backprop()(frozen, Batch(torch.zeros(1, 1), torch.tensor([0])), torch.Generator())),
    ):
        with pytest.raises(ConfigError, match="Backprop needs a model with parameters to train, MLP has none"):
            attempt()


def test_bad_batches_are_named() -> None:
    model = MLP([2, 2])
    for inputs, targets, error, message in (
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), DataError, "empty batch"),
        (torch.tensor([[0.0, torch.nan]]), torch.tensor([0]), NumericError, r"1 non-finite values, first at \[0, 1\]"),
        (torch.zeros(2, 2), None, DataError, "learns from labels, the batch has none"),
        (torch.zeros(2, 2), torch.tensor([0]), DataError, "2 inputs but 1 targets"),
    ):
        with pytest.raises(error, match=message):
            list(Backprop()(model, Batch(inputs, targets), torch.Generator()))


def test_it_trains_whatever_is_differentiable() -> None:
    for model, loss in ((Perceptron(2, 3), "cross_entropy"), (SigmoidNeuron(2, 3), "sse"), (nn.Linear(2, 3), "mse")):
        list(Backprop(loss)(model, Batch(torch.ones(2, 2), torch.tensor([0, 2])), torch.Generator()))
        assert bool(model.weight.grad.any())


def test_repr_names_the_loss() -> None:
    assert repr(Backprop("mse")) == "Backprop('mse')"
    assert repr(Backprop(nn.functional.l1_loss)) == "Backprop('l1_loss')"
