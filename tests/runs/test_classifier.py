"""`Classifier` under scikit-learn's own checks, in its tools, and against what `fit` gives without it."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Perceptron as TheirPerceptron
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.registry.entry import all_entries, build_model, find_entry
from threegen.rules.backprop import Backprop
from threegen.runs.classifier import Classifier
from threegen.runs.feature_range import FeatureRange
from threegen.runs.run import load_run
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

# Checks that cannot apply, by model, with the reason. There are none: keep it so.
EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    name: {} for name in ("mlp", "perceptron", "rbm-softmax", "dbn", "spiking-mlp")
}


def expected(estimator: Classifier) -> dict[str, str]:
    return EXPECTED_FAILURES[estimator.model]


# Fewer hidden units and epochs than the plans' only save time.
CHECKED = [
    Classifier(options={"hidden": [32]}, epochs=20, batch_size=20),
    Classifier("perceptron"),
    Classifier("rbm-softmax", options={"hidden": 32}, epochs=30, batch_size=20),
    Classifier("dbn", options={"hidden": [16, 32]}, epochs=30, batch_size=20),
    Classifier("spiking-mlp", options={"hidden": [32], "steps": 5}, epochs=20, batch_size=20),
]


@parametrize_with_checks(CHECKED, expected_failed_checks=expected)
def test_scikit_learns_checks(estimator: Classifier, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """600 digits of 8 x 8 pixels by all writers, values 0..1, labels as words."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return x[:600] / 16.0, names[y[:600]]


