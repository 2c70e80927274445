"""A run: a folder that is a trained model.

runs/mlp/
  run.json               name, settings, data, plan, seed, versions, figures (`record.py`)
  weights.safetensors    the trained weights (run.json holds a SHA-256 for each)
  steps.jsonl epochs.jsonl epochs.csv      the log
  checkpoints/           from which `--resume` continues

`train_run` (`train.py`) makes one from a model of the registry, `save_run` from a user's own module.
"""

from __future__ import annotations

import datetime
import importlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from threegen.checks import did_you_mean
from threegen.datasets.dataset import Data
from threegen.datasets.load import data_source, load_data
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.gen3.networks import SpikingNet
from threegen.registry.entry import Entry, Plan, build_model, find_entry
from threegen.rules.backprop import Backprop
from threegen.runs.converted import built_again
from threegen.runs.pretrained import WEIGHTS as SHIPPED
from threegen.runs.pretrained import build_pretrained, pretrained_models
from threegen.runs.record import FORMAT, NAME, Facts, read_record, require_free, write_record
from threegen.training.log import TrainingLog, read_lines
from threegen.training.persistence.checkpoint import load_weights, read_tensors, tensor_hashes, versions, write_tensors
from threegen.training.persistence.files import make_folder, write_whole
from threegen.training.persistence.lock import locked

WEIGHTS = "weights.safetensors"
OwnModel = nn.Module | Callable[..., nn.Module] | str


@dataclass(frozen=True)
class Run:
    """A trained model: its folder, entry of the registry, network, training log and the facts of `run.json`.

    For a model whose weights ship in the package, `folder` is None and the facts are those of the manifest.
    """

    folder: Path | None
    entry: Entry
    model: nn.Module
    log: TrainingLog
    facts: Mapping[str, Any]

    @property
    def plan(self) -> Mapping[str, Any]:
        """The settings that the run was trained with."""
        return dict(self.facts["plan"])

    @property
    def command(self) -> str:
        """The full command that reproduces this run."""
        return train_command(self.facts, self.folder)

    @property
    def source(self) -> str:
        """The origin of the weights, in words: a run's folder, or the package."""
        if self.folder is None:
            return f"the weights of {self.entry.name} that ship with threegen"
        return f"the run in {self.folder}"

    def load_data(self) -> Data:
        """Load the data that the run was trained on; raises `DataError` if their test part has changed."""
        source = str(self.facts["data"])
        if not source:
            raise DataError(f"{self.folder} does not say where its data are; name them: --data NAME")
        data = load_data(source, **self.facts["data_options"])
        if data.test.fingerprint() != self.facts["data_sha256"].get("test", data.test.fingerprint()):
            raise DataError(
                f"the test part of {source} has changed since {self.entry.name} was trained: it has {len(data.test):,} "
                "examples now, and their fingerprint differs; to evaluate on them anyway: --data "
                f"{shlex.quote(source)}"
            )
        return data


