"""The training loop: stages, epochs, batches, steps, and saving between them. `fit` calls it.

for batch in batches:
    for step in rule(model, batch, generator):
        guard.check(step)
        if step.pending:
            guard.apply(optimizer)          # step, clear the gradients
            project(model)
        log.record(guard.figures)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, Interrupted, warn_user
from threegen.machine.memory import GrowthWatch
from threegen.randomness import forked_randomness
from threegen.rules.rule import Step
from threegen.training.accumulated import Accumulated
from threegen.training.evaluate import evaluate
from threegen.training.feed import Feed, MemoryFeed, StreamFeed, make_feed
from threegen.training.guards import Guard
from threegen.training.handed import plain_sgd
from threegen.training.optimizers.build import OptimizerRecipe, resolve_optimizer
from threegen.training.parameter_memory import require_training_memory
from threegen.training.processes.workers import Workers
from threegen.training.progress import Interrupts, ProgressBar
from threegen.training.schedules import Progress, resolve_schedule
from threegen.training.session import Session
from threegen.training.silence import SilenceWatch
from threegen.training.stages import Stage


class Callback:
    """A user's own code in the loop. Any method may be left out; `run.stop(reason)` ends training early."""

    def on_begin(self, run: Training) -> None:
        """Run before the first batch (of a resumed run, too): the place to raise for settings that cannot work."""

    def on_step(self, run: Training, step: Step) -> None:
        """Run after every update; `step.figures` are 0-d tensors."""

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Run after every epoch; `record` is its entry in the log."""


@dataclass(frozen=True)
class Options:
    """The settings of a run that do not affect its weights, and the precision."""

    validation: Any
    callbacks: tuple[Callback, ...]
    checkpoint_every: int | None
    precision: str
    workers: Workers | None = None  # the other processes of a `torchrun`

    def listeners(self, method: str) -> list[Callable[..., None]]:
        """Return the methods of that name which callbacks define; the empty ones of `Callback` are left out."""
        empty = getattr(Callback, method)
        found = [getattr(callback, method, None) for callback in self.callbacks]
        return [own for own in found if callable(own) and getattr(own, "__func__", None) is not empty]


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
        self.epoch_listeners = options.listeners("on_epoch")
        self._memory = GrowthWatch()
        self._clock = time.perf_counter()

    @property
    def progress(self) -> Progress:
        """The current position of the run."""
        return self.session.progress

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The current stage's optimiser."""
        return self.session.optimizer

    def stop(self, reason: str) -> None:
        """End training after the current epoch (from `on_epoch`) or batch (from `on_step`); the run is then
        finished."""
        self.log.stopped = str(reason) or "stopped by a callback"

    def run(self) -> None:
        """Run the stages from the session's position on."""
        for listener in self.options.listeners("on_begin"):
            listener(self)
        for number in range(self.progress.stage, len(self.session.stages)):
            if self.log.stopped:
                break
            self._run_stage(number, self.session.stages[number])
        if not self.session.resuming:  # a run that had already ended needs no second final checkpoint
            self._tick()
            self.session.save()
        if self._asked:  # it came too late to stop anything, but must not be lost
            self._interrupt()

    # -- one stage, one epoch -----------------------------------------------------------------------------------

    def _run_stage(self, number: int, stage: Stage) -> None:
        session, module = self.session, stage.module or self.model
        if not session.begun:
            if session.stopping is not None:
                session.stopping.reset()
            if stage.begin is not None:
                stage.begin()
        session.begun = True
        stage.rule.check(module)
        feed = self._feed(number, stage)
        self.progress.batches_total = None if feed.batches is None else feed.batches * stage.epochs
        session.take_optimizer(self._optimizer(stage, module))
        learner = _Learner(self, stage, module)
        self.bar.stage(stage.name, self.progress.batches_total, self.progress.batches_done)
        if session.resuming:
            session.rewind_epoch(feed.generators)
        else:
            session.mark_epoch(feed.generators)
            if session.last_saved is None:
                session.save()
        self._clock = time.perf_counter()
        while self.progress.epoch < stage.epochs and not self.log.stopped and not self._stage_is_over(stage):
            self._run_epoch(stage, feed, learner)
        session.restore_torch_generators()  # if the checkpoint was taken after the stage's last batch
        self._end_stage(number, stage)

    def _end_stage(self, number: int, stage: Stage) -> None:
        session = self.session
        if session.stopping is not None:
            session.stopping.put_back(self.model)
        if stage.end is not None:
            stage.end()
        if remark := stage.rule.remark(stage.module or self.model):
            warn_user(remark)
        session.progress = Progress(stage=number + 1, updates=self.progress.updates)
        session.begun, session.optimizer = False, None

    def _optimizer(self, stage: Stage, module: nn.Module) -> torch.optim.Optimizer:
        parameters = [p for p in module.parameters() if p.requires_grad]
        for parameter in parameters:
            parameter.grad = None  # gradients left by the user's code are not part of the first step
        build = resolve_optimizer(stage.optimizer, stage.lr, stage.rule.default_optimizer, stage.rule.default_rate)
        optimizer = build.build(parameters) if isinstance(build, OptimizerRecipe) else build(parameters)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigError(f"the optimizer function returned {type(optimizer).__name__}, not a torch Optimizer")
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ConfigError("LBFGS evaluates the loss several times per step, which no rule supports; choose another")
        keeps, saves = self.session.stopping is not None, self.session.folder is not None
        require_training_memory(self.model, parameters, optimizer, saves=saves, keeps=keeps)
        return optimizer

    def _feed(self, number: int, stage: Stage) -> Feed:
        data = self.data
        if stage.transform is not None:
            if not isinstance(data, Dataset):
                raise ConfigError(f"stage {stage.name!r} transforms its data, which needs an in-memory Dataset")
            with forked_randomness(self.session.seed, "transform", number):
                data = stage.transform(data)
        feed = make_feed(data, stage.batch_size, stage.shuffle, self.session.seed, number)
        if self.options.workers is not None and isinstance(feed, MemoryFeed):
            feed.share = self.options.workers.share
        return feed

    def _run_epoch(self, stage: Stage, feed: Feed, learner: _Learner) -> None:
        session, progress = self.session, self.progress
        if not session.resuming:
            session.mark_epoch(feed.generators)
        learner.module.train()
        learner.begin_epoch(self.log.epochs)
        every, due = self.options.checkpoint_every, False
        for batch in feed.epoch(progress.epoch, progress.batch, session.restore_torch_generators):
            learner.learn(batch)
            progress.batch += 1
            progress.batches_done += 1
            due = due or (every is not None and progress.batches_done % every == 0)
            if learner.waiting:  # checkpoints do not hold the gradients of an incomplete update
                continue
            if due:
                due = False
                self._tick()
                session.save()
                self._clock = time.perf_counter()
            if self._asked:
                self._interrupt()
            if self.log.stopped:
                break
        learner.finish_update()
        learner.silence.end_epoch()
        self._end_epoch(stage, feed)

    def _end_epoch(self, stage: Stage, feed: Feed) -> None:
        self._tick()
        progress = self.progress
        record: dict[str, Any] = {
            "stage": progress.stage,
            "epoch": progress.epoch,
            "updates": progress.updates,
            "seconds": self.log.seconds,
        }
        validated = self.options.validation is not None and stage.validate
        if self.options.validation is not None and validated:
            found = evaluate(self.model, self.options.validation, seed=self.session.seed)
            record |= {"validation_accuracy": found.accuracy, "validation_loss": found.loss}
        record = self.log.end_epoch(record)
        workers = self.options.workers
        if workers is not None:
            record = workers.from_leader(record)
        self.bar.epoch(progress.batches_done, record)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        for listener in self.epoch_listeners:
            listener(self, record)
        session, stopping = self.session, self.session.stopping
        if stopping is not None and stopping.watches(validated) and stopping.see(record, self.model, record["epoch"]):
            best = "none was finite" if stopping.best is None else f"best was {stopping.best:.4g}"
            if progress.stage == len(self.session.stages) - 1:
                self.stop(f"no better {stopping.monitor} in {stopping.patience} epochs; {best}")
        if workers is not None:
            self.log.stopped = workers.agree_to_stop(self.log.stopped)
        session.mark_epoch(feed.generators)
        if isinstance(feed, StreamFeed):
            session.warn_once(feed.doubt)
        session.save()
        self._memory.look()
        self._clock = time.perf_counter()  # validation, callbacks and saving are not training time
        if self._asked:
            self._interrupt()

    @property
    def _asked(self) -> bool:
        """Whether Ctrl-C was pressed; all processes must know it before one may stop."""
        workers = self.options.workers
        return self.interrupts.asked if workers is None else workers.asked

    def _stage_is_over(self, stage: Stage) -> bool:
        stopping = self.session.stopping
        validated = self.options.validation is not None and stage.validate
        return stopping is not None and stopping.watches(validated) and stopping.over

    def _interrupt(self) -> None:
        if not self.session.resuming:
            self._tick()
            self.session.save()
        raise Interrupted("" if self.log.folder is None else str(self.log.folder), self.interrupts.signal)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.log.seconds += now - self._clock
        self._clock = now


