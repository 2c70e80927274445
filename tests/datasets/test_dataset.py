"""Data in memory: what arrays become, how batches are drawn, which mistakes are named."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from threegen.datasets.dataset import Data, Dataset
from threegen.errors import ConfigError, DataError, NumericError, ShapeError
from threegen.randomness import make_generator

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def test_pixels_are_divided_by_255() -> None:
    images = np.array([[[0, 51], [204, 255]]], dtype=np.uint8)
    for given in (images, torch.from_numpy(images)):
        data = Dataset.from_arrays(given, [0])
        assert data.shape == (1, 2, 2)
        assert data.inputs.dtype == torch.float32
        assert torch.allclose(data.inputs.flatten(), torch.tensor([0.0, 0.2, 0.8, 1.0]))


def test_other_numbers_stay_as_they_are() -> None:
    assert Dataset.from_arrays(X, Y).inputs.tolist() == X.tolist()
    assert Dataset.from_arrays([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]).inputs.sum() == 4
    assert Dataset.from_arrays(np.array([[0, 1]], np.uint8)).inputs.tolist() == [[0.0, 1.0]]
    assert Dataset.from_arrays(np.array([[True, False]])).inputs.tolist() == [[1.0, 0.0]]
    assert Dataset.from_arrays(X.astype(np.float64)).inputs.dtype == torch.float32


def test_labels_and_classes() -> None:
    data = Dataset.from_arrays(X, Y)
    assert data.targets is not None
    assert data.targets.dtype == torch.int64
    assert data.classes == ("0", "1", "2")
    assert Dataset.from_arrays(X, Y, classes=["a", "b", "c", "d"]).classes == ("a", "b", "c", "d")
    assert len(Dataset.from_arrays(X, Y, classes=10).classes) == 10
    unlabelled = Dataset.from_arrays(X)
    assert unlabelled.targets is None
    assert unlabelled.classes == ()


@pytest.mark.parametrize("classes", [3, "abc", None])
def test_class_names_are_a_list(classes: object) -> None:
    """A text would be taken letter by letter."""
    with pytest.raises(ConfigError, match="classes must be a list of names"):
        Dataset(torch.rand(3, 2), torch.tensor([0, 1, 2]), classes)  # type: ignore[arg-type]


def test_the_data_set_has_its_own_memory() -> None:
    x = X.copy()
    data = Dataset.from_arrays(x, Y)
    x[0, 0] = 99
    assert data.inputs[0, 0] == 0
    frozen = X.copy()
    frozen.flags.writeable = False
    assert Dataset.from_arrays(frozen[::-1], Y).inputs[0, 0] == 20


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "sentence"),
    [
        (np.zeros((5, 28, 28, 1), np.uint8), None, {}, ShapeError, "looks like [B, H, W, C]; expected [B, C, H, W]"),
        (np.zeros((5, 8, 8, 3), np.uint8), None, {}, ShapeError, "x is [5, 8, 8, 3], which looks like [B, H, W, C]"),
        (np.zeros((5, 8, 9, 3)), None, {"image": (3, 8, 9)}, ShapeError, "[B, H, W, C]; expected [B, C, H, W]"),
        (np.zeros((5, 100)), None, {"image": (1, 28, 28)}, ShapeError, "expected [B, 784] or [B, 1, 28, 28]"),
        (np.zeros((5, 100)), None, {"image": True}, ShapeError, "for flat rows give image=(C, H, W)"),
        (np.zeros((28, 28, 5)), np.zeros(5, int), {}, ShapeError, "its 5 examples come last"),
        (np.zeros((5, 4)), None, {"image": (1, 2)}, ConfigError, "(channels, height, width)"),
        (np.zeros((5, 4)), None, {"image": "grey"}, ConfigError, "image must be"),
        (np.float32(3), None, {}, ShapeError, "a single number"),
        (np.zeros((0, 4)), None, {}, DataError, "the data set is empty"),
        (np.zeros((4, 0)), None, {}, DataError, "the data set is empty"),
        ([[1, 2], [3]], None, {}, DataError, "rows differ in length"),
        ([["a"]], None, {}, DataError, "must hold numbers"),
        (np.zeros((2, 2), complex), None, {}, DataError, "must hold numbers"),
        (torch.zeros(2, 2, dtype=torch.complex64), None, {}, DataError, "complex"),
        (np.array([[0, 255]]), None, {}, DataError, "int64 values 0..255; pass pixels 0..255 as uint8"),
        (X, Y[:5], {}, DataError, "6 images but 5 labels"),
        (X, [0, 1, 2, 0, 1, 10], {"classes": 10}, DataError, "label 10 at index 5 is outside 0..9"),
        (X, [0, 255, 2, 0, 1, 2], {"classes": 10}, DataError, "label 255 at index 1 is outside 0..9"),
        (X, [0, 1, -100, 0, 1, 2], {}, DataError, "label -100 at index 2 is outside 0..2"),
        (X, [0, 1, 2, 0, 1, 10**9], {}, DataError, "label 1000000000 at index 5 is not a class number"),
        (X, Y.astype(float), {}, DataError, "y must be whole numbers"),
        (X, ["cat"] * 6, {}, DataError, "number the classes 0, 1, ... and pass their names as classes="),
        (X, np.eye(6), {}, DataError, "y.argmax(1)"),
        (X, Y[:, None], {}, DataError, "y.ravel()"),
        (X, Y, {"classes": ["a", "a", "b"]}, ConfigError, "classes must be different names"),
    ],
)
def test_mistakes_are_named(x: object, y: object, options: dict, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        Dataset.from_arrays(x, y, **options)


def test_the_first_non_finite_value_is_named() -> None:
    x = X.copy()
    x[0, 3], x[2, 1], x[5, 0] = np.nan, np.inf, np.nan
    with pytest.raises(NumericError, match=re.escape("x has 3 non-finite values, first at [0, 3]")):
        Dataset.from_arrays(x, Y)


def test_shapes() -> None:
    assert Dataset.from_arrays(np.zeros((5, 28, 28))).shape == (1, 28, 28)
    assert Dataset.from_arrays(np.zeros((5, 784)), image=(1, 28, 28)).shape == (1, 28, 28)
    assert Dataset.from_arrays(np.zeros((5, 3, 8, 8))).shape == (3, 8, 8)
    assert Dataset.from_arrays(np.zeros((5, 16, 4, 3)), image=False).shape == (16, 4, 3)
    assert Dataset.from_arrays(np.zeros((5, 7, 3)), image=False).shape == (7, 3)
    assert Dataset.from_arrays(np.zeros((5, 10, 2, 34, 34))).shape == (10, 2, 34, 34)
    assert Dataset.from_arrays(np.zeros(5)).shape == ()


def test_batches_in_order_cover_everything_once() -> None:
    data = Dataset.from_arrays(X, Y)
    batches = list(data.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert torch.cat([batch.inputs for batch in batches]).equal(data.inputs)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(6))
    assert [len(batch) for batch in data.batches(4, drop_last=True)] == [4]
    assert [len(batch) for batch in data.batches(100, drop_last=True)] == [6]
    assert next(Dataset.from_arrays(X).batches(4)).targets is None


def test_shuffled_batches_follow_their_generator() -> None:
    data = Dataset.from_arrays(X, Y)
    generator = make_generator("test", 1)
    first = torch.cat([batch.index for batch in data.batches(4, generator=generator)])
    second = torch.cat([batch.index for batch in data.batches(4, generator=generator)])
    assert sorted(first.tolist()) == list(range(6))
    assert first.tolist() != second.tolist()
    again = list(data.batches(4, generator=make_generator("test", 1)))
    assert torch.cat([batch.index for batch in again]).equal(first)
    assert data.batch_order(make_generator("test", 1)).equal(first)
    for batch in again:
        assert batch.inputs.equal(data.inputs[batch.index])
        assert batch.targets.equal(data.targets[batch.index])


def test_empty_data_and_wrong_batch_sizes_are_refused_at_once() -> None:
    data = Dataset.from_arrays(X, Y)
    with pytest.raises(DataError, match="the data set is empty"):
        data.subset([]).batches(4)
    with pytest.raises(ConfigError, match="batch_size"):
        data.batches(0)


def test_take_and_subset() -> None:
    data = Dataset.from_arrays(X, Y, name="six")
    assert len(data.take(4)) == 4
    assert len(data.take(100)) == 6
    part = data.subset([4, 0])
    assert part.inputs.tolist() == X[[4, 0]].tolist()
    assert part.targets.tolist() == [1, 0]
    assert part.classes == data.classes
    assert data[1][1] == 1
    for wrong, sentence in (([6], "index 6 is outside 0..5"), ([-1], "index -1"), ([True], "mask"), ([0.5], "whole")):
        with pytest.raises(ConfigError, match=sentence):
            data.subset(wrong)


def test_holdout_divides_and_repeats() -> None:
    data = Dataset(torch.arange(100.0)[:, None], torch.arange(100) % 10, list("0123456789"), "hundred")
    split = data.holdout(30, seed=5)
    assert (len(split.train), len(split.validation)) == (70, 30)
    both = torch.cat([split.train.inputs, split.validation.inputs]).flatten()
    assert both.sort().values.equal(torch.arange(100.0))
    assert data.holdout(30, seed=5).validation.inputs.equal(split.validation.inputs)
    assert not data.holdout(30, seed=6).validation.inputs.equal(split.validation.inputs)
    for wrong in (0, 100, 101):
        with pytest.raises(ConfigError):
            data.holdout(wrong)


def test_fingerprint_depends_on_values_shape_type_and_labels() -> None:
    data = Dataset.from_arrays(X, Y)
    same = Dataset.from_arrays(X, Y, name="another name")
    assert data.fingerprint() == same.fingerprint()
    other = X.copy()
    other[5, 3] += 1
    different = {
        data.fingerprint(),
        Dataset.from_arrays(other, Y).fingerprint(),
        Dataset.from_arrays(X.reshape(6, 2, 2), Y).fingerprint(),
        Dataset.from_arrays(X, Y[::-1]).fingerprint(),
        Dataset.from_arrays(X).fingerprint(),
        data.to(dtype=torch.float64).fingerprint(),
        data.subset([]).fingerprint(),
    }
    assert len(different) == 7


def test_reprs_say_what_there_is() -> None:
    data = Dataset.from_arrays(X, Y, name="six")
    assert repr(data) == "Dataset('six', 6 x [4], 3 classes)"
    assert repr(Data("six", data, data)) == "Data('six', train=6, test=6, [4], 3 classes)"
    assert repr(data.holdout(2)) == "Split(train=4, validation=2)"


def test_constructor_refuses_what_from_arrays_would_convert() -> None:
    with pytest.raises(ShapeError, match="from_arrays"):
        Dataset(torch.zeros(3, 2, dtype=torch.uint8))
    with pytest.raises(DataError, match="3 images but 2 labels"):
        Dataset(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))


def test_a_data_loader_takes_it() -> None:
    loader = torch.utils.data.DataLoader(Dataset.from_arrays(X, Y), batch_size=3)
    inputs, targets = next(iter(loader))
    assert inputs.tolist() == X[:3].tolist()
    assert targets.tolist() == [0, 1, 2]
