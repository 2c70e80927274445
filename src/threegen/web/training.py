"""Train on the page: one training at a time in a separate thread, shown while it runs, saved as an ordinary run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.dataset import Data, Dataset
from threegen.errors import ConfigError, ThreegenError
from threegen.gen3.networks import SpikingNet
from threegen.registry.entry import Entry, all_entries, find_entry
from threegen.rules.backprop import Backprop
from threegen.rules.delta import DeltaRule
from threegen.rules.rule import Rule, Step
from threegen.runs.run import Run
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluation_mode
from threegen.training.fit import Callback, Training
from threegen.web.explanations import first_fields
from threegen.web.lineup import PageModel
from threegen.web.request import Asked
from threegen.web.spiking import record_of

LOOK_EVERY, JUDGE_EVERY = 0.4, 2.0  # seconds between looks at the weights, and between measurements of the accuracy
HELD_OUT = 500  # training images held out to follow the accuracy
MOST_POINTS = 400  # points per curve
TILES = 24
_OTHER_RULES: Mapping[str, Mapping[str, Callable[[], Rule]]] = {
    "perceptron": {"delta rule": DeltaRule},
    "mlp": {"back-propagation of the squared error": lambda: Backprop("mse")},
    "lenet-5-modern": {"back-propagation of the squared error": lambda: Backprop("mse")},
    "spiking-mlp": {"spatio-temporal back-propagation of the cross-entropy": Backprop},
    "spiking-conv": {"spatio-temporal back-propagation of the squared error": lambda: Backprop("mse")},
}
_OPTIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {("perceptron", "delta rule"): {"averaged": False}}


def trainable() -> list[dict[str, Any]]:
    """Return the models that the page trains: name, rules (the model's own first), whether a rate can be set."""
    return [
        {
            "name": entry.name,
            "title": entry.title,
            "rules": [entry.rule_name, *_OTHER_RULES.get(entry.name, {})],
            "rate": entry.stages is None,
        }
        for entry in all_entries().values()
        if entry.lineage
    ]


@dataclass
class Order:
    """A training request: a model by name, one of its rules, epochs, images, a seed and a rate (None: the plan's)."""

    model: str
    rule: str
    epochs: int
    images: int
    seed: int
    rate: float | None

    def entry(self) -> Entry:
        """Return the registry's entry with the chosen rule and a constant rate, so that epochs can be added."""
        entry = find_entry(self.model)
        plan = replace(entry.plan("quick"), schedule=None, transform=None)
        if self.rule == entry.rule_name:
            return replace(entry, plans={"quick": plan})
        rules = _OTHER_RULES.get(self.model, {})
        if self.rule not in rules:
            raise ConfigError(f"{self.model} has no rule {self.rule!r}; choose {', '.join([entry.rule_name, *rules])}")
        return replace(
            entry, plans={"quick": replace(plan, optimizer=None)}, rule=rules[self.rule], rule_name=self.rule
        )


@dataclass
class Watched:
    """The state of a training as the page shows it; the training thread updates it field by field."""

    state: str = "idle"  # running, paused, done, stopped, failed
    order: Order | None = None
    folder: str = ""
    problem: str = ""
    epoch: int = 0
    epochs: int = 0
    batches: int = 0
    total: int | None = None
    seconds: float = 0.0
    rate: float | None = None
    loss_name: str = ""
    loss: list[float] = field(default_factory=list)
    accuracy: list[tuple[float, float]] = field(default_factory=list)
    fields: dict[str, Any] | None = None
    raster: dict[str, Any] | None = None


class LiveTraining:
    """Starts, pauses, continues, prolongs and stops the one training; `data` is called when it begins."""

    def __init__(self, data: Callable[[], Data], folder: str | Path = "runs/page") -> None:
        self.data, self.folder = data, Path(folder)
        self.watched = Watched()
        self.run: Run | None = None
        self._lock = threading.Lock()
        self._going = threading.Event()
        self._stop = False
        self._rate: float | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a training runs or is paused."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, order: Order) -> None:
        """Begin; raises `ConfigError` while another training runs and for settings that cannot work."""
        with self._lock:
            if self.busy:
                raise ConfigError("a training is running; stop it before another one begins")
            entry = order.entry()
            target = self._free_folder(order.model)
            self.watched = Watched("running", order, str(target), epochs=order.epochs)
            self._begin(entry, order, target, resume=False)

    def add_epoch(self) -> None:
        """Extend the training, running or done, by one epoch; raises `ConfigError` if there is none."""
        with self._lock:
            now = self.watched
            if now.order is None or now.state not in ("done", "running", "paused"):
                raise ConfigError("there is no training to continue")
            now.epochs += 1
            if not self.busy:
                now.state = "running"
                self._begin(now.order.entry(), now.order, Path(now.folder), resume=True)

    def pause(self) -> None:
        """Pause the training after the current batch."""
        if self.busy and self.watched.state == "running":
            self._going.clear()
            self.watched.state = "paused"

    def go_on(self) -> None:
        """Continue a training that is paused."""
        if self.watched.state == "paused":
            self.watched.state = "running"
        self._going.set()

    def stop(self) -> None:
        """End the training after the current batch; its weights are kept."""
        self._stop = True
        self.go_on()

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the following batches."""
        self._rate = self.watched.rate = rate

    def describe(self) -> dict[str, Any]:
        """Return what the page draws."""
        now = self.watched
        shown = {name: value for name, value in vars(now).items() if name != "order"}
        order = None if now.order is None else dict(vars(now.order))
        step = max(1, len(now.loss) // MOST_POINTS)
        return {**shown, "order": order, "loss": now.loss[::step], "spiking": bool(now.raster)}

    # -- in the training thread -- ------------------------------------------------------------------------------------

    def _begin(self, entry: Entry, order: Order, target: Path, *, resume: bool) -> None:
        self._going.set()
        self._stop, self._rate = False, None
        self._thread = threading.Thread(
            target=self._train, args=(entry, order, target, resume), daemon=True, name="page-train"
        )
        self._thread.start()

    def _train(self, entry: Entry, order: Order, target: Path, resume: bool) -> None:
        now = self.watched
        try:
            data = self.data()
            part = data.train.take(order.images)
            images, labels = torch.as_tensor(data.train.inputs), torch.as_tensor(data.train.targets)
            held = Dataset(images[-HELD_OUT:], labels[-HELD_OUT:], data.classes, "held out")
            while True:
                epochs = now.epochs
                given: dict[str, Any] = {"epochs": epochs, "resume": resume, "out": target}
                if not resume:
                    given |= {"mode": "quick", "seed": order.seed, "lr": order.rate}
                    given["options"] = dict(_OPTIONS.get((order.model, order.rule), {}))
                self.run = train_run(entry, data, train=part, callbacks=[_Watcher(self, held, entry)], **given)
                if self._stop or now.epochs == epochs:
                    break
                resume = True
            now.state = "stopped" if self._stop else "done"
        except (ThreegenError, OSError) as problem:
            now.state, now.problem = "failed", str(problem)
        except Exception as problem:  # a bug must not look like a training that never ends
            now.state, now.problem = "failed", repr(problem)
            raise

    def _free_folder(self, model: str) -> Path:
        number = 1
        while (self.folder / f"{model}-{number}").exists():
            number += 1
        return self.folder / f"{model}-{number}"


class _Watcher(Callback):
    """Observes a training from inside its loop; costs little at most steps."""

    def __init__(self, live: LiveTraining, held: Dataset, entry: Entry) -> None:
        self.live, self.held, self.entry = live, held, entry
        self.now = live.watched
        self._look = self._judge = 0.0
        self._began = time.monotonic() - self.now.seconds

    def on_step(self, run: Training, step: Step) -> None:
        """Record the loss, wait while paused, set the rate, and sample the weights from time to time."""
        live, now = self.live, self.now
        if live._stop:
            run.stop("stopped on the page")
        if not live._going.is_set():
            held = time.monotonic()
            live._going.wait()
            self._began += time.monotonic() - held
        optimizer = run.optimizer
        if optimizer is not None:
            if live._rate is not None and self.entry.stages is None:
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] = live._rate
            elif now.rate is None:
                now.rate = float(optimizer.param_groups[0]["lr"])
        moment = time.monotonic()
        if moment < self._look:
            return
        self._look = moment + LOOK_EVERY
        self._watch(run, step)
        if moment >= self._judge:
            self._measure(run)
            self._judge = time.monotonic() + JUDGE_EVERY

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Measure the accuracy after every epoch."""
        now = self.now
        now.epoch, now.batches, now.total = run.progress.epoch, run.progress.batches_done, run.progress.batches_total
        now.seconds = round(time.monotonic() - self._began, 1)
        self._measure(run)

    def _watch(self, run: Training, step: Step) -> None:
        now = self.now
        for name, value in step.figures.items():
            now.loss_name = name
            now.loss.append(round(float(value), 5))
            break
        now.epoch, now.batches, now.total = run.progress.epoch, run.progress.batches_done, run.progress.batches_total
        now.seconds = round(time.monotonic() - self._began, 1)
        member = PageModel(self.entry.name, self.entry, run.model, plain=True)
        with evaluation_mode(run.model):
            now.fields = first_fields(member, TILES)
            if isinstance(member.model, SpikingNet):
                found = record_of(member, Asked(torch.as_tensor(self.held.inputs[0])))
                now.raster = {name: found[name] for name in ("layers", "steps", "decision")}

    def _measure(self, run: Training) -> None:
        images, labels = torch.as_tensor(self.held.inputs), torch.as_tensor(self.held.targets)
        with evaluation_mode(run.model):
            scores: Tensor = PageModel(self.entry.name, self.entry, run.model).scores(images)
        share = float((scores.argmax(1) == labels).float().mean())
        done = run.progress.batches_done / (run.progress.batches_total or 1)
        self.now.accuracy.append((round(run.progress.stage + done, 4), round(share, 4)))