def open_run(path: str | Path, *, model: OwnModel | None = None) -> Run:
    """Open a run's folder, or by its name a model whose weights ship in the package (`pretrained`).

    A folder that holds a run takes precedence over a name that ships; `Run.source` says which was used. `model` is for
    runs of a user's own module: the module to load the weights into, a class or function that builds it from the
    options that were saved, or its import path as text, `"package.module:Class"`, which is imported then. Raises
    `CheckpointError` if it is not a run, is damaged or has not been finished, `ConfigError` if the module is missing.
    """
    folder = Path(path)
    if not (folder / NAME).is_file() and str(path) in pretrained_models():
        return _shipped_run(str(path), model)
    if not folder.exists():
        known = pretrained_models()
        raise CheckpointError(
            f"{path} is not a run: it has no {NAME}, and no weights ship by that name; `threegen train MODEL --out "
            f"RUN` makes one; these ship: {', '.join(known)}{did_you_mean(str(path), known)}"
        )
    facts = read_record(folder)
    if not facts["finished"]:
        raise CheckpointError(f"{folder} has not been finished; continue with: {resume_command(folder)}")
    options = facts["plan"].get("options", {})
    if facts.get("converted"):
        own = _own_entry(facts["name"], facts["module"], facts["settings"]) if facts["module"] else None
        network: nn.Module
        entry, network = built_again(folder, facts, own)
    elif facts["module"]:
        entry = _own_entry(facts["name"], facts["module"], facts["settings"])
        network = _own_model(folder, facts["module"], model, options)
    elif model is not None:
        raise ConfigError(f"{folder} holds {facts['name']}, a model of the registry; leave model out")
    else:
        entry = find_entry(facts["name"])
        network = build_model(entry, facts["shape"], len(facts["classes"]), facts["seed"], options)
    if "sha256" not in facts:
        raise CheckpointError(f"{folder}/run.json lacks 'sha256'; the file is damaged; train the model again")
    load_weights(network, read_tensors(folder / WEIGHTS, facts["sha256"]), str(folder / WEIGHTS))
    network.eval()
    log = TrainingLog()
    log.epochs = read_lines(folder / "epochs.jsonl")
    log.seconds = float(facts.get("seconds", 0.0))
    return Run(folder, entry, network, log, facts)


def _shipped_run(name: str, model: OwnModel | None) -> Run:
    """Return the model whose weights ship as `name` as a run without a folder."""
    if model is not None:
        raise ConfigError(f"{name} ships with threegen and is a model of the registry; leave model out")
    facts = pretrained_models()[name]
    log = TrainingLog()
    log.seconds = float(facts["seconds"])
    return Run(None, find_entry(facts["entry"]), build_pretrained(facts, SHIPPED), log, facts)


def load_run(path: str | Path, *, model: OwnModel | None = None) -> nn.Module:
    """Return the trained network of a run's folder, in eval mode; arguments and errors are those of `open_run`."""
    return open_run(path, model=model).model


def picture_file(run: Run, name: str) -> Path:
    """Return the default path of a picture of a run: in its folder; without one, in the current folder, named after
    it."""
    return Path(f"{run.entry.name}-{name}") if run.folder is None else run.folder / name


