"""The entry point of training: `fit` takes a model, a rule (or stages) and data, and runs the loop of `loop.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from threegen.checks import require_choice, require_whole
from threegen.errors import CheckpointError, ConfigError, warn_user
from threegen.machine.memory import freed_memory_kept
from threegen.machine.processor import multiplies_bfloat16
from threegen.machine.sparse.layouts import stored_by_inputs
from threegen.randomness import forked_randomness
from threegen.rules.rule import Rule
from threegen.training.described import describe_data
from threegen.training.evaluate import require_labelled
from threegen.training.feed import as_source
from threegen.training.log import TrainingLog
from threegen.training.loop import Callback, Options, Training, as_callbacks
from threegen.training.optimizers.build import OptimizerChoice, OptimizerRecipe, resolve_optimizer
from threegen.training.persistence.files import make_folder
from threegen.training.persistence.lock import locked
from threegen.training.processes.workers import join_workers
from threegen.training.progress import Interrupts, ProgressBar
from threegen.training.schedules import Schedule
from threegen.training.session import Session
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping

__all__ = ["Callback", "Training", "choose_device", "fit"]


def fit(
    model: nn.Module,
    rule: Rule | Sequence[Stage],
    data: Any,
    *,
    optimizer: OptimizerChoice = None,
    lr: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    schedule: str | Schedule | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    seed: int = 0,
    validation: Any = None,
    stopping: EarlyStopping | int | None = None,
    callbacks: Sequence[Callback] | Callback = (),
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
        rule: a rule, or a list of `Stage`s; each stage then has its own optimiser, epochs, batch size and schedule.
        data: a `Dataset` (in memory), arrays `x` or `(x, y)`, a torch Dataset, a DataLoader or another re-iterable
            source of batches.
        optimizer: a name, `optimizer(name, ...)`, a class of torch.optim, a function of the parameters, or an
            optimiser object over exactly the parameters that are trained; None uses the rule's default.
        lr: the learning rate, if `optimizer` is a name, a class or None.
        epochs, batch_size: 1 and 128 by default; the last batch of an epoch may be smaller.
        shuffle: a new order each epoch, drawn from (seed, epoch); False keeps the order of the data.
        schedule: a name (`cosine`, `linear`, `one-cycle`, `constant`) or any `Schedule`.
        clip_norm: the largest global norm of all gradients.
        accumulate: how many batches make one update, by the mean of their gradients; for rules that give one gradient
            per batch.
        seed: drives the order of the data, the rule's draws, dropout and random encoders.
        validation: data with labels, of the same kinds; evaluated after each epoch, its figures are in the log.
        stopping: `EarlyStopping(...)`, or its patience in epochs; each of several stages is monitored separately.
        callbacks: objects with `on_step` and `on_epoch`.
        out: the run's folder: log files and checkpoints (after each epoch, and every `checkpoint_every` batches);
            one process at a time may use it.
        resume: continue from the newest checkpoint in `out`; the result is bit-equal to a run that never stopped. A
            finished run may be given more epochs (of its last stage, if that has no schedule).
        overwrite: discard the checkpoints of an earlier run in `out`.
        precision: "fp32", or "bf16" for bfloat16 autocast around each step; warns if the processor has no
            instructions for it and would be slower.
        device: where to train; "auto" takes a GPU if there is one; None leaves the model where it is.
        progress: show a progress bar, labelled `title`.
        tensorboard: write TensorBoard event files into `out` too.

    Raises:
        ConfigError: a setting cannot work, or the rule cannot train this model.
        DataError: the data are empty or not data.
        NumericError: a loss, gradient or update is not finite; the weights are those before that step.
        CheckpointError: a checkpoint is damaged, does not fit, or cannot be written.
        WorkerError: another process of a `torchrun` has died.
        ResourceError: gradients, optimiser state and copies will not fit into memory.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; the batch was finished and saved.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model must be an nn.Module, got {type(model).__name__}")
    settings = {
        "optimizer": optimizer,
        "lr": lr,
        "epochs": epochs,
        "batch_size": batch_size,
        "shuffle": None if shuffle else False,
        "schedule": schedule,
        "clip_norm": clip_norm,
        "accumulate": None if accumulate == 1 else accumulate,
    }
    data = as_source(data)
    if validation is not None:
        validation = require_labelled("validation", validation)
    stages = _as_stages(rule, settings)
    watch = _as_stopping(stopping, validation)
    workers = join_workers()
    leads = workers is None or workers.leads  # the other processes of a run write nothing
    options = Options(validation, as_callbacks(callbacks), checkpoint_every, precision, workers)
    _check(model, stages, options)
    if resume and out is None:
        raise ConfigError("resume=True needs out=, the folder of the run to continue")
    if device is not None and not getattr(model, "devices", None):  # a split net is already on its devices
        model.to(choose_device(device))
    folder = None if out is None else Path(out)
    with forked_randomness(seed, "torch"), _held(folder if leads else None, resume):
        log = TrainingLog(folder if leads else None, tensorboard=tensorboard and leads)
        session = Session(model, stages, seed, log, watch, describe_data(data, folder is not None), precision)
        try:
            if workers is None:
                session.open(resume, overwrite)
            else:
                workers.open(session, resume, overwrite)
            if precision == "bf16":
                _warn_of_slow_bfloat16(model)
            modules = _stored_for_kernels(model, stages)
            with (
                ProgressBar(progress and leads, title) as bar,
                Interrupts() as interrupts,
                stored_by_inputs(modules),
                freed_memory_kept(),
            ):
                Training(session, data, options, bar, interrupts).run()
        finally:
            log.close()
    model.eval()
    return log


@contextmanager
def _held(folder: Path | None, resume: bool) -> Iterator[None]:
    """Make the run's folder and lock it, so that no other process writes into it."""
    if folder is None:
        yield
        return
    if resume and not folder.is_dir():
        raise CheckpointError(f"{folder} does not exist; there is nothing to resume; start without resume")
    make_folder(folder)
    with locked(folder):
        yield


