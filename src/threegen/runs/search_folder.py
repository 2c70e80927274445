"""`threegen search`: a search with its folder: the table, the picture of the best, and the winner as a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.errors import ConfigError
from threegen.registry.entry import Plan, find_entry
from threegen.rules.backprop import Backprop
from threegen.runs.run import Run
from threegen.runs.search import search
from threegen.runs.train import train_run
from threegen.runs.trial_task import OPTIMIZER_SETTINGS, TRAINING_SETTINGS
from threegen.training.optimizers.build import optimizer as optimizer_recipe
from threegen.training.persistence.files import make_folder, write_whole
from threegen.training.search.folder import RECORD
from threegen.training.search.results import SearchResult


def search_into(
    folder: Path,
    model: str,
    space: Mapping[str, str],
    data: str,
    *,
    examples: int | None = None,
    train_best: bool = False,
    resume: bool = False,
    **settings: Any,
) -> tuple[SearchResult, list[str]]:
    """Search, write `table.json` and `best.png` into the folder, and return the result and the files.

    `train_best` trains the best settings again on all training examples, for the same number of epochs, as the run
    `best`. Raises what `search` raises, and `ConfigError` if the folder holds a search that is not to be resumed.
    """
    if (folder / RECORD).exists() and not resume:
        raise ConfigError(f"{folder} holds a search already; continue with --resume or choose another --out")
    loaded = load_data(data)
    part = loaded.train if examples is None else loaded.train.take(examples)
    shared = settings.get("storage") or settings.get("sampler") or settings.get("pruner")
    result = search(model, space, part, out=None if shared else folder, resume=resume, **settings)
    make_folder(folder)
    write_whole(folder / "table.json", json.dumps(result.as_dict(), indent=1))
    files = [str(folder / "table.json"), str(result.figure(folder / "best.png"))]
    if train_best:
        run = train_winner(result, folder / "best", model, loaded, part, data)
        files.append(str(run.folder))
    return result, files


def train_winner(result: SearchResult, folder: Path, model: str, data: Data, part: Dataset, source: str) -> Run:
    """Train the best settings again on all of `part` as an ordinary run, for as many epochs as in the search."""
    facts, own = result.facts, result.best.settings
    kind = own.get("optimizer", facts["optimizer"])
    rates = {name: own[name] for name in OPTIMIZER_SETTINGS if name in own}
    rest = {name: value for name, value in own.items() if name not in (*OPTIMIZER_SETTINGS, *TRAINING_SETTINGS)}
    plan = Plan(
        epochs=facts["epochs"],
        seconds=60,
        batch_size=min(own.get("batch_size", facts["batch_size"]), len(part)),
        optimizer=optimizer_recipe(kind, **rates),
        options={**facts["options"], **rest},
    )
    entry = replace(find_entry(model), plans={"full": plan}, rule=lambda: Backprop(facts["loss"]))
    return train_run(entry, data, seed=facts["seed"], out=folder, source=source, train=part)
