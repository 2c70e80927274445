"""The progress bar of a run, and the handling of Ctrl-C, which takes effect at the end of a batch."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar:
    """One line that shows stage, epoch, batches, time left and the last figures; redrawn at most ten times a second."""

    def __init__(self, shown: bool, title: str = "") -> None:
        self.title = title
        self._next = 0.0
        self._task: Any = None
        self._bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=Console(stderr=True),
                transient=False,
            )
            if shown
            else None
        )

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str, total: int | None, done: int) -> None:
        """Start a new line for a stage of `total` batches of which `done` are done."""
        if self._bar is not None:
            label = " ".join(part for part in (self.title, name) if part)
            self._task = self._bar.add_task(label, total=total, completed=done, figures="")

    def advance(self, done: int, epoch: int, figures: dict[str, Any]) -> None:
        """Show that `done` batches are done; reads the figures only when it redraws."""
        if self._bar is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        self._bar.update(self._task, completed=done, figures=f"epoch {epoch + 1}  {figures_text(figures)}")

    def epoch(self, done: int, record: dict[str, Any]) -> None:
        """Show an epoch's record."""
        if self._bar is not None:
            shown = {name: value for name, value in record.items() if isinstance(value, float) and name != "seconds"}
            self._bar.update(self._task, completed=done, figures=f"epoch {record['epoch'] + 1}  {figures_text(shown)}")


def figures_text(figures: dict[str, Any]) -> str:
    """Return figures as `loss 0.123  validation_accuracy 0.98`."""
    return "  ".join(f"{name} {float(value):.4g}" for name, value in figures.items())


class Interrupts:
    """Records the first Ctrl-C, SIGTERM or SIGHUP, so that the batch can be finished and saved; a second stops at once.

    SIGTERM and SIGHUP are handled only if they would end the process: `nohup` and the user's own handlers stay in
    force.
    """

    def __init__(self) -> None:
        self.asked = False
        self.signal = int(signal.SIGINT)
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is not None and (name == "SIGINT" or signal.getsignal(number) is signal.SIG_DFL):
                    self._former[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.signal = True, number

    def __exit__(self, *problem: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
