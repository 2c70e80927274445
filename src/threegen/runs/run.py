"""A run: a folder that is a trained model.

runs/mlp/
  run.json               name, options, data, plan, seed, versions, figures
  weights.safetensors    the trained weights (a SHA-256 for each stands in run.json)
  steps.jsonl epochs.jsonl epochs.csv      the log
  checkpoints/           what `--resume` goes on from
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from threegen.checks import require_whole
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.randomness import make_generator
from threegen.registry.entry import Entry, Plan, find_entry
from threegen.runs.spike_health import SpikeHealth
from threegen.training.persistence.checkpoint import load_weights, read_tensors, tensor_hashes, versions, write_tensors
from threegen.training.processes.workers import process_rank
from threegen.training.persistence.files import make_folder, write_whole
from threegen.training.fit import Callback, fit
from threegen.training.persistence.lock import locked
from threegen.training.log import TrainingLog, read_lines

FORMAT = 1
_FACTS = "run.json"
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Run:
    """A trained model of the registry: its folder, entry, network, training log and the facts of `run.json`."""

    folder: Path | None
    entry: Entry
    model: nn.Module
    log: TrainingLog
    facts: Mapping[str, Any]

    @property
    def plan(self) -> Mapping[str, Any]:
        """The settings that the run was trained with."""
        return dict(self.facts["plan"])

    def load_data(self) -> Data:
        """Load the data that the run was trained on."""
        return load_data(str(self.facts["data"]))


def build_model(entry: Entry, shape: Sequence[int], classes: int, seed: int, options: Mapping[str, Any]) -> nn.Module:
    """Build an entry's network; its weights depend on (seed, name) alone."""
    return entry.build(tuple(shape), classes, make_generator(seed, "weights", entry.name), **options)


def train_run(
    entry: Entry | str,
    data: Data,
    *,
    mode: str = "full",
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    source: str = "",
    train: Dataset | None = None,
    validation: Dataset | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    checkpoint_every: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Run:
    """Train a model of the registry by its plan and return the run; with `out` it is written there too.

    `mode` is "quick" or "full"; `epochs` replaces the plan's number; `options` add to those of the plan (sizes,
    steps, dropout). `source` is what `load_data` finds the data by again, its name by default. `train` replaces
    `data.train` (the training part of a holdout, say). A resumed run takes from its folder what is not given again.
    Raises what `fit` raises.
    """
    entry = find_entry(entry) if isinstance(entry, str) else entry
    if resume and out is not None:
        saved = read_facts(Path(out))  # what the user does not say again is as it was
        mode = saved["mode"]
        epochs = saved["plan"]["epochs"] if epochs is None else epochs
        options = {**saved["plan"].get("options", {}), **(options or {})}
    plan = _plan_for(entry, mode, epochs, options)
    part = data.train if train is None else train
    if not data.classes:
        raise DataError(f"{data.name} has no labels; {entry.name} needs them")
    model = build_model(entry, part.shape, len(data.classes), seed, plan.options)
    held_out = 0 if validation is None else len(validation)
    facts = {
        **_facts(entry, plan, data, mode, seed),
        "data": source or data.name,
        "examples": len(part),
        "held_out": held_out,
    }
    folder = None if out is None else Path(out)
    writes = folder is not None and process_rank() == 0  # of several processes the first one alone
    learner, settings = entry.teaching(model, plan)
    with _held(folder if writes else None):
        if folder is not None and writes:
            _open_folder(folder, facts, resume, overwrite)
        log = fit(
            model,
            learner,
            part,
            seed=seed,
            validation=validation,
            out=folder,
            resume=resume,
            overwrite=overwrite,
            device=device,
            progress=progress,
            title=entry.name,
            callbacks=[*callbacks, SpikeHealth(part.inputs)],
            checkpoint_every=checkpoint_every,
            **settings,
        )
        model.cpu()
        facts = {**facts, "seconds": log.seconds, "finished": True, "figures": log.final}
        if folder is not None and writes:
            write_tensors(folder / _WEIGHTS, model.state_dict())
            facts["sha256"] = tensor_hashes(model.state_dict())
            _write_facts(folder, facts)
    return Run(folder, entry, model, log, facts)


def open_run(path: str | Path) -> Run:
    """Open a run's folder; raises `CheckpointError` where it is no run, is damaged or has not been finished."""
    folder = Path(path)
    facts = read_facts(folder)
    if not facts.get("finished"):
        raise CheckpointError(
            f"{folder} has not been finished; go on with: threegen train {facts['name']} --out {folder} --resume"
        )
    entry = find_entry(facts["name"])
    model = build_model(entry, facts["shape"], len(facts["classes"]), facts["seed"], facts["plan"].get("options", {}))
    load_weights(model, read_tensors(folder / _WEIGHTS, facts["sha256"]), str(folder / _WEIGHTS))
    model.eval()
    log = TrainingLog()
    log.epochs = read_lines(folder / "epochs.jsonl")
    log.seconds = float(facts["seconds"])
    return Run(folder, entry, model, log, facts)


def load_run(path: str | Path) -> nn.Module:
    """Return the trained network of a run's folder, in eval mode; raises what `open_run` raises."""
    return open_run(path).model


@contextmanager
def _held(folder: Path | None) -> Iterator[None]:
    """Hold the run's folder from before run.json is written until the weights are."""
    if folder is None:
        yield
        return
    make_folder(folder)
    with locked(folder):
        yield


def _plan_for(entry: Entry, mode: str, epochs: int | None, options: Mapping[str, Any] | None) -> Plan:
    plan = entry.plan(mode)
    if epochs is not None:
        plan = replace(plan, epochs=require_whole("epochs", epochs))
    return replace(plan, options={**plan.options, **(options or {})})


def _facts(entry: Entry, plan: Plan, data: Data, mode: str, seed: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": entry.name,
        "mode": mode,
        "plan": plan.describe(),
        "data": data.name,
        "shape": list(data.shape),
        "classes": list(data.classes),
        "seed": seed,
        "versions": versions(),
        "finished": False,
    }


def _open_folder(folder: Path, facts: Mapping[str, Any], resume: bool, overwrite: bool) -> None:
    """Write run.json before training starts; a resumed run must be the one that the folder holds."""
    if resume:
        saved = read_facts(folder)
        for name in ("name", "data", "seed"):
            if saved[name] != facts[name]:
                raise ConfigError(
                    f"{folder} holds a run with {name} {saved[name]!r}, not {facts[name]!r}; choose another --out"
                )
        _write_facts(folder, {**saved, "finished": False})
        return
    if (folder / _FACTS).exists() and not overwrite:
        raise ConfigError(
            f"{folder} already holds a run; go on with --resume, give it up with --overwrite, or choose another --out"
        )
    _write_facts(folder, facts)


def _write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    write_whole(folder / _FACTS, json.dumps(facts, indent=1) + "\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what `run.json` in `folder` says; raises `CheckpointError` where it is missing or damaged."""
    path = folder / _FACTS
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a run: it has no {_FACTS}; `threegen train MODEL --out RUN` makes one")
    try:
        facts = json.loads(path.read_bytes())
        required = ("format", "name", "plan", "data", "shape", "classes", "seed")
        missing = [name for name in required if name not in facts]
    except (ValueError, TypeError) as problem:
        raise CheckpointError(f"{path} is damaged; train the model again") from problem
    if missing:
        raise CheckpointError(f"{path} lacks {missing[0]!r}; the file is damaged; train the model again")
    if facts["format"] > FORMAT:
        raise CheckpointError(f"{path} was written in format {facts['format']}, this is {FORMAT}; upgrade threegen")
    return dict(facts)
