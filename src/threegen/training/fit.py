"""The one training loop. A rule fills `.grad` and yields; the loop guards, steps, logs and saves.

    for batch in batches:
        for step in rule(model, batch, generator):
            guard.check(step)
            if step.pending:
                optimizer.step(); optimizer.zero_grad(); project(model)
            log.record(step.figures)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from threegen.checks import require_choice, require_whole
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, Interrupted
from threegen.randomness import forked_randomness
from threegen.rules.rule import Rule, Step
from threegen.training.evaluate import evaluate
from threegen.training.feed import Feed, make_feed
from threegen.training.guards import Guard
from threegen.training.log import TrainingLog
from threegen.training.optimizers import OptimizerChoice, OptimizerRecipe, resolve_optimizer
from threegen.training.progress import Interrupts, ProgressBar
from threegen.training.schedules import Progress, Schedule, resolve_schedule
from threegen.training.session import Session
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping


class Callback:
    """A user's own code in the loop. Either method may be left out; `run.stop(reason)` ends training early."""

    def on_step(self, run: Training, step: Step) -> None:
        """Run after every update; `step.figures` are 0-d tensors that cost something to read."""

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Run after every epoch; `record` is what the log holds of it."""


def fit(
    model: nn.Module,
    rule: Rule | Sequence[Stage],
    data: Dataset | Iterable[Any],
    *,
    optimizer: OptimizerChoice = None,
    lr: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    schedule: str | Schedule | None = None,
    clip_norm: float | None = None,
    seed: int = 0,
    validation: Dataset | None = None,
    stopping: EarlyStopping | int | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_every: int | None = None,
    precision: str = "fp32",
    device: str | torch.device | None = None,
    progress: bool = False,
    title: str = "",
    tensorboard: bool = False,
) -> TrainingLog:
    """Train `model` by `rule` (or by a list of stages) on `data` and return the log; the model ends in eval mode.

    Args:
        model: any `nn.Module` that the rule can train.
        rule: a rule, or a list of `Stage`s, which then carry optimiser, epochs, batch size and schedule themselves.
        data: a `Dataset` (in memory), or a DataLoader or another re-iterable source of batches.
        optimizer: a name, `optimizer(name, ...)`, or a function of the parameters; None takes the rule's own.
        lr: the rate, where `optimizer` is a name or None.
        epochs, batch_size: 1 and 128 by default; the last batch of an epoch may be smaller.
        shuffle: a new order each epoch, drawn from (seed, epoch); False keeps the order of the data.
        schedule: a name (`cosine`, `linear`, `one-cycle`, `constant`) or any `Schedule`.
        clip_norm: the largest common norm of all gradients.
        seed: drives the order of the data, the rule's draws, dropout and random encoders.
        validation: evaluated after each epoch; its figures stand in the log.
        stopping: `EarlyStopping(...)`, or its patience in epochs.
        callbacks: objects with `on_step` and `on_epoch`.
        out: the run's folder: log files and checkpoints (after each epoch, and every `checkpoint_every` batches).
        resume: go on from the newest checkpoint in `out`; the result is bit-equal to a run that never stopped.
        overwrite: drop the checkpoints that an earlier run left in `out`.
        precision: "fp32", or "bf16" for bfloat16 autocast around each step.
        device: where to train; "auto" takes a GPU where there is one; None leaves the model where it is.
        progress: show a progress bar, labelled `title`.
        tensorboard: write TensorBoard event files into `out` too.

    Raises:
        ConfigError: a setting cannot work, or the rule cannot train this model.
        DataError: the data are empty or not data.
        NumericError: a loss, gradient or update is not finite; the weights are as they were before that step.
        CheckpointError: a checkpoint is damaged, does not fit, or cannot be written.
        Interrupted: Ctrl-C; the batch was finished and saved.
    """
    stages = _as_stages(
        rule,
        {
            "optimizer": optimizer,
            "lr": lr,
            "epochs": epochs,
            "batch_size": batch_size,
            "schedule": schedule,
            "clip_norm": clip_norm,
        },
        shuffle,
    )
    require_choice("precision", precision, ("fp32", "bf16"))
    if checkpoint_every is not None:
        require_whole("checkpoint_every", checkpoint_every)
    watch = EarlyStopping(patience=stopping) if isinstance(stopping, int) else stopping
    if watch is not None:
        watch.reset()
    if device is not None:
        model.to(choose_device(device))
    folder = None if out is None else Path(out)
    log = TrainingLog(folder, tensorboard=tensorboard)
    with forked_randomness(seed, "torch"):
        session = Session(model, stages, seed, log, watch, _describe_data(data, folder))
        session.open(resume, overwrite)
        options = Options(validation, tuple(callbacks), checkpoint_every, precision)
        with ProgressBar(progress, title) as bar, Interrupts() as interrupts:
            Training(session, data, options, bar, interrupts).run()
    model.eval()
    return log


@dataclass(frozen=True)
class Options:
    """The settings of a run that do not decide its weights, and the precision."""

    validation: Dataset | None
    callbacks: tuple[Callback, ...]
    checkpoint_every: int | None
    precision: str


class Training:
    """A run of the loop; callbacks get it as `run` (`run.model`, `run.progress`, `run.optimizer`, `run.stop()`)."""

    def __init__(
        self,
        session: Session,
        data: Dataset | Iterable[Any],
        options: Options,
        bar: ProgressBar,
        interrupts: Interrupts,
    ) -> None:
        self.session, self.data, self.options, self.bar, self.interrupts = session, data, options, bar, interrupts
        self.model = session.model
        self.log = session.log
        self._clock = time.perf_counter()

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self.session.progress

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The present stage's optimiser."""
        return self.session.optimizer

    def stop(self, reason: str) -> None:
        """End training after the present epoch (from `on_epoch`) or batch (from `on_step`)."""
        self.log.stopped = reason

    def run(self) -> None:
        """Walk the stages from where the session stands."""
        for number in range(self.progress.stage, len(self.session.stages)):
            if self.log.stopped:
                break
            self._run_stage(number, self.session.stages[number])
        if self.session.stopping is not None:
            self.session.stopping.put_back(self.model)
        self._tick()
        if not self.session.resuming:  # a run that had already ended needs no second last checkpoint
            self.session.save()
        self.log.close()

    # -- one stage, one epoch, one batch --------------------------------------------------------------------------

    def _run_stage(self, number: int, stage: Stage) -> None:
        session, module = self.session, stage.module or self.model
        if stage.begin is not None and not session.begun:
            stage.begin()
        session.begun = True
        stage.rule.check(module)
        feed = self._feed(number, stage)
        self.progress.batches_total = None if feed.batches is None else feed.batches * stage.epochs
        build = resolve_optimizer(stage.optimizer, stage.lr, stage.rule.default_optimizer, stage.rule.default_rate)
        parameters = [p for p in module.parameters() if p.requires_grad]
        make = build.build if isinstance(build, OptimizerRecipe) else build
        session.take_optimizer(make(parameters))
        worker = _Worker(self, stage, module)
        self.bar.stage(stage.name, self.progress.batches_total, self.progress.batches_done)
        if session.last_saved is None:
            session.save()
        while self.progress.epoch < stage.epochs and not self.log.stopped:
            self._run_epoch(stage, feed, worker)
        session.restore_torch_generator()  # where the checkpoint lay behind the stage's last batch
        if stage.end is not None:
            stage.end()
        session.progress = Progress(stage=number + 1, updates=self.progress.updates)
        session.begun, session.optimizer = False, None

    def _feed(self, number: int, stage: Stage) -> Feed:
        data = self.data
        if stage.transform is not None:
            if not isinstance(data, Dataset):
                raise ConfigError(f"stage {stage.name!r} transforms its data, which needs an in-memory Dataset")
            with forked_randomness(self.session.seed, "transform", number):
                data = stage.transform(data)
        return make_feed(data, stage.batch_size, stage.shuffle, self.session.seed, number)

    def _run_epoch(self, stage: Stage, feed: Feed, worker: _Worker) -> None:
        session, progress = self.session, self.progress
        if session.resuming:
            torch.set_rng_state(session.epoch_start)
        else:
            session.epoch_start = torch.get_rng_state()
        worker.module.train()
        every = self.options.checkpoint_every
        for batch in feed.epoch(progress.epoch, progress.batch, session.restore_torch_generator):
            worker.learn(batch)
            progress.batch += 1
            progress.batches_done += 1
            if every is not None and progress.batches_done % every == 0:
                self._tick()
                session.save()
            if self.interrupts.asked:
                self._interrupt()
            if self.log.stopped:
                break
        self._end_epoch(stage)

    def _end_epoch(self, stage: Stage) -> None:
        self._tick()
        progress = self.progress
        record: dict[str, Any] = {
            "stage": progress.stage,
            "epoch": progress.epoch,
            "updates": progress.updates,
            "seconds": self.log.seconds,
        }
        if self.options.validation is not None and stage.validate:
            found = evaluate(self.model, self.options.validation, seed=self.session.seed)
            record |= {"validation_accuracy": found.accuracy, "validation_loss": found.loss}
        record = self.log.end_epoch(record)
        self._clock = time.perf_counter()  # what validation took is not training time
        self.bar.epoch(progress.batches_done, record)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        for callback in self.options.callbacks:
            callback.on_epoch(self, record)
        stopping = self.session.stopping
        if stopping is not None and stopping.see(record, self.model, record["epoch"]):
            self.stop(f"no better {stopping.monitor} in {stopping.patience} epochs; best was {stopping.best:.4g}")
        self.session.epoch_start = torch.get_rng_state()
        self.session.save()
        if self.interrupts.asked:
            self._interrupt()

    def _interrupt(self) -> None:
        self._tick()
        self.session.save()
        self.log.close()
        raise Interrupted("" if self.log.folder is None else str(self.log.folder))

    def _tick(self) -> None:
        now = time.perf_counter()
        self.log.seconds += now - self._clock
        self._clock = now


