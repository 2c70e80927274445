"""A search that several processes or machines share, by Optuna's samplers, pruners and storages (`[search]` extra).

Every trial is an ordinary run of `fit`. A trial whose process was killed stays "running" in the storage; the next
process on the same machine that finds such a trial marks it as failed and queues its settings again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from threegen.checks import require_choice
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, NumericError
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.loop import Callback
from threegen.training.optimizers.build import optimizer as optimizer_recipe
from threegen.training.search.importance import load_optuna
from threegen.training.search.space import Choice, Numbers, Range
from threegen.training.search.trials import Trial

SAMPLERS = ("random", "tpe", "cmaes")
PRUNERS = ("none", "median", "halving", "hyperband")
Split = Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, Any], str, int]]
Build = Callable[[Mapping[str, Any], int], nn.Module]


def open_storage(optuna: Any, url: str | None) -> Any:
    """Return Optuna's storage for a URL: `journal:PATH` for a journal file, the URL of a database, None for memory."""
    if url is None:
        return None
    if url.startswith("journal:"):
        path = Path(url.removeprefix("journal:"))
        path.parent.mkdir(parents=True, exist_ok=True)
        storages = optuna.storages
        return storages.JournalStorage(storages.journal.JournalFileBackend(str(path)))
    if "://" not in url:
        raise ConfigError(f"storage must be journal:PATH or a database URL such as postgresql://..., got {url!r}")
    return url


def shared_search(
    build: Build,
    split: Split,
    space: Mapping[str, Range],
    train: Dataset,
    validation: Dataset,
    *,
    trials: int,
    epochs: int,
    loss: str,
    seed: int,
    sampler: str,
    pruner: str,
    storage: str | None,
    name: str,
) -> list[Trial]:
    """Take part in a study until it has `trials` ended trials; return all of them, including those of other
    processes."""
    optuna = load_optuna()
    study = optuna.create_study(
        study_name=name,
        storage=open_storage(optuna, storage),
        sampler=_sampler(optuna, sampler, seed),
        pruner=_pruner(optuna, pruner, epochs),
        direction="maximize",
        load_if_exists=True,
    )
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

    def objective(trial: Any) -> float:
        trial.set_user_attr("process", [socket.gethostname(), os.getpid()])
        settings = {key: _suggest(trial, key, range_) for key, range_ in sorted(space.items())}
        trial.set_user_attr("settings", settings)
        return _train(trial, settings, build, split, train, validation, epochs, loss, seed, optuna)

    while len(study.get_trials(deepcopy=False, states=ended)) < trials:
        hand_out_again(optuna, study)
        study.optimize(objective, n_trials=1)
    hand_out_again(optuna, study)
    return [_as_trial(found, optuna) for found in study.get_trials(deepcopy=False, states=ended)]


def hand_out_again(optuna: Any, study: Any) -> int:
    """Mark trials whose process on this machine has died as failed and enqueue their settings; return how many."""
    state = optuna.trial.TrialState
    again = 0
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        host, process = trial.user_attrs.get("process", (None, 0))
        if host != socket.gethostname() or process == os.getpid() or _lives(process):
            continue
        try:
            study.tell(trial.number, state=state.FAIL)
        except (RuntimeError, ValueError):
            continue  # another process came first
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        again += 1
    return again


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process}/stat")  # a killed process that was not yet waited for counts as dead
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def _train(
    trial: Any,
    settings: Mapping[str, Any],
    build: Build,
    split: Split,
    train: Dataset,
    validation: Dataset,
    epochs: int,
    loss: str,
    seed: int,
    optuna: Any,
) -> float:
    own, rates, kind, batch_size = split(settings)
    number = (seed * 1_000_003 + int(trial.number)) % 2**31
    curves: dict[str, list[float]] = {"training_loss": [], "validation_loss": [], "validation_accuracy": []}

    class Report(Callback):
        """Tells Optuna the accuracy after each epoch and ends a run that it prunes."""

        def on_epoch(self, run: Any, record: dict[str, Any]) -> None:
            for kept, key in zip(curves, ("loss", "validation_loss", "validation_accuracy"), strict=True):
                curves[kept].append(float(record[key]))
            trial.report(record["validation_accuracy"], record["epoch"])
            if trial.should_prune():
                run.stop("pruned")

    recipe = optimizer_recipe(kind, **{key: value for key, value in rates.items() if value or key == "lr"})
    try:
        log = fit(
            build(own, number),
            Backprop(loss),
            train,
            optimizer=recipe,
            epochs=epochs,
            batch_size=min(batch_size, len(train)),
            seed=number,
            validation=validation,
            callbacks=Report(),
        )
    except NumericError:
        trial.set_user_attr("diverged", True)
        trial.set_user_attr("curves", curves)
        return 0.0
    trial.set_user_attr("curves", curves)
    if log.stopped == "pruned":
        raise optuna.TrialPruned
    return curves["validation_accuracy"][-1]


def _suggest(trial: Any, name: str, range_: Range) -> Any:
    if isinstance(range_, Choice):
        place = trial.suggest_categorical(name, list(range(len(range_.values))))  # Optuna does not take lists as values
        return range_.values[place]
    if not isinstance(range_, Numbers):
        raise ConfigError(f"{name}: Optuna draws numbers and choices only")
    if range_.whole:
        return trial.suggest_int(name, int(range_.low), int(range_.high))
    return trial.suggest_float(name, range_.low, range_.high, log=range_.log)


def _as_trial(found: Any, optuna: Any) -> Trial:
    curves = found.user_attrs.get("curves", {})
    trial = Trial(found.number, 0, dict(found.user_attrs.get("settings", found.params)), 0, "finished", **curves)
    if found.user_attrs.get("diverged"):
        trial.state = "diverged"
    elif found.state == optuna.trial.TrialState.PRUNED:
        trial.state = "stopped"
    return trial


def _sampler(optuna: Any, name: str, seed: int) -> Any:
    kinds = {"random": "RandomSampler", "tpe": "TPESampler", "cmaes": "CmaEsSampler"}
    return getattr(optuna.samplers, kinds[require_choice("sampler", name, SAMPLERS)])(seed=seed)


def _pruner(optuna: Any, name: str, epochs: int) -> Any:
    require_choice("pruner", name, PRUNERS)
    pruners = optuna.pruners
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 10), reduction_factor=2)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(1, epochs // 10), max_resource=epochs)
    return pruners.MedianPruner() if name == "median" else pruners.NopPruner()
