"""The importance of each setting of a search: by rank correlation, or by Optuna's measure.

Spearman's rank correlation detects monotonic relations. fANOVA is the share of the accuracy's variance that a setting
explains by itself in a forest of regression trees: Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing
hyperparameter importance", ICML 2014; Optuna computes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from threegen.errors import MissingExtraError
from threegen.training.search.space import Choice, Numbers, Range
from threegen.training.search.trials import Trial

LEAST = 4  # trials; a forest over fewer is meaningless


def load_optuna() -> Any:
    """Return the module optuna; raises `MissingExtraError` naming the extra."""
    try:
        import optuna
    except ImportError as problem:
        raise MissingExtraError(
            'samplers, pruners and storages need Optuna; pip install "threegen[search]"'
        ) from problem
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def reached(trials: Sequence[Trial]) -> tuple[list[Trial], list[float]]:
    """Return the trials that were trained, and the accuracy of each after as many epochs as all of them had."""
    trained = [trial for trial in trials if trial.epochs]
    epochs = min((trial.epochs for trial in trained), default=0)
    return trained, [trial.validation_accuracy[epochs - 1] for trial in trained]


def rank_importance(trials: Sequence[Trial], space: Mapping[str, Range]) -> dict[str, float]:
    """Return |rank correlation| (Spearman) of each ordered setting with the accuracy reached."""
    trained, accuracies = reached(trials)
    if len(trained) < 3:
        return {}
    ranks, found = _ranks(accuracies), {}
    for name in space:
        values = [trial.settings[name] for trial in trained]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found[name] = abs(_correlation(_ranks(values), ranks))
    return found


def optuna_importance(trials: Sequence[Trial], space: Mapping[str, Range]) -> dict[str, float]:
    """Return the fANOVA importance of each setting, as Optuna computes it; they add up to 1.

    None for fewer than four trials or if all are equally accurate. Raises `MissingExtraError` without Optuna or
    scikit-learn, which it needs for this.
    """
    optuna = load_optuna()
    trained, accuracies = reached(trials)
    if len(trained) < LEAST or len(set(accuracies)) == 1:
        return {}
    kinds = {name: _distribution(optuna, range_) for name, range_ in space.items()}
    study = optuna.create_study(direction="maximize")
    for trial, accuracy in zip(trained, accuracies, strict=True):
        values = {name: _value(space[name], trial.settings[name]) for name in space}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=kinds, value=accuracy))
    try:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    except ImportError as problem:
        raise MissingExtraError('importance by Optuna needs scikit-learn; pip install "threegen[sklearn]"') from problem
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(found[name]) for name in space}


def _distribution(optuna: Any, range_: Range) -> Any:
    kinds = optuna.distributions
    if isinstance(range_, Choice):
        return kinds.CategoricalDistribution(list(range(len(range_.values))))  # Optuna does not take lists as values
    if not isinstance(range_, Numbers):
        raise MissingExtraError("Optuna supports numbers and choices only")
    if range_.whole:
        return kinds.IntDistribution(int(range_.low), int(range_.high))
    return kinds.FloatDistribution(range_.low, range_.high, log=range_.log)


def _value(range_: Range, value: Any) -> Any:
    return range_.values.index(value) if isinstance(range_, Choice) else value


def _ranks(values: Sequence[float]) -> torch.Tensor:
    """Return ranks, equal values sharing their mean."""
    numbers = torch.tensor(values, dtype=torch.float64)
    below = (numbers[:, None] > numbers[None]).sum(1).double()
    return below + ((numbers[:, None] == numbers[None]).sum(1).double() - 1) / 2


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size else 0.0
