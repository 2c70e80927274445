"""Train a model of the registry into a run: the settings, the plan, the model, the folder, the loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from threegen.checks import require_whole
from threegen.datasets.catalogue import KNOWN
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import data_source, load_data
from threegen.datasets.stored_pictures import holds_pictures
from threegen.errors import ConfigError, DataError
from threegen.gen3.networks import SpikingNet
from threegen.registry.entry import Entry, Plan, build_model, find_entry
from threegen.runs.converted import converted_facts
from threegen.runs.record import FORMAT, Facts, read_record, require_free, write_record
from threegen.runs.run import WEIGHTS, Run
from threegen.runs.spike_health import LOOKED_AT, SpikeHealth
from threegen.runs.start_from import start_from
from threegen.training.fit import Callback, fit
from threegen.training.optimizers.build import OptimizerRecipe
from threegen.training.persistence.checkpoint import tensor_hashes, versions, write_tensors
from threegen.training.persistence.files import make_folder
from threegen.training.persistence.lock import locked
from threegen.training.processes.workers import process_rank


def train_run(
    entry: Entry | str | None = None,
    data: Data | str | Path | None = None,
    *,
    mode: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: str | OptimizerRecipe | None = None,
    lr: float | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    holdout: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    source: str = "",
    train: Dataset | None = None,
    validation: Dataset | None = None,
    device: str | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    checkpoint_every: int | None = None,
    start: str | Path | None = None,
) -> Run:
    """Train a model of the registry by its plan and return the run; with `out` it is written there too.

    Args:
        entry: a model by name, or an `Entry`; not needed for a resumed run.
        data: a `Data`, or a name or path for `load_data`, which gets `data_options`; MNIST by default.
        mode: "quick", "full" (the default) or another plan of the model.
        epochs, batch_size, optimizer, lr: replace those of the plan.
        options: sizes, steps, dropout and so on, for the model's builder; they add to those of the plan.
        seed: drives weights, order and every random draw; 0 by default.
        holdout: how many training examples are kept for validation.
        out: the run's folder. `resume` continues from its newest checkpoint with the settings that the run was
            started with; it raises for another setting, except for more epochs. `overwrite` discards the run in it.
        source: the name or path by which `load_data` finds the data again, if `data` is a `Data`; its name by default.
        train, validation: other parts than `data.train` and the holdout.
        device, progress, callbacks, checkpoint_every: as in `fit`.
        start: a run of the same model, or a name whose weights ship, with whose weights training begins; where the
            number of classes differs, the last layer is initialised again.

    Raises `ConfigError` for settings that cannot work and what `fit` raises.
    """
    folder = None if out is None else Path(out)
    given = {
        "name": entry.name if isinstance(entry, Entry) else entry,
        "data": _source(data, source),
        "mode": mode,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer.describe() if isinstance(optimizer, OptimizerRecipe) else optimizer,
        "lr": lr,
        "options": None if options is None else dict(options),
        "seed": seed,
        "holdout": holdout,
        "data_options": None if data_options is None else dict(data_options),
        "start": _start(start),
    }
    settings = _settle(given, folder, resume)
    entry = entry if isinstance(entry, Entry) else find_entry(settings["name"])
    chosen = optimizer if isinstance(optimizer, OptimizerRecipe) else settings["optimizer"]
    plan = entry.settled_plan(
        settings["mode"],
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        optimizer=chosen,
        lr=settings["lr"],
        options=settings["options"],
    )
    _size_pictures(settings, entry)
    loaded = data if isinstance(data, Data) else load_data(settings["data"], **(settings["data_options"] or {}))
    if not loaded.classes:
        raise DataError(f"{loaded.name} has no labels; {entry.name} needs them")
    part, held_out = _split(loaded.train if train is None else train, validation, settings["holdout"], plan)
    model = build_model(entry, part.shape, len(loaded.classes), settings["seed"], plan.options)
    if settings["start"] and not resume:
        start_from(model, settings["start"])
    learner, how = entry.teaching(model, plan)
    facts = _facts(entry, settings, plan, loaded, part, held_out)
    with _open(folder, facts, resume, overwrite) as writes:
        log = fit(
            model,
            learner,
            part,
            seed=settings["seed"],
            validation=held_out,
            out=folder,
            resume=resume,
            overwrite=overwrite,
            device=device,
            progress=progress,
            title=entry.name,
            callbacks=[*callbacks, *_watchers(model, part)],
            checkpoint_every=checkpoint_every,
            **how,
        )
        model = _finished(entry, model.cpu(), part, plan, facts)
        facts |= {"seconds": log.seconds, "finished": True, "figures": log.final}
        if folder is not None and writes:
            write_tensors(folder / WEIGHTS, model.state_dict())
            facts["sha256"] = tensor_hashes(model.state_dict())
            write_record(folder, facts)
    return Run(folder, entry, model, log, facts)


def _split(
    part: Dataset, validation: Dataset | None, holdout: int | None, plan: Plan
) -> tuple[Dataset, Dataset | None]:
    """Return the training and the validation data: `holdout` examples, or the plan's share, are held out."""
    kept = holdout or (round(plan.held_out * len(part)) if validation is None else 0)
    if not kept:
        return part, validation
    split = part.holdout(require_whole("holdout", kept), seed=0)
    return split.train, split.validation