class _Learner:
    """One stage's inner loop, with everything that it needs in attributes: this part runs thousands of times."""

    def __init__(self, run: Training, stage: Stage, module: nn.Module) -> None:
        optimizer = run.session.optimizer
        if optimizer is None:
            raise ConfigError("a stage must have its optimiser before it learns")
        self.run, self.stage, self.module, self.optimizer = run, stage, module, optimizer
        self.rule, self.generator, self.clip_norm = stage.rule, run.session.generator, stage.clip_norm
        self.guard = Guard(module, run.session.saved_sentence, exact=stage.clip_norm is not None)
        projects = (getattr(part, "project", None) for part in module.modules())
        self.constraints: list[Callable[[], None]] = [project for project in projects if callable(project)]
        self.schedule = resolve_schedule(stage.schedule)
        self.device = next((p.device for p in module.parameters()), torch.device("cpu"))
        self.moves = self.device.type != "cpu"
        self.listeners = run.options.listeners("on_step")
        self.silence = SilenceWatch(stage.rule, module)
        self.bf16 = run.options.precision == "bf16"
        self.accumulated = Accumulated(self.guard.parameters, stage.accumulate)
        self.workers = run.options.workers
        if self.workers is not None:
            self.workers.begin(self.rule, module)
        alone = self.workers is None and not self.bf16 and stage.clip_norm is None and stage.accumulate == 1
        self.rule.hand_over(plain_sgd(optimizer) if alone else None)

    def begin_epoch(self, records: Sequence[dict[str, Any]]) -> None:
        """Pass the records of the stage's earlier epochs to a schedule that needs them."""
        begin = getattr(self.schedule, "begin_epoch", None)
        if callable(begin):
            begin([record for record in records if record["stage"] == self.run.progress.stage], self.optimizer)

    def learn(self, batch: Batch) -> None:
        """Give one batch to the rule and carry out every step that it yields."""
        progress, guard, record = self.run.progress, self.guard, self.run.log.record
        accumulates = self.stage.accumulate > 1
        workers = self.workers
        if workers is not None:
            batch = workers.shard(batch)
        if self.moves:
            batch = _moved(batch, self.device)
        if self.schedule is not None:
            self.schedule(progress, self.optimizer, self.rule)
        steps = self.rule(self.module, batch, self.generator)
        if self.bf16:
            steps = _autocast_each(steps, self.device.type)
        if workers is not None:
            by_example = bool(getattr(self.rule, "draws_by_example", False))
            seed = self.run.session.seed
            steps = workers.steps(steps, self.module, seed, progress, self.generator, by_example=by_example)
        figures: dict[str, float] = {}
        for step in steps:
            number = progress.updates + 1
            squares = guard.check(step, number)
            if accumulates and step.pending:
                complete = self.accumulated.add(len(batch))
                figures = guard.figures
                record((progress.stage, progress.epoch, progress.batch, number - 1), figures)
                if complete:
                    self.finish_update()
                continue
            if step.pending:
                if self.clip_norm is not None:
                    squares = guard.clip(squares, self.clip_norm)
                guard.apply(self.optimizer, squares, number)
                for constrain in self.constraints:
                    constrain()
            figures = guard.figures
            record((progress.stage, progress.epoch, progress.batch, number - 1), figures)
            if self.silence.waiting:
                self.silence.see(step)
            progress.updates = number
            for listener in self.listeners:
                listener(self.run, step)
        if workers is not None:
            log = self.run.log
            if workers.end_batch(self.module, self.run.interrupts.asked, bool(log.stopped)):
                log.stopped = workers.agree_to_stop(log.stopped)
        if self.silence.waiting:
            self.silence.pass_batch(len(batch))
        self.run.bar.advance(progress.batches_done + 1, progress.epoch, figures)

    @property
    def waiting(self) -> bool:
        """Whether gradients are accumulated for an update that is not complete."""
        return self.accumulated.examples > 0

    def finish_update(self) -> None:
        """Apply the mean of the accumulated gradients, if there are any."""
        if not self.waiting:
            return
        progress = self.run.progress
        step = self.accumulated.take()
        number = progress.updates + 1
        squares = self.guard.check(step, number)
        if self.clip_norm is not None:
            squares = self.guard.clip(squares, self.clip_norm)
        self.guard.apply(self.optimizer, squares, number)
        for constrain in self.constraints:
            constrain()
        progress.updates = number
        for listener in self.listeners:
            listener(self.run, step)


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


def as_callbacks(callbacks: Sequence[Callback] | Callback) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple; raises `ConfigError` for objects that have neither method."""
    listed = tuple(callbacks) if isinstance(callbacks, Sequence) else (callbacks,)
    for callback in listed:
        if not any(callable(getattr(callback, method, None)) for method in ("on_step", "on_epoch")):
            raise ConfigError(f"callbacks must have on_step or on_epoch, got {callback!r}; see tg.training.Callback")
    return listed