def _check(model: nn.Module, stages: Sequence[Stage], options: Options) -> None:
    """Raise for settings that cannot work, before anything in a folder is changed."""
    require_choice("precision", options.precision, ("fp32", "bf16"))
    if options.checkpoint_every is not None:
        require_whole("checkpoint_every", options.checkpoint_every)
    for stage in stages:
        resolve_optimizer(stage.optimizer, stage.lr, stage.rule.default_optimizer, stage.rule.default_rate)
    if stages[0].begin is None:
        stages[0].rule.check(stages[0].module or model)


def _warn_of_slow_bfloat16(model: nn.Module) -> None:
    on_cpu = any(parameter.device.type == "cpu" for parameter in model.parameters())
    if on_cpu and not multiplies_bfloat16():
        warn_user(
            "precision='bf16': this processor has no instructions for bfloat16, so products and convolutions take "
            "several times as long as in float32; use precision='fp32'",
        )


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device for a name; "auto" is a GPU if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as problem:
        raise ConfigError(f"device is {device!r}; choose auto, cpu, cuda or cuda:N") from problem
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device is {device!r}, but torch sees no GPU here; use device='cpu' or 'auto'")
    return chosen


def _stored_for_kernels(model: nn.Module, stages: Sequence[Stage]) -> list[nn.Module]:
    """Return the modules whose weights may be stored in their kernels' memory layout: all, or none.

    An optimiser from elsewhere may treat a weight and its gradient as flat memory, so it gets contiguous weights.
    """
    for stage in stages:
        chosen = resolve_optimizer(stage.optimizer, stage.lr, stage.rule.default_optimizer, stage.rule.default_rate)
        if not isinstance(chosen, OptimizerRecipe):
            return []
    return [model, *(stage.module for stage in stages if stage.module is not None)]


def _as_stages(rule: Rule | Sequence[Stage], settings: dict[str, Any]) -> list[Stage]:
    given = {name: value for name, value in settings.items() if value is not None}
    if isinstance(rule, Rule):
        return [Stage("train", rule, **given)]
    if isinstance(rule, Sequence) and rule and all(isinstance(stage, Stage) for stage in rule):
        if given:
            raise ConfigError(f"{', '.join(given)}: pass it in each Stage, not to fit(), if rule is a list of stages")
        return list(rule)
    raise ConfigError(f"rule must be a Rule such as Backprop() or a list of Stages, got {rule!r}")


def _as_stopping(stopping: EarlyStopping | int | None, validation: Any) -> EarlyStopping | None:
    if stopping is None:
        return None
    watch = EarlyStopping(patience=stopping) if isinstance(stopping, int) else stopping
    if not isinstance(watch, EarlyStopping):
        raise ConfigError(f"stopping must be EarlyStopping(...) or its patience in epochs, got {stopping!r}")
    if validation is None and watch.monitor.startswith("validation"):
        raise ConfigError(f"early stopping watches {watch.monitor!r}, but validation= is missing; pass a Dataset")
    watch.reset()
    return watch
