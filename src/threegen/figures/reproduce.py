"""Published figures, reproduced: `threegen reproduce NAME` writes `reproduction/NAME.json`.

One figure per file in `figures/entries`, and those of the studies in one table, `studies/figures.py`. A record holds
`name, paper, published, unit, better, ours` (one value per seed), `mean, deviation` (over the seeds, null for one),
`seeds, minutes, command, date, differs` (what differs from the paper, in one line) and `note`. Figures that are not
reached have records too. The records are in `reproduction/`; the build copies them into the wheel.
"""

from __future__ import annotations

import datetime
import importlib
import json
import pkgutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from threegen.checks import did_you_mean, require_choice
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, DataError
from threegen.figures import entries as _figures
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate
from threegen.training.persistence.checkpoint import versions
from threegen.training.persistence.files import make_folder, write_whole

FIELDS = (
    *("name", "paper", "published", "unit", "better", "ours", "mean", "deviation", "seeds", "minutes", "command"),
    *("date", "differs", "note"),
)


@dataclass(frozen=True)
class Made:
    """The value of a figure for one seed and its `seconds` of training, including those of reused parts."""

    value: float
    seconds: float


@dataclass(frozen=True)
class Figure:
    """One published figure and its recipe: `make(seed, progress)` trains and returns the value for one seed.

    `differs` says in one line what differs from the paper, or is "nothing". If a run may reuse parts of an earlier one,
    it returns `Made`, so that their time is counted too. `not_run` says why a figure has no record and what a run would
    take; such figures also have a row in the table.
    """

    name: str
    paper: str
    published: float | None
    unit: str
    better: str
    make: Callable[[int, bool], float | Made]
    differs: str
    seeds: Sequence[int] = (0, 1, 2)
    note: str = ""
    not_run: str = ""

    def __post_init__(self) -> None:
        require_choice("better", self.better, ("higher", "lower"))
        if not self.differs or "\n" in self.differs:
            raise ConfigError(f"{self.name}: differs must say in one line what differs from the paper, or 'nothing'")


def full_plan_accuracy(entry: str, seed: int, progress: bool, *, steps: int | None = None) -> float:
    """Train an entry of the registry by its full plan on all training images; return its test accuracy in per cent.

    `steps` is T of a spiking net in the test, if it differs from that in training.
    """
    data = load_data("mnist")
    run = train_run(entry, data, mode="full", seed=seed, progress=progress)
    if steps is not None:
        run.model.steps = steps  # type: ignore[assignment]
    return 100 * evaluate(run.model, data.test, seed=seed).accuracy


def full_plan_error(entry: str, seed: int, progress: bool) -> float:
    """Train an entry of the registry by its full plan on all training images; return its test error in per cent."""
    return 100 - full_plan_accuracy(entry, seed, progress)


# Modules with a table `FIGURES`, found by name: the studies import this package, so it cannot import them.
_TABLES = ("threegen.studies.figures",)


@cache
def all_figures() -> dict[str, Figure]:
    """Return every figure by name."""
    names = [f"{_figures.__name__}.{module.name}" for module in pkgutil.iter_modules(_figures.__path__)]
    figures: list[Figure] = [importlib.import_module(name).FIGURE for name in names]
    for table in _TABLES:
        figures += importlib.import_module(table).FIGURES
    return {figure.name: figure for figure in figures}