class _Worker:
    """One stage's inner loop with everything that it needs at hand: this is the part that runs thousands of times."""

    def __init__(self, run: Training, stage: Stage, module: nn.Module) -> None:
        self.run, self.stage, self.module = run, stage, module
        self.guard = Guard(module, run.session.saved_sentence)
        self.constraints: list[Callable[[], None]] = [
            part.project for part in module.modules() if callable(getattr(part, "project", None))
        ]
        self.schedule = resolve_schedule(stage.schedule)
        self.device = next((p.device for p in module.parameters()), torch.device("cpu"))
        self.listeners = run.options.callbacks
        self.bf16 = run.options.precision == "bf16"

    def learn(self, batch: Batch) -> None:
        """Give one batch to the rule and carry out every step that it yields."""
        run, progress = self.run, self.run.progress
        optimizer = run.session.optimizer
        if optimizer is None:
            raise ConfigError("a stage must have its optimiser before it learns")
        if self.device.type != "cpu":
            batch = _moved(batch, self.device)
        if self.schedule is not None:
            self.schedule(progress, optimizer, self.stage.rule)
        figures: dict[str, Any] = {}
        for step in self._steps(batch):
            squares = self.guard.check(step, progress.updates + 1)
            if step.pending:
                if self.stage.clip_norm is not None:
                    self.guard.clip(squares, self.stage.clip_norm)
                self.guard.apply(optimizer, squares, progress.updates + 1)
                optimizer.zero_grad()
                for constrain in self.constraints:
                    constrain()
            figures = step.figures
            run.log.record((progress.stage, progress.epoch, progress.batch, progress.updates), figures)
            progress.updates += 1
            for listener in self.listeners:
                listener.on_step(run, step)
        run.bar.advance(progress.batches_done + 1, progress.epoch, figures)

    def _steps(self, batch: Batch) -> Iterator[Step]:
        steps = self.stage.rule(self.module, batch, self.run.session.generator)
        if not self.bf16:
            return steps
        return _autocast_each(steps, self.device.type)


