"""Evaluation against scikit-learn, a published interval and hand-made ties."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, top_k_accuracy_score
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, NumericError, ShapeError
from threegen.gen2.mlp import MLP
from threegen.training.evaluate import evaluate, evaluation_mode, summarise, wilson_interval


class Given(nn.Module):
    """Answers with its input: the data are the scores."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def scores(seed: int = 0, count: int = 500, classes: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, classes, (count,), generator=generator)
    given = torch.randn(count, classes, generator=generator)
    given[torch.arange(count), truth] += 1.0
    return given, truth


def test_against_scikit_learn() -> None:
    given, truth = scores()
    found = evaluate(Given(), Dataset(given, truth), batch_size=64, top_k=(1, 2, 5))
    answers = given.argmax(1)
    assert found.accuracy == accuracy_score(truth, answers)
    assert (found.correct, found.count) == (int((answers == truth).sum()), 500)
    assert found.confusion.tolist() == confusion_matrix(truth, answers).tolist()
    for k in (1, 2, 5):
        assert found.top_k[k] == pytest.approx(top_k_accuracy_score(truth, given, k=k))
    assert found.loss == pytest.approx(log_loss(truth, given.double().softmax(1)), rel=1e-5)
    assert torch.equal(found.predictions, answers)
    assert torch.allclose(found.confidences, given.softmax(1).max(1).values)


def test_wilson_interval_of_published_and_closed_values() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 is .2553 to .3662, 15 of 148 .0624 to .1605.

    All of n right: the lower end is n / (n + z^2).
    """
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(50, 50) == pytest.approx((50 / (50 + 1.959963984540054**2), 1.0))


def test_ties_go_to_the_lower_class_in_accuracy_and_in_top_k_alike() -> None:
    equal = torch.zeros(4, 4)
    found = summarise(equal, torch.arange(4), (1, 2, 3, 4))
    assert found.accuracy == found.top_k[1] == 0.25
    assert found.top_k == {1: 0.25, 2: 0.5, 3: 0.75, 4: 1.0}


def test_more_places_than_classes() -> None:
    assert summarise(*scores(classes=3), top_k=(10,)).top_k == {10: 1.0}


def test_modes_and_generators_are_as_before() -> None:
    model = MLP([7, 5, 7], dropout=0.5, batch_norm=True)
    model.layers.norm1.eval()  # type: ignore[union-attr,operator]
    modes = [module.training for module in model.modules()]
    before, buffers = torch.get_rng_state(), [buffer.clone() for buffer in model.buffers()]
    given, truth = scores()
    first = evaluate(model, Dataset(given, truth))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))
    assert evaluate(model, Dataset(given, truth)).loss == first.loss
    with pytest.raises(RuntimeError), evaluation_mode(model):
        raise RuntimeError
    assert [module.training for module in model.modules()] == modes


def test_the_answer_does_not_depend_on_the_batch_size() -> None:
    given, truth = scores()
    ways = [evaluate(Given(), Dataset(given, truth), batch_size=size) for size in (1, 499, 500, 9999)]
    assert len({(way.accuracy, way.loss) for way in ways}) == 1


def test_its_sentence() -> None:
    found = summarise(torch.eye(4)[[0, 1, 2, 2]], torch.arange(4))
    assert str(found) == "75.00% (3 of 4; 95 % interval 30.06% to 95.44%)"


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (Dataset(torch.rand(4, 3)), DataError,
         "data has no labels; evaluate needs them; use Dataset.from_arrays(x, y)"),
        (Dataset(torch.rand(0, 3), torch.zeros(0, dtype=torch.int64)), DataError,
         "the data set 'data' is empty; there is nothing to evaluate on"),
        (torch.rand(4, 3), DataError, "data has no labels; evaluate needs them; use Dataset.from_arrays(x, y)"),
        (Dataset(torch.rand(4, 3), torch.tensor([0, 1, 2, 3])), DataError, "label 3 at index 3 is outside 0..2"),
        (Dataset(torch.rand(4, 3), torch.tensor([0, -100, 2, 1])), DataError, "label -100 at index 1 is outside 0..2"),
        (Dataset(torch.rand(4, 1), torch.tensor([0, 1, 0, 1])), ShapeError,
         "Given returned [4, 1], one score; evaluate needs one for each class; ask a single unit by its predict()"),
        (Dataset(torch.rand(4, 3, 2), torch.tensor([0, 1, 0, 1])), ShapeError,
         "Given returned [4, 3, 2]; a classifier returns [B, classes]"),
        (Dataset(torch.tensor([[0.0, 1.0], [torch.nan, 1.0]]), torch.tensor([0, 1])), NumericError,
         "the scores of example 1 are not finite; the model has diverged or its input is not finite"),
        (Dataset(torch.tensor([[0.0, torch.inf], [0.0, 1.0]]), torch.tensor([0, 1])), NumericError,
         "the scores of example 0 are not finite; the model has diverged or its input is not finite"),
    ],
)  # fmt: skip
def test_sentences(data: Dataset, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        evaluate(Given(), data)
    assert str(caught.value) == sentence


def test_scores_of_minus_infinity_are_fine() -> None:
    """A log-likelihood may be zero's logarithm."""
    assert summarise(torch.tensor([[0.0, -torch.inf]]), torch.tensor([0])).accuracy == 1.0


def test_numbers_that_make_no_interval() -> None:
    with pytest.raises(ConfigError, match="correct must be at most count, got 5 of 4"):
        wilson_interval(5, 4)
    with pytest.raises(ConfigError, match="count must be a whole number of at least 1, got 0"):
        wilson_interval(0, 0)
