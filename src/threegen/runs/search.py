"""`tg.search`: find settings of a model of the registry, or of a user's own, on validation data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from threegen.checks import did_you_mean, require_choice, require_number, require_whole
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, DataError
from threegen.randomness import derive_seed
from threegen.registry.entry import Entry, find_entry
from threegen.rules.backprop import Backprop
from threegen.runs.search_workers import train_over_cores
from threegen.runs.shared_search import shared_search
from threegen.runs.trial_task import Build, TrialTask
from threegen.training.search.engine import Search
from threegen.training.search.halving import default_rungs
from threegen.training.search.optimizers import KINDS
from threegen.training.search.results import SearchResult
from threegen.training.search.space import Choice, Numbers, Range, read_space
from threegen.training.search.stacked import LOSSES
from threegen.training.search.trials import Trial

HOLDOUT = 0.2
_BOUNDS: Mapping[str, Mapping[str, float]] = {
    "lr": {"above": 0.0},
    "weight_decay": {"least": 0.0},
    "momentum": {"least": 0.0, "below": 1.0},
}


def search(
    model: str | Entry | Build,
    space: Mapping[str, str | Range],
    data: Data | Dataset | str = "mnist",
    *,
    trials: int = 100,
    epochs: int = 50,
    batch_size: int = 100,
    optimizer: str = "sgd",
    options: Mapping[str, Any] | None = None,
    validation: Dataset | None = None,
    holdout: int | None = None,
    rounds: int = 1,
    halving: bool = False,
    rungs: Sequence[int] | None = None,
    loss: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    sampler: str | None = None,
    pruner: str | None = None,
    storage: str | None = None,
    workers: int | None = None,
    progress: bool = False,
    on_epoch: Callable[[list[Trial]], None] | None = None,
) -> SearchResult:
    """Train many networks with randomly drawn settings, all of a round at once, and return the result.

    Args:
        model: a model of the registry by name, or a function `build(generator, **settings)` that returns a module.
        space: for each setting a range (see `training/search/space.py`): `lr`, `weight_decay`, `momentum`,
            `batch_size`, `optimizer`, and any option of the model, such as `hidden` or `dropout`.
        data: a data set by name, a `Data` or a `Dataset` of training examples; a test part is never used.
        trials, epochs: networks per round, and epochs of training for each.
        batch_size, optimizer, options: shared by all trials, unless the space draws them. Optimisers: sgd, momentum,
            rmsprop, adam.
        validation, holdout: the validation data, or how many training examples are held out as such (by default a
            fifth).
        rounds: number of rounds; each after the first draws from ranges narrowed around the best five so far.
        halving, rungs: discard the worse half of the networks after these epochs; by default after a tenth, a fifth and
            two fifths of all.
        loss: cross_entropy or mse; by default that of the model's own rule.
        seed: the same seed draws the same settings, weights and orders.
        out, resume: a folder that is written after each epoch; a search that was killed and is resumed ends with the
            same table, bit for bit. Trials that cannot be stacked are saved once they have ended.
        workers: processes that train models that cannot be stacked; by default one per core. A model that is a function
            must be defined in an imported module for that; other functions are trained in this process, one by one.
        sampler, pruner, storage: Optuna's, with the `[search]` extra: random, tpe or cmaes; none, median, halving or
            hyperband; `journal:PATH` or the URL of a database, by which several processes share one search. Each trial
            is then an ordinary run, one after the other in each process.

    Raises `ConfigError` for a bad range, for a setting that the model does not have and for numbers that cannot work,
    `DataError` without validation data, `CheckpointError` if `out` cannot be resumed.
    """
    ranges = read_space(space)
    _require_model(model)
    train, judge = _parts(data, validation, holdout)
    for name, value in {"epochs": epochs, "trials": trials, "rounds": rounds}.items():
        require_whole(name, value)
    if workers is not None:
        require_whole("workers", workers)
    loss = require_choice("loss", loss or _usual_loss(model), LOSSES)
    _check_training(ranges, optimizer)
    fixed = {"optimizer": optimizer, "batch_size": require_whole("batch_size", batch_size)}
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(f"options must be a dictionary of options of the model, got {options!r}")
    own: dict[str, Any] = dict(options or {})
    job = TrialTask(model, own, fixed, train, judge, epochs, loss)
    halts = _rungs(epochs, halving, rungs)
    facts = {
        "model": model if isinstance(model, str) else getattr(model, "name", getattr(model, "__qualname__", "own")),
        "space": {name: str(range_) for name, range_ in ranges.items()},
        "data": train.name,
        "data_sha256": train.fingerprint(),
        "validation_sha256": judge.fingerprint(),
        "trials": trials,
        "epochs": epochs,
        "rounds": rounds,
        "rungs": halts,
        "options": own,
        "loss": loss,
        "seed": require_whole("seed", seed, least=0),
        **fixed,
    }
    if sampler is not None or pruner is not None or storage is not None:
        if rounds > 1 or halts or resume:
            raise ConfigError("rounds, halving and resume do not work with Optuna; use its sampler, pruner and storage")
        name = f"threegen-{derive_seed(json.dumps(facts, sort_keys=True)):x}"
        shared = shared_search(
            job.build, job.split, ranges, train, judge, trials=trials, epochs=epochs, loss=loss, seed=seed,
            sampler="tpe" if sampler is None else sampler, pruner="none" if pruner is None else pruner,
            storage=storage, name=name,
        )  # fmt: skip
        return SearchResult([shared], [ranges], len(judge), facts)
    folder = None if out is None else Path(out)
    train_alone = partial(train_over_cores, job, workers)
    whole = Search(
        job.build, job.split, train_alone, ranges, train, judge, trials, epochs, rounds, tuple(halts), loss, seed,
        facts, folder, on_epoch,
    )  # fmt: skip
    return whole.run(resume=resume, progress=progress)


def _require_model(model: str | Entry | Build) -> None:
    """Raise `ConfigError` for a model that a search cannot build."""
    entry = find_entry(model) if isinstance(model, str) else model
    if isinstance(entry, Entry):
        if entry.stages is not None:
            raise ConfigError(
                f"{entry.name} learns in stages, each with its own rate; search the settings of one of its parts"
            )
    elif not callable(entry):
        raise ConfigError(f"model must be a name or a function build(generator, **settings), got {entry!r}")


def _usual_loss(model: str | Entry | Build) -> str:
    """Return the loss of a model's own rule, cross-entropy for a user's model."""
    entry = find_entry(model) if isinstance(model, str) else model
    rule = entry.rule() if isinstance(entry, Entry) else None
    loss = rule.loss if isinstance(rule, Backprop) else "cross_entropy"
    return loss if isinstance(loss, str) else "cross_entropy"


def _parts(data: Data | Dataset | str, validation: Dataset | None, holdout: int | None) -> tuple[Dataset, Dataset]:
    """Return the training and the validation part; the test part is never used."""
    loaded = load_data(data) if isinstance(data, str) else data
    train = loaded.train if isinstance(loaded, Data) else loaded
    if not isinstance(train, Dataset):
        raise DataError(f"data must be a name, a Data or a Dataset in memory, got {type(train).__name__}")
    if train.targets is None or not train.classes:
        raise DataError(f"{train.name} has no labels; a search compares accuracies")
    if validation is not None:
        if not isinstance(validation, Dataset) or len(validation) == 0 or validation.targets is None:
            raise DataError("validation has no labelled examples to judge by; give a Dataset with labels")
        return train, validation
    count = math.ceil(len(train) * HOLDOUT) if holdout is None else require_whole("holdout", holdout, least=0)
    if count < 1:
        raise DataError("a search needs validation data: give validation=, or holdout= of at least 1 example")
    parts = train.holdout(count, seed=0)
    return parts.train, parts.validation


def _check_training(ranges: Mapping[str, Range], optimizer: str) -> None:
    """Raise `ConfigError` for settings of the training that no trial could be trained with."""
    for name, bounds in _BOUNDS.items():
        for value in _ends(ranges.get(name)):
            require_number(f"{name} of the space", value, **bounds)
    for value in _ends(ranges.get("batch_size")):
        require_whole("batch_size of the space", value)
    drawn = ranges.get("optimizer")
    for kind in drawn.values if isinstance(drawn, Choice) else (optimizer,):
        require_choice("optimizer", kind, KINDS)
        if "momentum" in ranges and kind not in ("sgd", "momentum"):
            raise ConfigError(f"{kind} has no momentum to search{did_you_mean('momentum', ())}; use sgd or momentum")


def _ends(range_: Range | None) -> Sequence[Any]:
    """Return the values of a choice, or the ends of a range of numbers; nothing for a user-defined range."""
    if isinstance(range_, Choice):
        return range_.values
    if isinstance(range_, Numbers):
        return [int(end) if range_.whole else end for end in (range_.low, range_.high)]
    return ()


def _rungs(epochs: int, halving: bool, rungs: Sequence[int] | None) -> list[int]:
    if rungs is None:
        if halving and epochs < 2:
            raise ConfigError("halving discards networks between epochs, so it needs at least 2 epochs, got 1")
        return list(default_rungs(epochs)) if halving else []
    for rung in rungs:
        if require_whole("rungs", rung) >= epochs:
            raise ConfigError(f"a rung must be before the last of {epochs} epochs, got {rung}")
    return sorted(rungs)