def save_run(
    path: str | Path,
    model: nn.Module,
    *,
    data: Data | str | Path,
    name: str = "",
    options: Mapping[str, Any] | None = None,
    log: TrainingLog | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Run:
    """Save a trained module of your own as a run, so that `evaluate`, `report`, `explain` and `predict` work for it.

    Args:
        path: the run's folder.
        model: the trained module; its class must be one that can be imported again.
        data: what it was trained on: a `Data`, or a name or path for `load_data`. With a `Data` built by yourself the
            commands need `--data`.
        name: its name in reports; the class's name by default.
        options: plain values with which the class builds the module again, for the command line.
        log: what `fit` returned.
        seed: the seed that it was trained with.
        overwrite: discard a run that the folder holds.

    The class is named in `run.json` by its import path. It is never imported unless you ask for it: pass `model=` to
    `load_run`, or `--module package.module:Class` on the command line.

    Raises `ConfigError` if the folder holds a run already or the options are not plain values.
    """
    loaded = data if isinstance(data, Data) else load_data(data)
    kind = type(model)
    folder = Path(path)
    facts: Facts = {
        "format": FORMAT,
        "name": name or kind.__name__,
        "settings": {"generation": 3 if isinstance(model, SpikingNet) else 2, "year": datetime.date.today().year},
        "mode": "own",
        "plan": {"epochs": 0 if log is None else len(log.epochs), "options": _plain(options or {})},
        "data": "" if isinstance(data, Data) else data_source(data),
        "data_options": {},
        "data_sha256": {"train": loaded.train.fingerprint(), "test": loaded.test.fingerprint()},
        "shape": list(loaded.shape),
        "classes": list(loaded.classes),
        "seed": seed,
        "versions": versions(),
        "module": f"{kind.__module__}:{kind.__qualname__}",
        "examples": len(loaded.train),
        "held_out": 0,
        "finished": True,
        "seconds": 0.0 if log is None else log.seconds,
        "figures": {} if log is None else log.final,
        "sha256": tensor_hashes(model.state_dict()),
    }
    make_folder(folder)
    with locked(folder):
        require_free(folder, overwrite)
        write_tensors(folder / WEIGHTS, model.state_dict())
        lines = [] if log is None else log.epochs
        write_whole(folder / "epochs.jsonl", "".join(json.dumps(record) + "\n" for record in lines))
        write_record(folder, facts)
    entry = _own_entry(facts["name"], facts["module"], facts["settings"])
    return Run(folder, entry, model, log or TrainingLog(), facts)


def resume_command(folder: Path) -> str:
    """Return the command that continues the run in `folder`."""
    return f"threegen train --resume --out {shlex.quote(str(folder))}"


def train_command(facts: Mapping[str, Any], folder: Path | None) -> str:
    """Return the command line that reproduces a run of the registry, with all given options."""
    settings = facts["settings"]
    if (facts.get("converted") or {}).get("command"):
        return str(facts["converted"]["command"])
    words = ["threegen", "train", str(facts["name"]), "--data", str(facts["data"]), "--plan", str(facts["mode"])]
    words += ["--seed", str(facts["seed"])]
    for name in ("epochs", "batch_size", "lr", "optimizer", "holdout"):
        if settings.get(name):
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    if settings.get("start"):
        words += ["--start-from", str(settings["start"])]
    for name, value in (settings.get("options") or {}).items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    for name, value in facts["data_options"].items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:  # a switch has no value
            words.append(",".join(f"{one:g}" for one in value) if isinstance(value, list | tuple) else str(value))
    words += ["--out", str(folder or f"runs/{facts['name']}")]
    return shlex.join(words)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(dict(options))))
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"options must be plain values (numbers, texts, lists), got {options!r}") from problem


def _own_entry(name: str, module: str, settings: Mapping[str, Any]) -> Entry:
    """Return a substitute for an entry of the registry, for a user's own model."""

    def refuse(*_: object, **__: object) -> nn.Module:
        raise ConfigError(f"{module} is your own module; threegen cannot build it")

    return Entry(
        name=name,
        title=name,
        generation=int(settings.get("generation", 2)),
        year=int(settings.get("year", 2000)),
        paper=f"your own module, {module}",
        about=f"Your own module, {module}.",
        equations="",
        rule_name="your own training",
        build=refuse,
        rule=Backprop,
        plans={"own": Plan(epochs=0, seconds=0.0)},
        lineage=False,
    )


def _own_model(folder: Path, module: str, model: OwnModel | None, options: Mapping[str, Any]) -> nn.Module:
    if model is None:
        raise ConfigError(
            f"{folder} holds the weights of {module}, which threegen does not import by itself; "
            f"pass --module {module} (in Python: load_run(folder, model=...))"
        )
    if isinstance(model, nn.Module):
        return model
    builder = _import(model) if isinstance(model, str) else model
    if not callable(builder):
        raise ConfigError(f"model must be a module, a class or a function that builds one, got {builder!r}")
    try:
        built = builder(**options)
    except TypeError as problem:
        raise ConfigError(f"{module} cannot be built with the saved options {dict(options)}: {problem}") from problem
    if not isinstance(built, nn.Module):
        raise ConfigError(f"{model} must build an nn.Module, got {type(built).__name__}")
    return built


def _import(path: str) -> Any:
    name, _, inner = path.partition(":")
    if not name or not inner:
        raise ConfigError(f"name the class of a module as package.module:Class, got {path!r}")
    try:
        found: Any = importlib.import_module(name)
        for part in inner.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as problem:
        raise ConfigError(f"{path} cannot be imported: {problem}; is its folder on PYTHONPATH?") from problem
    return found