def _autocast_each(steps: Iterator[Step], device: str) -> Iterator[Step]:
    """Enter bfloat16 autocast around each step of a rule, never across a yield."""
    while True:
        with torch.autocast(device, dtype=torch.bfloat16):
            step = next(steps, None)
        if step is None:
            return
        yield step


def _moved(batch: Batch, device: torch.device) -> Batch:
    targets = None if batch.targets is None else batch.targets.to(device, non_blocking=True)
    return replace(batch, inputs=batch.inputs.to(device, non_blocking=True), targets=targets)


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device for a name; "auto" is a GPU where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as problem:
        raise ConfigError(f"device is {device!r}; choose auto, cpu, cuda or cuda:N") from problem
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device is {device!r}, but torch sees no GPU here; use device='cpu' or 'auto'")
    return chosen


def _as_stages(rule: Rule | Sequence[Stage], settings: dict[str, Any], shuffle: bool) -> list[Stage]:
    given = {name: value for name, value in settings.items() if value is not None}
    if isinstance(rule, Rule):
        return [Stage("train", rule, shuffle=shuffle, **given)]
    if isinstance(rule, Sequence) and rule and all(isinstance(stage, Stage) for stage in rule):
        if given:
            raise ConfigError(f"{', '.join(given)} must stand in the stages when fit gets a list of them")
        return list(rule)
    raise ConfigError(f"rule must be a Rule such as Backprop() or a list of Stages, got {rule!r}")


def _describe_data(data: Any, folder: Path | None) -> dict[str, Any]:
    """Return what identifies the data in checkpoints; hashing all of it is worth it only where there are some."""
    if folder is None:
        return {}
    if isinstance(data, Dataset):
        return {"name": data.name, "examples": len(data), "sha256": data.fingerprint()}
    return {"name": type(data).__name__}
