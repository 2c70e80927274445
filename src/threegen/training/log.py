"""The training log: figures per step and per epoch, in memory, as JSON lines, CSV and TensorBoard events.

Figures arrive as detached 0-d tensors and are read together, once an interval: reading one costs a
synchronisation on a GPU and a Python call everywhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.errors import ConfigError
from threegen.training.files import write_whole


class TrainingLog:
    """What happened in a run.

    `steps`: one dict an update (`stage, epoch, batch, update` and the rule's figures); `epochs`: one dict an epoch
    (`stage, epoch, updates, seconds`, the mean of each figure, `validation_accuracy` and `validation_loss` where
    there is a validation split); `seconds`: time spent training; `stopped`: why it ended early, or "".
    """

    def __init__(self, folder: Path | None = None, *, interval: int = 100, tensorboard: bool = False) -> None:
        self.steps: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.stopped = ""
        self.folder = folder
        self.interval = interval
        self._waiting: list[tuple[tuple[int, int, int, int], dict[str, Tensor]]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._writer = _tensorboard_writer(folder) if tensorboard else None

    @property
    def final(self) -> dict[str, Any]:
        """The last epoch's record, empty before the first epoch has ended."""
        return self.epochs[-1] if self.epochs else {}

    def record(self, place: tuple[int, int, int, int], figures: dict[str, Tensor]) -> None:
        """Take one step's figures; `place` is (stage, epoch, batch, update). Nothing is read yet."""
        if figures:
            self._waiting.append((place, figures))
            if len(self._waiting) >= self.interval:
                self.read()

    def read(self) -> None:
        """Read all waiting figures in one go and append them to `steps` and the JSON lines."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        values = torch.stack([f.detach().double() for _, figures in waiting for f in figures.values()]).tolist()
        numbers = iter(values)
        fresh = []
        for (stage, epoch, batch, update), figures in waiting:
            record: dict[str, Any] = {"stage": stage, "epoch": epoch, "batch": batch, "update": update}
            for name in figures:
                record[name] = next(numbers)
                self._sums[name] = self._sums.get(name, 0.0) + record[name]
                self._counts[name] = self._counts.get(name, 0) + 1
            fresh.append(record)
            self._tensorboard("step/", record, update)
        self.steps += fresh
        self._append("steps.jsonl", fresh)

    def end_epoch(self, record: dict[str, Any]) -> dict[str, Any]:
        """Close an epoch: add the mean of each figure to `record`, store it, and return it."""
        self.read()
        record.update({name: total / self._counts[name] for name, total in self._sums.items()})
        self._sums, self._counts = {}, {}
        self.epochs.append(record)
        self._append("epochs.jsonl", [record])
        if self.folder is not None:
            write_whole(self.folder / "epochs.csv", _as_csv(self.epochs))
        self._tensorboard("epoch/", record, record["epoch"])
        return record

    def close(self) -> None:
        """Read what waits and close the event file."""
        self.read()
        if self._writer is not None:
            self._writer.close()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs so that a resumed log goes on as if it had never stopped."""
        self.read()
        return {
            "epochs": self.epochs,
            "sums": self._sums,
            "counts": self._counts,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "steps": len(self.steps),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back `state()` and cut the files to that length: later lines belong to work that is done anew."""
        self.epochs = list(state["epochs"])
        self._sums = dict(state["sums"])
        self._counts = dict(state["counts"])
        self.seconds = float(state["seconds"])
        self.stopped = state["stopped"]
        if self.folder is not None:
            self.steps = read_lines(self.folder / "steps.jsonl")[: int(state["steps"])]
            self._rewrite("steps.jsonl", self.steps)
            self._rewrite("epochs.jsonl", self.epochs)

    def start(self) -> None:
        """Empty the files of an earlier run in the same folder."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._rewrite("steps.jsonl", [])
            self._rewrite("epochs.jsonl", [])

    def _append(self, name: str, records: list[dict[str, Any]]) -> None:
        if self.folder is not None and records:
            with (self.folder / name).open("a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(record) + "\n" for record in records)

    def _rewrite(self, name: str, records: list[dict[str, Any]]) -> None:
        if self.folder is not None:
            write_whole(self.folder / name, "".join(json.dumps(record) + "\n" for record in records))

    def _tensorboard(self, prefix: str, record: Mapping[str, Any], position: int) -> None:
        if self._writer is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    self._writer.add_scalar(prefix + name, value, position)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file up to the first line that an interrupted writer left unfinished."""
    records: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
    return records


def _as_csv(records: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _tensorboard_writer(folder: Path | None) -> Any:
    if folder is None:
        raise ConfigError("tensorboard=True needs a folder to write to; pass out= as well")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise ConfigError('TensorBoard is not installed; pip install "threegen[tensorboard]"') from problem
    return SummaryWriter(str(folder / "tensorboard"))