def test_it_learns_what_fit_learns(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The same weights, bit for bit, as the loop gives without scikit-learn around it."""
    x, y = digits
    ours = Classifier("mlp", options={"hidden": [16]}, epochs=2, batch_size=50, optimizer="sgd", lr=0.1).fit(x, y)
    model = build_model(find_entry("mlp"), (64,), 10, 0, {"hidden": [16]})
    data = Dataset.from_arrays(x.astype("float32"), np.unique(y, return_inverse=True)[1])
    plan = find_entry("mlp").plan("quick")
    fit(model, Backprop(), data, optimizer="sgd", lr=0.1, epochs=2, batch_size=50, schedule=plan.schedule, seed=0)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, ours.model_.state_dict()[name]), name
    with torch.no_grad():
        scores = model(torch.from_numpy(x).float())
    assert (ours.classes_[scores.argmax(1).numpy()] == ours.predict(x)).mean() > 0.99


def test_pipeline_and_grid_search(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    small = Classifier("mlp", options={"hidden": [32]}, lr=1e-2)
    pipe = make_pipeline(StandardScaler(), small)
    assert pipe.fit(x[:400], y[:400]).score(x[400:], y[400:]) > 0.85
    grid = GridSearchCV(
        make_pipeline(MinMaxScaler(), small), {"classifier__lr": [1e-6, 1e-2], "classifier__epochs": [5]}, cv=2
    )
    grid.fit(x[:300], y[:300])
    assert grid.best_params_["classifier__lr"] == 1e-2  # a millionth learns nothing in five epochs
    assert grid.best_score_ > grid.cv_results_["mean_test_score"].min() + 0.3


def test_the_perceptron_is_as_good_as_scikit_learns(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    ours = cross_val_score(Classifier("perceptron", epochs=10), x, y, cv=3).mean()
    theirs = cross_val_score(TheirPerceptron(random_state=0), x, y, cv=3).mean()
    assert ours > theirs - 0.02


@pytest.mark.parametrize("name", sorted(all_entries()))
def test_every_model_of_the_registry(name: str) -> None:
    """Two classes of 28 x 28 pictures, bright above or bright below, learnt by name."""
    entry = find_entry(name)
    if entry.stages is not None:
        pytest.skip("learns in stages; its own test trains it")
    generator = np.random.default_rng(0)
    y = np.arange(40) % 2
    pictures = 0.1 * generator.random((40, 28, 28))
    pictures[y == 0, :14] += 0.8
    pictures[y == 1, 14:] += 0.8
    rows = pictures.reshape(40, 784)
    clf = Classifier(name, epochs=6, batch_size=10).fit(rows, np.where(y, "below", "above"))
    assert set(clf.predict(rows)) <= {"above", "below"}
    assert clf.decision_function(rows).shape == (40,)
    assert clf.score(rows, np.where(y, "below", "above")) >= 0.9


def test_pictures() -> None:
    """LeNet takes square rows or `image=`; rows that are no pictures are refused with the way out."""
    rows = np.random.default_rng(0).random((12, 784))
    y = np.arange(12) % 3
    square = Classifier("lenet-5-modern", epochs=1).fit(rows, y)
    given = Classifier("lenet-5-modern", epochs=1, image=(1, 28, 28)).fit(rows, y)
    np.testing.assert_array_equal(square.decision_function(rows), given.decision_function(rows))
    with pytest.raises(ConfigError, match=r"grey images of 28 x 28.*give image=\(channels, height, width\)"):
        Classifier("lenet-5-modern", epochs=1).fit(rows[:, :783], y)
    with pytest.raises(ShapeError, match=r"image \[1, 28, 28\] has 784 values, the rows have 783"):
        Classifier("lenet-5-modern", epochs=1, image=(1, 28, 28)).fit(rows[:, :783], y)


def test_partial_fit_is_hidden_where_it_cannot_work() -> None:
    assert hasattr(Classifier("mlp"), "partial_fit")
    assert not hasattr(Classifier("dbn"), "partial_fit")


def test_numpy_numbers_are_numbers(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """As a grid of `np.arange` and `np.logspace` gives them; a rate of 0 is refused, not replaced."""
    x, y = digits
    found = Classifier(epochs=np.arange(1, 3)[1], batch_size=np.int64(50), lr=np.float64(0.01)).fit(x[:100], y[:100])
    assert len(found.log_.epochs) == 2
    with pytest.raises(ConfigError, match="lr must be a finite number above"):
        Classifier(lr=0).fit(x[:100], y[:100])


def test_partial_fit_goes_on(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The optimiser goes on between calls, as one more epoch of one fit would, in orders of their own."""
    x, y = digits
    clf = Classifier("mlp", options={"hidden": [32]}, lr=1e-2, random_state=3)
    scores = []
    for _ in range(12):
        clf.partial_fit(x[:400], y[:400], classes=np.unique(y))
        scores.append(clf.score(x[400:], y[400:]))
    assert scores[-1] > 0.8
    assert scores[-1] > scores[0] + 0.1
    moments = clf._optimizer.state[next(clf.model_.parameters())]
    assert int(moments["step"]) == 12 * 4  # 400 rows are 4 batches of 128
    with pytest.raises(DataError, match="label 'ten' is not one of the classes"):
        clf.partial_fit(x[:2], ["ten", "one"])
    with pytest.raises(ConfigError, match="are not those of the first call"):
        clf.partial_fit(x[:2], y[:2], classes=["a", "b"])
    with pytest.raises(ConfigError, match="classes must be given at the first call"):
        Classifier().partial_fit(x[:2], y[:2])


def test_probabilities_only_where_they_are(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    clf = Classifier("mlp", options={"hidden": [16]}, epochs=2).fit(x, y)
    np.testing.assert_allclose(clf.predict_proba(x).sum(1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.log(clf.predict_proba(x)), clf.predict_log_proba(x), rtol=1e-9, atol=1e-12)
    assert not hasattr(Classifier("perceptron"), "predict_proba")
    assert not hasattr(Classifier("spiking-mlp"), "predict_proba")  # learns rates by their squared error


def test_copies_and_pickles_answer_the_same(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    clf = Classifier("perceptron", epochs=1).fit(x, y)
    for other in (copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):  # noqa: S301  # our own bytes
        np.testing.assert_array_equal(other.decision_function(x), clf.decision_function(x))
    with pytest.raises(NotFittedError):
        clone(clf).predict(x)


def test_random_states(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits[0][:50], digits[1][:50]
    small = Classifier("mlp", options={"hidden": [4]}, epochs=1)

    def scores(random_state: Any) -> np.ndarray:
        return clone(small).set_params(random_state=random_state).fit(x, y).decision_function(x)

    np.testing.assert_array_equal(scores(5), scores(5))
    np.testing.assert_array_equal(scores(np.random.RandomState(5)), scores(np.random.RandomState(5)))
    assert not np.array_equal(scores(5), scores(6))
    assert not np.array_equal(scores(None), scores(None))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "mpl"}, r"no model is called 'mpl'.*did you mean 'mlp'"),
        ({"mode": "slow"}, "mode is 'slow'; choose quick, full"),
        ({"optimizer": "adma"}, r"optimizer is 'adma'.*did you mean 'adam'"),
        ({"optimizer": optimizer("sgd", lr=0.1), "lr": 0.2}, "lr is given twice"),
        ({"lr": -1.0}, "lr"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"random_state": -1}, "random_state must be a whole number of at least 0, got -1"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Classifier(**settings).fit(np.eye(4), [0, 1, 0, 1])


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="needs at least 2 classes"):
        Classifier().fit(np.eye(4), [7, 7, 7, 7])


def test_without_scikit_learn() -> None:
    """The package works without it, and the module says what to install."""
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import threegen, threegen.errors\n"
        "try:\n    import threegen.runs.classifier\n"
        "except threegen.errors.ConfigError as problem:\n    print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == 'Classifier needs scikit-learn, which is not installed; pip install "threegen[sklearn]"\n'


# -- the range of the features --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    """Sixty rows of four features on scales of their own; the sign of the first tells the class."""
    generator = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = generator.normal(size=(60, 4)) * [1.0, 100.0, 0.001, 5.0] + [0.0, 300.0, 7.0, -2.0]
    x[:, 0] = np.where(y, 1.0, -1.0) * (0.5 + generator.random(60))
    return x, np.where(y, "plus", "minus")


def small(name: str = "rbm-softmax", **settings: Any) -> Classifier:
    options: dict[str, Any] = {"rbm-softmax": {"hidden": 16}, "spiking-mlp": {"hidden": [16]}}.get(name, {})
    return Classifier(name, options=options, epochs=20, batch_size=20, **settings)


@pytest.mark.parametrize("name", ["rbm-softmax", "spiking-mlp"])
def test_models_of_unit_range_learn_from_any_scale(name: str, table: tuple[np.ndarray, np.ndarray]) -> None:
    """As if the rows had gone through scikit-learn's `MinMaxScaler`: the same answers."""
    x, y = table
    ours = small(name).fit(x, y)
    theirs = small(name, scale=None).fit(MinMaxScaler().fit_transform(x).clip(0, 1), y)
    np.testing.assert_allclose(
        ours.decision_function(x), theirs.decision_function(MinMaxScaler().fit_transform(x).clip(0, 1)), atol=1e-5
    )
    np.testing.assert_allclose(ours.range_.low, x.min(0))
    np.testing.assert_allclose(ours.range_.low + ours.range_.span, x.max(0))


def test_values_outside_of_the_range_are_clipped_with_one_warning(table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    clf = small().fit(x, y)
    far, edge = x[:3].copy(), x[:3].copy()
    far[1, 2], edge[1, 2] = 1e6, x[:, 2].max()
    with pytest.warns(
        UserWarning, match=r"1 values are outside .* in row 1, feature 2: 1e\+06, outside .* they are clipped"
    ):
        scores = clf.decision_function(far)
    np.testing.assert_array_equal(scores, clf.decision_function(edge))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.predict(far)


def test_values_as_they_are(table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    with pytest.raises(ConfigError, match=r"rbm-softmax \(scale=None\) needs values in 0\.\.1, got -"):
        small(scale=None).fit(x, y)
    unit = MinMaxScaler().fit_transform(x).clip(0, 1)
    clf = small(scale=None).fit(unit, y)
    with pytest.raises(ConfigError, match=r"needs values in 0\.\.1"):
        clf.predict(x)
    assert Classifier(options={"hidden": [4]}, epochs=1).fit(x, y).range_ is None  # an MLP takes any values
    with pytest.raises(ConfigError, match="scale is 'minmax'; choose auto"):
        small(scale="minmax").fit(x, y)


def test_a_constant_feature_and_pictures() -> None:
    rows = np.array([[0.0, 3.0, 10.0], [1.0, 3.0, 20.0]])
    each = FeatureRange.of(rows, pictures=False)
    np.testing.assert_array_equal(each(rows), [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    one = FeatureRange.of(rows, pictures=True)
    np.testing.assert_allclose(one(rows), rows / 20.0)


def test_a_saved_classifier_answers_the_same(tmp_path: Path, table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    clf = small().fit(x, y)
    clf.save(tmp_path / "run")
    again = Classifier.load(tmp_path / "run")
    np.testing.assert_array_equal(again.decision_function(x), clf.decision_function(x))
    np.testing.assert_array_equal(again.predict(x), clf.predict(x))
    assert again.classes_.dtype == clf.classes_.dtype
    with pytest.raises(ConfigError, match="already holds a run"):
        clf.save(tmp_path / "run")
    with pytest.raises(ConfigError, match="threegen does not import by itself"):
        load_run(tmp_path / "run")  # the bare network would answer to rows that it has to scale first
    with pytest.raises(NotFittedError):
        small().save(tmp_path / "other")
    whole = Classifier(options={"hidden": [4]}, epochs=1).fit(x, np.arange(60) % 3)
    whole.save(tmp_path / "numbers")
    assert Classifier.load(tmp_path / "numbers").predict(x).dtype == whole.predict(x).dtype