def reproduce_figure(
    name: str,
    folder: str | Path = "reproduction",
    *,
    seeds: Sequence[int] | None = None,
    add: bool = False,
    parts: str | Path | None = None,
    progress: bool = False,
) -> dict[str, Any] | None:
    """Reproduce the figure called `name` for each of its seeds, write `folder/NAME.json` and return the record.

    With `seeds` only those are run; several processes may each run some. The value of a seed is stored in
    `parts/NAME/seed-S.json` (`parts` is `runs/reproduce` by default) until all seeds are done. The process that
    finishes last writes the record and removes the parts; the others return None. Without `seeds` all are run again.
    Seeds outside the figure's own list are run and returned with `"written": False`; nothing is written for them.

    With `add` the values of the existing record (in `folder`, or shipped) are kept, and only the seeds that it lacks
    are run. This is right only if neither the recipe nor the code it runs has changed since.

    Raises `ConfigError` for an unknown name or seed, or for seeds of which only some are in the figure's list;
    `DataError` for parts from another note or other software versions, before anything is run.
    """
    known = all_figures()
    if name not in known:
        raise ConfigError(f"no figure is called {name!r}; choose {', '.join(known)}{did_you_mean(name, known)}")
    figure = known[name]
    if seeds is not None and not seeds:
        raise ConfigError(f"no seed is named; the seeds of {name} are {list(figure.seeds)}")
    if seeds is not None and not set(seeds) & set(figure.seeds):
        values = [round(_timed(figure, seed, progress).value, 4) for seed in seeds]
        return {"name": name, "seeds": list(seeds), "ours": values, **_spread(values), "written": False}
    if seeds is not None and not set(seeds) <= set(figure.seeds):
        raise ConfigError(
            f"the seeds of {name} are {list(figure.seeds)}; got {list(seeds)}, of which only some are among them: "
            "run the others by another command"
        )
    earlier = _earlier(figure, Path(folder)) if add else None
    held = earlier["seeds"] if earlier else []
    kept = Path("runs/reproduce" if parts is None else parts) / name
    make_folder(kept)
    wanted = [seed for seed in (figure.seeds if seeds is None else seeds) if seed not in held]
    _gather_parts(kept, figure, besides=[*held, *wanted])
    for seed in wanted:
        made = _timed(figure, seed, progress)
        today = datetime.date.today().isoformat()
        part = {**_same_for_all(figure), "seed": seed, "value": round(made.value, 4), "date": today}
        part["minutes"] = made.seconds / 60
        write_whole(kept / f"seed-{seed}.json", json.dumps(part, indent=2, ensure_ascii=False) + "\n")
    found = _gather_parts(kept, figure, besides=held)
    if len(found) + len(held) < len(figure.seeds):
        return None
    record = _record(figure, found, earlier)
    target = Path(folder)
    make_folder(target)
    write_whole(target / f"{figure.name}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    for path in kept.glob("seed-*.json"):  # a later run must not collect these
        path.unlink(missing_ok=True)
    return record


def _earlier(figure: Figure, folder: Path) -> dict[str, Any]:
    """Return the record that seeds are added to; raises `DataError` if there is none or it is not of this recipe."""
    path = next((place for place in _places(figure, folder) if place.is_file()), None)
    if path is None:
        raise DataError(f"{folder / figure.name}.json is not there: no record of {figure.name} to add seeds to")
    record = read_record(path)
    if record["differs"] != figure.differs or not set(record["seeds"]) <= set(figure.seeds):
        raise DataError(
            f"{path} is of another recipe than the figure: its seeds are {record['seeds']} of {list(figure.seeds)}, "
            f"and it differs from the paper in {record['differs']!r}; run all seeds again, without add"
        )
    return record


def _record(figure: Figure, found: dict[int, dict[str, Any]], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return the record of all seeds: those of `earlier`, and the parts that were found for the rest."""
    values = {seed: part["value"] for seed, part in found.items()}
    minutes = [part["minutes"] for part in found.values()]
    dates = [part["date"] for part in found.values()]
    if earlier is not None:
        values |= dict(zip(earlier["seeds"], earlier["ours"], strict=True))
        minutes.append(earlier["minutes"])
        dates.append(earlier["date"])
    ours = [values[seed] for seed in figure.seeds]
    return {
        "name": figure.name,
        "paper": figure.paper,
        "published": figure.published,
        "unit": figure.unit,
        "better": figure.better,
        "ours": ours,
        **_spread(ours),
        "seeds": list(figure.seeds),
        "minutes": round(sum(minutes), 1),
        "command": f"threegen reproduce {figure.name}",
        "date": max(dates),
        "differs": figure.differs,
        "note": figure.note,
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean of the seeds and their sample standard deviation, None for a single one."""
    deviation = round(statistics.stdev(values), 4) if len(values) > 1 else None
    return {"mean": round(statistics.fmean(values), 4), "deviation": deviation}


def shipped_records() -> Path:
    """Return the folder of the records that are shipped: inside the wheel, or `reproduction/` in a checkout."""
    inside = Path(__file__).parent / "records"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "reproduction"


def _places(figure: Figure, folder: Path) -> tuple[Path, Path]:
    """Return where a figure's record can be: in the user's own folder, then among those that are shipped."""
    return folder / f"{figure.name}.json", shipped_records() / f"{figure.name}.json"


def _timed(figure: Figure, seed: int, progress: bool) -> Made:
    begun = time.perf_counter()
    made = figure.make(seed, progress)
    return made if isinstance(made, Made) else Made(made, time.perf_counter() - begun)


def _same_for_all(figure: Figure) -> dict[str, Any]:
    """Return the facts that all parts of one record must share."""
    return {"name": figure.name, "note": figure.note, "versions": versions()}


def _gather_parts(kept: Path, figure: Figure, besides: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the existing parts by seed without `besides`; raises `DataError` if one does not belong to the others."""
    found = {}
    for seed in sorted(set(figure.seeds) - set(besides)):
        path = kept / f"seed-{seed}.json"
        try:
            part = dict(json.loads(path.read_bytes()))
        except FileNotFoundError:  # not yet run, or already collected by another process
            continue
        except ValueError as problem:
            raise DataError(f"{path} is not JSON: {problem}; remove it and run that seed again") from problem
        for field, value in _same_for_all(figure).items():
            if part.get(field) != value:
                raise DataError(
                    f"{path}: its {field} is {part.get(field)!r}, the figure's is {value!r}; run that seed again"
                )
        found[seed] = part
    return found


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a file of `reproduction/`; raises `DataError` if a field is missing or unknown."""
    try:
        record = json.loads(path.read_bytes())
    except ValueError as problem:
        raise DataError(f"{path} is not JSON: {problem}") from problem
    wrong = set(record) ^ set(FIELDS)
    if wrong:
        raise DataError(f"{path}: the fields must be {', '.join(FIELDS)}; look at {', '.join(sorted(wrong))}")
    return dict(record)


def figure_table(folder: str | Path = "reproduction") -> list[dict[str, Any]]:
    """Return one row per figure: the published value, ours, the differences, and the command.

    Records in `folder` take precedence over those shipped with the package.
    """
    rows = []
    for figure in all_figures().values():
        own, shipped = _places(figure, Path(folder))
        path = own if own.is_file() else shipped
        row: dict[str, Any] = {
            "figure": figure.name,
            "published": figure.published,
            "unit": figure.unit,
            "ours": "not run yet",
            "seeds": 0,
            "minutes": "",
            "differs": figure.differs,
            "command": f"threegen reproduce {figure.name}",
        }
        if path.is_file():
            record = read_record(path)
            row["ours"] = reached(record)
            row["seeds"] = len(record["seeds"])
            row["minutes"] = record["minutes"]
        rows.append(row)
    return rows


def reached(record: dict[str, Any]) -> str:
    """Return the mean and the standard deviation of a record, as `98.02 +- 0.05`."""
    if record["deviation"] is None:
        return f"{record['mean']:.2f}"
    return f"{record['mean']:.2f} \u00b1 {record['deviation']:.2f}"


def figures_markdown(folder: str | Path = "reproduction") -> str:
    """Return the records of `folder` as a Markdown table: the published values, ours, and the time.

    Figures that say why they were not run have a row without a value.
    """
    lines = ["| figure | paper | published | ours | differs | minutes |", "|---|---|---|---|---|---|"]
    waiting = {name: figure for name, figure in all_figures().items() if figure.not_run}
    paths = {path.stem: path for path in Path(folder).glob("*.json")}
    for name in sorted({*waiting, *paths}):
        if name not in paths:
            one = waiting[name]
            lines.append(
                f"| `{name}`, {one.unit} | {one.paper} | {one.published:g} | not run: {one.not_run} "
                f"(`threegen reproduce {name}`) | {one.differs} | |"
            )
            continue
        record = read_record(paths[name])
        seeds = f"{len(record['seeds'])} seeds" if len(record["seeds"]) > 1 else f"seed {record['seeds'][0]}"
        published = "none" if record["published"] is None else f"{record['published']:g}"
        lines.append(
            f"| `{record['name']}`, {record['unit']} | {record['paper']} | {published} "
            f"| {reached(record)} ({seeds}) | {record['differs']} | {record['minutes']:g} |"
        )
    return "\n".join(lines) + "\n"