def _watchers(model: nn.Module, part: Dataset) -> list[Callback]:
    """Return what watches a spiking net; for others no picture need be decoded."""
    return [SpikeHealth(part.take(LOOKED_AT).inputs)] if isinstance(model, SpikingNet) else []


def _size_pictures(settings: dict[str, Any], entry: Entry) -> None:
    """Choose the entry's size for a user's own pictures, if none is given."""
    options = settings["data_options"] or {}
    source = str(settings["data"])
    if entry.picture is None or "size" in options or source in KNOWN or not holds_pictures(Path(source)):
        return
    settings["data_options"] = {**options, "size": entry.picture}


def _finished(entry: Entry, model: nn.Module, train: Dataset, plan: Plan, facts: Facts) -> nn.Module:
    """Return the model of the run: the trained one, or the one that its entry builds from it."""
    if entry.finish is None:
        return model
    made = entry.finish(model, train, plan)
    facts |= converted_facts(made)
    return made


def _source(data: Data | str | Path | None, source: str) -> str | None:
    """Return the name or path by which `load_data` finds the data again."""
    if isinstance(data, Data):
        return source or data.name
    return None if data is None else data_source(data)


def _start(start: str | Path | None) -> str | None:
    """Return what `open_run` finds the run by from any folder."""
    if start is None:
        return None
    return str(Path(start).resolve()) if Path(start).exists() else str(start)


def _settle(given: dict[str, Any], folder: Path | None, resume: bool) -> dict[str, Any]:
    """Return all settings: those given, those of the run that is resumed, and the usual ones."""
    usual = {"data": "mnist", "mode": "full", "seed": 0}
    if not resume:
        if given["name"] is None:
            raise ConfigError("no model is named; `threegen models` lists them")
        return {**given, **{name: value for name, value in usual.items() if given[name] is None}}
    if folder is None:
        raise ConfigError("--resume needs --out, the folder of the run to continue")
    saved = read_record(folder)
    if saved["module"]:
        raise ConfigError(f"{folder} holds your own module {saved['module']}; train it by fit(..., out=, resume=True)")
    started = {**given, **saved["settings"]}
    for name, value in given.items():
        if value is None or value == started[name]:
            continue
        if name != "epochs":  # a run may be extended; fit raises for fewer epochs than are done
            raise ConfigError(
                f"{folder} was started with {name} {_said(started[name])}, not {_said(value)}; a resumed run keeps its "
                f"settings; leave out {name}, or choose another --out"
            )
        started[name] = value
    return started


def _said(value: Any) -> str:
    return "of the plan" if value is None else repr(value)


def _facts(
    entry: Entry, settings: dict[str, Any], plan: Plan, data: Data, train: Dataset, validation: Dataset | None
) -> Facts:
    return {
        "format": FORMAT,
        "name": entry.name,
        "settings": settings,
        "mode": settings["mode"],
        "plan": plan.describe(),
        "data": settings["data"],
        "data_options": settings["data_options"] or {},
        "data_sha256": {"train": data.train.fingerprint(), "test": data.test.fingerprint()},
        "shape": list(data.shape),
        "classes": list(data.classes),
        "seed": settings["seed"],
        "versions": versions(),
        "module": "",
        "finished": False,
        "examples": len(train),
        "held_out": 0 if validation is None else len(validation),
    }


@contextmanager
def _open(folder: Path | None, facts: Facts, resume: bool, overwrite: bool) -> Iterator[bool]:
    """Hold the run's folder from before run.json is written until the weights are; yield whether this process writes.

    Of several processes only the first one writes.
    """
    if folder is None or process_rank() != 0:
        yield False
        return
    make_folder(folder)
    with locked(folder):
        if not resume:
            require_free(folder, overwrite)
        write_record(folder, facts)
        yield True
