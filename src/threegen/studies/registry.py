"""The studies by name: one file each in `studies/entries`; adding a study is adding a file."""

from __future__ import annotations

import importlib
import json
import pkgutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from threegen.checks import did_you_mean, require_choice, require_whole
from threegen.errors import ConfigError, DataError
from threegen.randomness import forked_randomness
from threegen.studies import entries as _entries
from threegen.studies.study import Settings, Study
from threegen.training.persistence.files import write_whole


@cache
def all_studies() -> dict[str, Study]:
    """Return every study by name, in alphabetical order."""
    found: dict[str, Study] = {}
    for module in pkgutil.iter_modules(_entries.__path__):
        study: Study = importlib.import_module(f"{_entries.__name__}.{module.name}").STUDY
        found[study.name] = study
    return dict(sorted(found.items()))


def study_names() -> list[str]:
    """Return the names of all studies."""
    return list(all_studies())


def find_study(name: str) -> Study:
    """Return the study called `name`; raises `ConfigError` with the nearest spelling."""
    known = all_studies()
    if name in known:
        return known[name]
    raise ConfigError(f"no study is called {name!r}; choose {', '.join(known)} or all{did_you_mean(name, known)}")


def run_study(
    name: str,
    *,
    quick: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
    data: str = "",
) -> dict[str, Any]:
    """Run the study called `name` and return `{"study", "title", "about", "source", "quick", "seed", "seconds",
    "figures", "files"}`.

    `out` is the folder for `results.json` (the same data) and the drawings; None draws nothing. `data` chooses among
    the data of a study that supports several. Torch's generators stay unchanged. Raises `ConfigError` for an unknown
    name, data that the study does not support or a missing extra package.
    """
    study = find_study(name)
    if data and not study.data:
        raise ConfigError(f"study {name} has its own data; leave out data={data!r}")
    if data:
        require_choice("data", data, study.data)
    settings = Settings(bool(quick), require_whole("seed", seed, least=0), bool(progress), data)
    begun = time.perf_counter()
    with forked_randomness(seed, "study", name):
        figures = study.measure(settings)
    result: dict[str, Any] = {
        "study": study.name,
        "title": study.title,
        "about": study.about,
        "source": study.source,
        "quick": settings.quick,
        "seed": seed,
        "seconds": round(time.perf_counter() - begun, 1),
        "figures": figures,
        "files": [],
    }
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        result["files"] = study.draw(figures, folder)
        write_whole(folder / "results.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def run_all_studies(
    *,
    quick: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool = False,
    done: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Run every study, each into its own folder inside `out`; `done` is called with each result.

    A study whose extra package or data are missing is skipped; its result gives the reason under `"skipped"`.
    """
    results = []
    for name in study_names():
        try:
            result = run_study(
                name, quick=quick, out=None if out is None else Path(out) / name, seed=seed, progress=progress
            )
        except (ConfigError, DataError) as problem:
            result = {"study": name, "title": find_study(name).title, "skipped": str(problem)}
        results.append(result)
        if done is not None:
            done(result)
    return results


def summary(figures: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """Return the single numbers and words among figures as rows `{"figure", "value"}`; curves are left out."""
    rows: list[dict[str, Any]] = []
    for name, value in figures.items():
        label = f"{prefix}{name}"
        if isinstance(value, dict):
            rows += summary(value, f"{label} / ")
        elif isinstance(value, list):
            if len(value) <= 8 and all(isinstance(one, int | float) for one in value):
                rows.append({"figure": label, "value": "  ".join(f"{one:.4g}" for one in value)})
        elif isinstance(value, float):
            rows.append({"figure": label, "value": f"{value:.4g}"})
        else:
            rows.append({"figure": label, "value": str(value)})
    return rows
