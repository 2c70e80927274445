"""Any model of the registry as a scikit-learn classifier, trained by the same `fit` as everything else.

clf = Classifier("mlp", epochs=5).fit(X, y)
clf.predict(X);  clf.score(X, y)
GridSearchCV(Classifier("mlp"), {"lr": [1e-3, 3e-3]}).fit(X, y)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import needs_unit_range, require_choice, require_unit_range, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, MissingExtraError, NumericError, ShapeError
from threegen.randomness import derive_seed, forked_randomness
from threegen.registry.entry import Entry, Plan, all_entries, build_model, find_entry
from threegen.rules.backprop import Backprop
from threegen.rules.rule import Rule
from threegen.runs.feature_range import FeatureRange
from threegen.runs.kept_classifier import keep_classifier, restore_classifier
from threegen.training.evaluate import evaluation_mode
from threegen.training.fit import fit
from threegen.training.log import TrainingLog
from threegen.training.optimizers.build import OptimizerRecipe, resolve_optimizer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as problem:
    raise MissingExtraError.of("Classifier", "scikit-learn", "sklearn") from problem

# A plan's epochs are meant for tens of thousands of examples; a small data set is passed through more often.
SPIKING = 3  # the generation of nets that draw spikes
_FEWEST_UPDATES = 500
_ANSWERED_AT_ONCE = 1000


def _is_log_likelihood(classifier: Classifier) -> bool:
    """Return whether the softmax of the scores is a probability: for nets trained on the log-likelihood."""
    rule = find_entry(classifier.model).rule()
    return isinstance(rule, Backprop) and rule.loss == "cross_entropy"


def _learns_a_little_at_a_time(classifier: Classifier) -> bool:
    """Return whether `partial_fit` can work: not for models that learn in stages."""
    known = all_entries().get(classifier.model)
    return known is None or known.stages is None


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model of the registry under scikit-learn's contract: rows of numbers `[N, features]` in, labels out.

    Training is in float32 and prediction in float64, so that an answer does not depend on the other rows of the batch.

    Args:
        model: a name from `threegen models`.
        mode: the plan of the model, "quick" or "full", that gives the values left None below.
        options: options of the model's builder, such as `{"hidden": [100]}`; they add to those of the plan. epochs:
            passes over the data; None is the plan's number, or more for small data: at least 500 updates.
        batch_size: None is the plan's number, and at most all rows.
        optimizer: a name, `optimizer(...)`, or None: the plan's.
        lr: the learning rate; None uses the optimiser's default.
        image: `(channels, height, width)` of each row, for models that need pictures. Without it rows are flat;
            for a model that rejects those, rows of a square number of values are taken as square grey pictures.
        scale: "auto" learns the range of each feature in `fit` (of pictures one range for all pixels) and maps it to
            0..1 for models that require it (binary units, spike encoders); later values outside the range are clipped,
            with one warning. Other models get values as they are. None passes values as they are to all models, and
            raises for those that the model cannot take.
        device: None leaves everything on the CPU; "auto" uses a GPU if there is one.
        random_state: a whole number, None (different each time) or a numpy `RandomState`.
        progress: show a progress bar.

    After `fit`: `classes_`, `n_features_in_`, `model_` (the trained `nn.Module`), `log_` (its `TrainingLog`), `range_`
    (the features' range, None if values are taken as they are). `save(folder)` and `Classifier.load(folder)` store all
    of it in a run's folder. `predict_proba` and `predict_log_proba` exist if the scores are log-likelihoods (not for
    `perceptron`).

    Raises `ConfigError` for settings that cannot work and `DataError` for labels that cannot be learned; the checks of
    scikit-learn itself (shapes, missing values) raise its usual `ValueError`.
    """

    classes_: np.ndarray
    model_: nn.Module
    log_: TrainingLog
    range_: FeatureRange | None
    _shape: tuple[int, ...]  # the shape in which the model gets each row
    _seed: int
    _rule: Rule | None  # these three: the state with which partial_fit continues
    _optimizer: torch.optim.Optimizer | None
    _calls: int

    def __init__(
        self,
        model: str = "mlp",
        *,
        mode: str = "quick",
        options: Mapping[str, Any] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        optimizer: str | OptimizerRecipe | None = None,
        lr: float | None = None,
        image: tuple[int, int, int] | None = None,
        scale: str | None = "auto",
        device: str | None = None,
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.model = model
        self.mode = mode
        self.options = options
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.image = image
        self.scale = scale
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags.

        Models that learn in stages, and those that draw spikes, perform poorly on tables of two features. The answers
        of models that draw spikes depend on the order of the rows.
        """
        tags = super().__sklearn_tags__()
        draws = self.model in all_entries() and find_entry(self.model).generation == SPIKING
        tags.classifier_tags.poor_score = draws or not _learns_a_little_at_a_time(self)
        tags.non_deterministic = draws
        return tags

    # -- learning -------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new model on rows `X [N, features]` and labels `y [N]` of any kind."""
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32])
        self._begin(rows, _as_labels(labels), None)
        data = self._dataset(rows, labels)
        entry, plan = find_entry(self.model), self._plan(len(rows))
        learner, settings = entry.teaching(self.model_, plan)
        self.log_ = fit(
            self.model_,
            learner,
            data,
            seed=self._seed,
            device=self.device,
            progress=self.progress,
            title=entry.name,
            **settings,
        )
        return self

    @available_if(_learns_a_little_at_a_time)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Make one pass over some rows at the plan's first learning rate; `classes` names all classes at the first
        call.

        The optimiser and the rule keep their state between calls. Models that learn in stages have no `partial_fit`.
        """
        entry = find_entry(self.model)
        first = not hasattr(self, "classes_")
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], reset=first)
        if first and classes is None:
            raise ConfigError(
                "classes must be given at the first call of partial_fit: None is not a valid set of labels"
            )
        if first:
            self._begin(rows, _as_labels(labels), classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ConfigError(f"classes {np.unique(classes)!r} are not those of the first call, {self.classes_!r}")
        data = self._dataset(rows, labels)
        plan = self._plan(len(rows))
        if self._rule is None:
            self._rule = entry.rule()
        self.log_ = fit(
            self.model_,
            self._rule,
            data,
            optimizer=self._kept_optimizer(plan, self._rule),
            epochs=1,
            batch_size=plan.batch_size,
            shuffle=plan.shuffle,
            seed=derive_seed(self._seed, "partial", self._calls),
            device=self.device,
        )
        self._calls += 1
        return self

    def _begin(self, rows: np.ndarray, labels: np.ndarray, classes: Any) -> None:
        """Name the classes, draw the seed and build a model with fresh weights."""
        self.classes_ = np.unique(labels if classes is None else classes)
        if len(self.classes_) < 2:
            raise DataError(f"a classifier needs at least 2 classes, y has 1 class: {self.classes_.tolist()}")
        self._seed = _draw_seed(self.random_state)
        self._rule = None
        self._optimizer = None
        self._calls = 0
        self.model_, self._shape = self._build(find_entry(self.model), rows.shape[1])
        self.range_ = None
        bounded = needs_unit_range(self.model_)
        if self.scale is not None:
            require_choice("scale", self.scale, ("auto",))
            if bounded:
                self.range_ = FeatureRange.of(rows, pictures=len(self._shape) > 1)
        elif bounded:
            require_unit_range(f"{self.model} (scale=None)", torch.from_numpy(rows))

    def _build(self, entry: Entry, features: int) -> tuple[nn.Module, tuple[int, ...]]:
        """Return the model and the shape that it gets each row in."""
        options = {**entry.plan(self.mode).options, **(self.options or {})}
        classes = len(self.classes_)
        if self.image is not None:
            shape = tuple(self.image)
            if math.prod(shape) != features:
                raise ShapeError(f"image {list(shape)} has {math.prod(shape)} values, the rows have {features}")
            return build_model(entry, shape, classes, self._seed, options), shape
        try:
            return build_model(entry, (features,), classes, self._seed, options), (features,)
        except ConfigError as problem:
            side = math.isqrt(features)
            advice = f"{problem}; if rows of {features} values are pictures, give image=(channels, height, width)"
            if side * side != features:
                raise ConfigError(advice) from problem
            try:
                return build_model(entry, (1, side, side), classes, self._seed, options), (1, side, side)
            except ConfigError as same:
                raise ConfigError(advice if str(same) != str(problem) else str(problem)) from problem

    def _dataset(self, rows: np.ndarray, labels: Any) -> Dataset:
        places = np.searchsorted(self.classes_, given := _as_labels(labels))
        unknown = self.classes_[np.minimum(places, len(self.classes_) - 1)] != given
        if unknown.any():
            raise DataError(
                f"label {given[unknown].tolist()[0]!r} is not one of the classes {self.classes_.tolist()!r}"
            )
        names = [str(name) for name in self.classes_]
        if self.range_ is not None:
            rows = self.range_(rows)
        inputs = torch.from_numpy(rows.astype(np.float32, copy=True)).reshape(-1, *self._shape)
        return Dataset(inputs, torch.from_numpy(places.astype(np.int64)), names, "rows")

    def _plan(self, examples: int) -> Plan:
        """Return the plan with the settings of this classifier."""
        entry = find_entry(self.model)
        plan = entry.settled_plan(
            self.mode, batch_size=self.batch_size, optimizer=self.optimizer, lr=self.lr, options=self.options
        )
        batch_size = min(plan.batch_size, examples)
        epochs = self.epochs
        if epochs is None:
            # A rule that updates at each mistake can make as many updates per pass as there are examples.
            occasions = examples if entry.rule().updates_per_batch is None else math.ceil(examples / batch_size)
            epochs = max(plan.epochs, math.ceil(_FEWEST_UPDATES / occasions))
        return replace(plan, epochs=require_whole("epochs", epochs), batch_size=batch_size)

    def _kept_optimizer(self, plan: Plan, rule: Rule) -> Any:
        """Return the function that makes `fit` continue with the optimiser of the last call."""

        def build(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
            if self._optimizer is None:
                recipe = resolve_optimizer(plan.optimizer, None, rule.default_optimizer, rule.default_rate)
                self._optimizer = (
                    recipe.build(parameters) if isinstance(recipe, OptimizerRecipe) else recipe(parameters)
                )
            return self._optimizer

        return build

    # -- keeping --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save the trained classifier, with its labels and its features' range, into a run's folder.

        Raises `ConfigError` if the folder holds a run already or the labels and options are not plain values.
        """
        check_is_fitted(self, "model_")
        keep_classifier(self, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the classifier that `save` wrote; raises `CheckpointError` for anything else."""
        return restore_classifier(cls, path)  # type: ignore[no-any-return]

    # -- answering ------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of the highest score for each row `[N]`; the first of equal ones is chosen."""
        best = self._scores(X).argmax(1)
        return self.classes_[best]  # type: ignore[no-any-return]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores `[N, classes]`; for two classes the lead of the second `[N]`."""
        scores = self._scores(X)
        return scores if len(self.classes_) > 2 else scores[:, 1] - scores[:, 0]

    @available_if(_is_log_likelihood)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the softmax of the scores `[N, classes]`."""
        return np.exp(self.predict_log_proba(X))  # type: ignore[no-any-return]

    @available_if(_is_log_likelihood)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the softmax of the scores `[N, classes]`."""
        return torch.from_numpy(self._scores(X)).log_softmax(1).numpy()

    def _scores(self, X: Any) -> np.ndarray:
        """Return the scores `[N, classes]` in float64."""
        check_is_fitted(self, "model_")
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        if self.range_ is not None:
            rows = self.range_(rows)
        elif needs_unit_range(self.model_):
            require_unit_range(f"{self.model} (scale=None)", torch.from_numpy(np.array(rows)))
        double = copy.deepcopy(self.model_).double()
        device = next((p.device for p in double.parameters()), torch.device("cpu"))
        parts: list[Tensor] = []
        with evaluation_mode(double), forked_randomness(self._seed, "predict"):
            for first in range(0, len(rows), _ANSWERED_AT_ONCE):
                part = torch.from_numpy(np.array(rows[first : first + _ANSWERED_AT_ONCE], dtype=np.float64))
                parts.append(double(part.reshape(-1, *self._shape).to(device)).cpu())
        scores: np.ndarray = torch.cat(parts).numpy()
        if np.isnan(scores).any():
            raise NumericError(f"{self.model} gives NaN scores; it has diverged; lower lr, scale the data, or clip")
        return scores


def _as_labels(labels: Any) -> np.ndarray:
    check_classification_targets(labels)
    return np.asarray(column_or_1d(labels, warn=True))


def _draw_seed(random_state: int | np.random.RandomState | Sequence[int] | None) -> int:
    if isinstance(random_state, int | np.integer):
        return require_whole("random_state", int(random_state), least=0)
    return int(check_random_state(random_state).randint(2**31 - 1))
