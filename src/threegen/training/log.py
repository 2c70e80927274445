"""The training log: figures per step and per epoch, in memory, as JSON lines, CSV and TensorBoard events.

The loop's guard must read a step's figures before the step is applied; the log reuses these numbers. Files are written
at intervals, at the end of each epoch and with each checkpoint.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threegen.checks import require_choice
from threegen.errors import ConfigError, MissingExtraError
from threegen.plots import html_table
from threegen.training.persistence.files import make_folder, out_of_space, write_whole

_STEPS, _EPOCHS, _TABLE, _EVENTS = "steps.jsonl", "epochs.jsonl", "epochs.csv", "tensorboard"
Place = tuple[int, int, int, int]  # stage, epoch, batch, update


class TrainingLog:
    """The record of a training.

    `steps`: one dict per update (`stage, epoch, batch, update` and the rule's figures); `epochs`: one dict per epoch
    (`stage, epoch, updates, seconds`, the mean of each figure, `validation_accuracy` and `validation_loss` if there is
    a validation split); `seconds`: time spent training; `stopped`: the reason for an early end, or "".
    """

    def __init__(self, folder: Path | None = None, *, interval: int = 100, tensorboard: bool = False) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.stopped = ""
        self.folder = folder
        self.interval = interval
        self._steps: list[dict[str, Any]] = []
        self._waiting: list[tuple[Place, dict[str, float]]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        if tensorboard and folder is None:
            raise ConfigError("tensorboard=True needs a folder to write to; pass out= as well")
        self._make_writer = _tensorboard() if tensorboard else None
        self._writer: Any = None

    @property
    def steps(self) -> list[dict[str, Any]]:
        """One dict per update: `stage, epoch, batch, update` and the rule's figures."""
        self.read()
        return self._steps

    @property
    def final(self) -> dict[str, Any]:
        """The last epoch's record, empty before the first epoch has ended."""
        return self.epochs[-1] if self.epochs else {}

    def __repr__(self) -> str:
        if not self.epochs:
            return "TrainingLog(no epoch has ended)"
        shown = ", ".join(f"{name}={value:.4g}" for name, value in self.final.items() if isinstance(value, float))
        return f"TrainingLog({len(self.epochs)} epochs, {self.final['updates']} updates: {shown})"

    def _repr_html_(self) -> str:
        """Show the epochs as a table in a notebook."""
        return html_table(self.epochs, repr(self))

    def plot(self, file: str | Path | None = None, *, figures: Sequence[str] | None = None) -> Any:
        """Draw the figures of each epoch, one panel each (training and validation together), and return the drawing.

        `figures` chooses some by name; `file` (.png, .svg or .pdf) saves the drawing too. Returns a matplotlib
        `Figure`, which notebooks show. Raises `ConfigError` before the first epoch has ended and for unknown names.
        """
        known = [name for row in self.epochs for name, value in row.items() if isinstance(value, float)]
        panels: dict[str, list[str]] = {}
        for name in dict.fromkeys(name for name in known if name != "seconds"):
            panels.setdefault(name.removeprefix("validation_"), []).append(name)
        if not panels:
            raise ConfigError("the log holds no figures yet; plot it after the first epoch")
        for name in figures or ():
            require_choice("figures", name, panels)
        chosen = list(figures or panels)
        from matplotlib.figure import Figure  # slow to load, and needed only here

        drawing = Figure(figsize=(4.2 * len(chosen), 3.2), layout="constrained")
        for axis, panel in zip(drawing.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
            for name in panels[panel]:
                values = [row.get(name, math.nan) for row in self.epochs]
                axis.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)  # there is no epoch 1.5
            axis.set_title(panel)
            axis.legend()
        if file is not None:
            drawing.savefig(file, dpi=120)
        return drawing

    # -- filling ------------------------------------------------------------------------------------------------

    def record(self, place: Place, figures: dict[str, float]) -> None:
        """Store one step's figures; `place` is (stage, epoch, batch, update)."""
        if figures:
            self._waiting.append((place, figures))
            if len(self._waiting) >= self.interval:
                self.read()

    def read(self) -> None:
        """Move all buffered figures to `steps` and the JSON lines."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        fresh = []
        sums, counts = self._sums, self._counts
        for (stage, epoch, batch, update), figures in waiting:
            fresh.append({"stage": stage, "epoch": epoch, "batch": batch, "update": update, **figures})
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + 1
        self._steps += fresh
        if self.folder is not None:
            self._append(_STEPS, "".join(map(_step_line, waiting)))
        if self._writer is not None:
            for record in fresh:
                self._events("step/", record, int(record["update"]))

    def end_epoch(self, record: dict[str, Any]) -> dict[str, Any]:
        """Close an epoch: add the mean of each figure to `record`, store it, and return it."""
        self.read()
        record.update({name: total / self._counts[name] for name, total in self._sums.items()})
        self._sums, self._counts = {}, {}
        self.epochs.append(record)
        self._append(_EPOCHS, _line(record))
        self._write_table()
        # Counted in updates like the steps, so that a resumed run needs one number to purge the events that it will
        # repeat.
        self._events("epoch/", record, record["updates"])
        return record

    # -- a run's folder -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the folder and truncate the files of an earlier run."""
        if self.folder is None:
            return
        make_folder(self.folder)
        self._rewrite(_STEPS, [])
        self._rewrite(_EPOCHS, [])
        (self.folder / _TABLE).unlink(missing_ok=True)
        for events in (self.folder / _EVENTS).glob("events.out.tfevents.*"):
            events.unlink()
        self._open_events(None)

    def state(self) -> dict[str, Any]:
        """Return the state with which a resumed log continues as if it had never stopped."""
        self.read()
        self._flush()
        return {
            "epochs": self.epochs,
            "sums": self._sums,
            "counts": self._counts,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "steps": len(self._steps),
        }

    def restore(self, state: Mapping[str, Any], updates: int = 0) -> None:
        """Restore `state()` and truncate the files to that length: later lines belong to steps that will be
        repeated."""
        self.epochs = list(state["epochs"])
        self._sums = dict(state["sums"])
        self._counts = dict(state["counts"])
        self.seconds = float(state["seconds"])
        self.stopped = str(state["stopped"])
        if self.folder is not None:
            self._steps = read_lines(self.folder / _STEPS)[: int(state["steps"])]
            self._rewrite(_STEPS, self._steps)
            self._rewrite(_EPOCHS, self.epochs)
            self._write_table()
            self._open_events(updates)

    def close(self) -> None:
        """Process the buffered figures and close the event file."""
        self.read()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _append(self, name: str, lines: str) -> None:
        if self.folder is not None:
            path = self.folder / name
            try:
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(lines)
            except OSError as problem:
                raise out_of_space(problem, path, len(lines)) from problem

    def _rewrite(self, name: str, records: list[dict[str, Any]]) -> None:
        if self.folder is not None:
            write_whole(self.folder / name, "".join(map(_line, records)))

    def _write_table(self) -> None:
        if self.folder is not None and self.epochs:
            write_whole(self.folder / _TABLE, _as_csv(self.epochs))
        elif self.folder is not None:
            (self.folder / _TABLE).unlink(missing_ok=True)

    def _flush(self) -> None:
        """Write the lines that the next checkpoint refers to."""
        if self.folder is not None:
            path = self.folder / _STEPS
            try:
                with path.open("a") as stream:
                    os.fsync(stream.fileno())
            except OSError as problem:
                raise out_of_space(problem, path, 0) from problem

    # -- TensorBoard --------------------------------------------------------------------------------------------

    def _open_events(self, updates: int | None) -> None:
        """Start an event file; TensorBoard drops what earlier ones hold from update number `updates` on."""
        if self._make_writer is not None and self.folder is not None:
            self._writer = self._make_writer(str(self.folder / _EVENTS), purge_step=updates)

    def _events(self, prefix: str, record: Mapping[str, Any], position: int) -> None:
        if self._writer is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    self._writer.add_scalar(prefix + name, value, position)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file up to the first line that an interrupted writer left unfinished."""
    records: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not isinstance(record, dict):
                break
            records.append(record)
    return records


def _line(record: Mapping[str, Any]) -> str:
    """Return one line of JSON; numbers that JSON cannot represent (an infinite loss) become null."""
    try:
        return json.dumps(record, allow_nan=False) + "\n"
    except ValueError:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        return json.dumps(finite) + "\n"


def _step_line(waiting: tuple[Place, dict[str, float]]) -> str:
    """Return the line of one step, as `_line` would, in a quarter of the time; the guard passes finite numbers only."""
    (stage, epoch, batch, update), figures = waiting
    shown = "".join(f', "{name}": {value!r}' for name, value in figures.items())
    return f'{{"stage": {stage}, "epoch": {epoch}, "batch": {batch}, "update": {update}{shown}}}\n'


def _as_csv(records: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _tensorboard() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise MissingExtraError.of("tensorboard=True", "TensorBoard", "tensorboard") from problem
    return SummaryWriter
