"""`threegen history` and `threegen report`: train, measure, write results.json and report.html."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from threegen.datasets.load import data_source, load_data
from threegen.errors import CheckpointError, ConfigError
from threegen.report.lineage import gather, measure_run, train_lineage
from threegen.report.page import write_report
from threegen.report.results import HistoryResult, ModelResult, results_json
from threegen.runs.run import open_run
from threegen.training.persistence.files import make_folder, write_whole


def make_history(
    data_name: str = "mnist",
    *,
    mode: str = "quick",
    out: str | Path = "runs/history",
    seed: int = 0,
    only: Sequence[str] | None = None,
    device: str | None = None,
    progress: bool = False,
    command: str = "threegen history",
    announce: Callable[[ModelResult], None] = lambda result: None,
) -> tuple[HistoryResult, Path]:
    """Train the lineage on a data set, write `out/results.json` and `out/report.html`; return both results and page."""
    folder = Path(out)
    data = load_data(data_name)
    result = train_lineage(
        data,
        mode=mode,
        seed=seed,
        out=folder,
        only=only,
        device=device,
        progress=progress,
        source=data_source(data_name),
        command=command,
        created=_today(),
        announce=announce,
    )
    return result, _write(result, folder / "report.html", folder / "results.json")


def report_runs(
    path: str | Path, out: str | Path | None = None, *, command: str = "threegen report", module: str | None = None
) -> Path:
    """Write the report of one run's folder, or of a folder that holds several; return the page's path."""
    folder = Path(path)
    folders = [folder] if (folder / "run.json").is_file() else sorted(p.parent for p in folder.glob("*/run.json"))
    if not folders:
        raise CheckpointError(
            f"{folder} holds no run; `threegen train MODEL --out RUN` or `threegen history` makes one"
        )
    if out is not None and Path(out).suffix.lower() not in (".html", ".htm"):  # otherwise any file could be overwritten
        raise ConfigError(f"a report is a .html file, got {Path(out).name!r}; name it .html")
    begun = time.perf_counter()
    runs = [open_run(part, model=module) for part in folders]
    others = {str(run.facts["data"]) for run in runs} - {str(runs[0].facts["data"])}
    if others:
        raise CheckpointError(
            f"{folder} holds runs on {runs[0].facts['data']} and on {', '.join(sorted(others))}; report them apart"
        )
    data = runs[0].load_data()
    runs.sort(key=lambda run: (run.entry.generation, run.entry.year))
    result = gather(
        [measure_run(run, data) for run in runs],
        data,
        mode=str(runs[0].facts["mode"]),
        seed=int(runs[0].facts["seed"]),
        command=command,
        created=_today(),
        begun=begun,
    )
    page = Path(out) if out is not None else folder / "report.html"
    return _write(result, page, page.with_name("results.json"))


def _write(result: HistoryResult, page: Path, results: Path) -> Path:
    make_folder(page.parent)
    write_whole(results, results_json(result))
    write_report(result, page)
    return page


def _today() -> str:
    return datetime.date.today().isoformat()
