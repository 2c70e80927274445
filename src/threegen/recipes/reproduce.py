"""Published figures, made anew: `threegen reproduce NAME` writes `reproduction/NAME.json`.

One figure a file in `recipes/figures`. A record holds `name, paper, published, unit, better, ours` (one value a
seed), `seeds, minutes, command, date, note`; unreached figures stand there like the others.
"""

from __future__ import annotations

import datetime
import importlib
import json
import pkgutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from threegen.checks import did_you_mean, require_choice
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, DataError
from threegen.recipes import figures as _figures
from threegen.recipes.run import train_run
from threegen.training.evaluate import evaluate
from threegen.training.files import write_whole

FIELDS = ("name", "paper", "published", "unit", "better", "ours", "seeds", "minutes", "command", "date", "note")


@dataclass(frozen=True)
class Figure:
    """One published figure and how to make it: `make(seed, progress)` trains and returns the value for one seed."""

    name: str
    paper: str
    published: float
    unit: str
    better: str
    make: Callable[[int, bool], float]
    seeds: Sequence[int] = (0, 1, 2)
    note: str = ""

    def __post_init__(self) -> None:
        require_choice("better", self.better, ("higher", "lower"))


def full_plan_accuracy(entry: str, seed: int, progress: bool) -> float:
    """Train an entry of the registry by its full plan on all training images; return its test accuracy in per cent."""
    data = load_data("mnist")
    run = train_run(entry, data, mode="full", seed=seed, progress=progress)
    return 100 * evaluate(run.model, data.test, seed=seed).accuracy


@cache
def all_figures() -> dict[str, Figure]:
    """Return every figure by name."""
    found: dict[str, Figure] = {}
    for module in pkgutil.iter_modules(_figures.__path__):
        figure: Figure = importlib.import_module(f"{_figures.__name__}.{module.name}").FIGURE
        found[figure.name] = figure
    return found


def reproduce_figure(name: str, folder: str | Path = "reproduction", *, progress: bool = False) -> dict[str, Any]:
    """Make the figure called `name` for each of its seeds, write `folder/NAME.json` and return the record."""
    known = all_figures()
    if name not in known:
        raise ConfigError(f"no figure is called {name!r}; choose {', '.join(known)}{did_you_mean(name, known)}")
    figure = known[name]
    begun = time.perf_counter()
    ours = [figure.make(seed, progress) for seed in figure.seeds]
    record = {
        "name": figure.name,
        "paper": figure.paper,
        "published": figure.published,
        "unit": figure.unit,
        "better": figure.better,
        "ours": [round(value, 4) for value in ours],
        "seeds": list(figure.seeds),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "command": f"threegen reproduce {figure.name}",
        "date": datetime.date.today().isoformat(),
        "note": figure.note,
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write_whole(target / f"{figure.name}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return record


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a file of `reproduction/`; raises `DataError` where a field is missing or unknown."""
    try:
        record = json.loads(path.read_bytes())
    except ValueError as problem:
        raise DataError(f"{path} is not JSON: {problem}") from problem
    wrong = set(record) ^ set(FIELDS)
    if wrong:
        raise DataError(f"{path}: the fields must be {', '.join(FIELDS)}; look at {', '.join(sorted(wrong))}")
    return dict(record)


def figure_table(folder: str | Path = "reproduction") -> list[dict[str, Any]]:
    """Return one row a figure: what was published, what we reached (mean over seeds), and by which command."""
    rows = []
    for figure in all_figures().values():
        path = Path(folder) / f"{figure.name}.json"
        row: dict[str, Any] = {
            "figure": figure.name,
            "published": figure.published,
            "unit": figure.unit,
            "ours": "not made yet",
            "spread": "",
            "minutes": "",
            "command": f"threegen reproduce {figure.name}",
        }
        if path.is_file():
            record = read_record(path)
            values = record["ours"]
            row["ours"] = round(sum(values) / len(values), 3)
            row["spread"] = f"{min(values):g} to {max(values):g} ({len(values)} seeds)"
            row["minutes"] = record["minutes"]
        rows.append(row)
    return rows


def figures_markdown(folder: str | Path = "reproduction") -> str:
    """Return the records of `folder` as a Markdown table: what was published, what we reached, what it took."""
    lines = ["| figure | paper | published | ours | minutes |", "|---|---|---|---|---|"]
    for path in sorted(Path(folder).glob("*.json")):
        record = read_record(path)
        ours = record["ours"]
        seeds = f"{len(ours)} seeds, {min(ours):g} to {max(ours):g}" if len(ours) > 1 else f"seed {record['seeds'][0]}"
        published = "none" if record["published"] is None else f"{record['published']:g}"
        lines.append(
            f"| `{record['name']}`, {record['unit']} | {record['paper']} | {published} "
            f"| {sum(ours) / len(ours):.2f} ({seeds}) | {record['minutes']:g} |"
        )
    return "\n".join(lines) + "\n"
