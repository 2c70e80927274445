"""Several processes that train one model: `torchrun --nproc-per-node 2 -m threegen train mlp`.

Each process holds the whole model and gets its share of every batch. Before a step is applied, gradients and figures
are averaged, weighted by the size of the shares; after a batch, floating buffers are. So a deterministic rule whose
gradient is a mean over the batch ends with the weights of one process that saw whole batches; so does contrastive
divergence from the data, whose states are drawn per example. Other random draws (dropout, spikes) are made in each
process for its own share and depend only on (seed, process, batch): they are the same in a resumed run, and have the
same distribution as in one process. Each process reads data on disk for its own share only.

Only the first process writes files and prints. An error in one process ends all of them with the same sentence.
"""

from __future__ import annotations

import atexit
import importlib
import math
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn

from threegen import errors
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, ThreegenError, WorkerError
from threegen.machine.shares import share_of_rows
from threegen.randomness import derive_seed
from threegen.rules.rule import Rule, Step, Update
from threegen.training.persistence.generators import process_generators, set_process_generators
from threegen.training.schedules import Progress


class Resumable(Protocol):
    """What `Workers.open` needs of a session."""

    settings: dict[str, Any]
    last_saved: Path | None

    def open(self, resume: bool, overwrite: bool) -> None:
        """Prepare the run's folder; restore its newest checkpoint if `resume` is set."""

    def take_back(self, path: Path) -> None:
        """Continue from the checkpoint at `path`."""


def process_rank() -> int:
    """Return this process's number among those that torchrun started, 0 in an ordinary process."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    return int(os.environ["RANK"]) if _was_launched() else 0


def join_workers() -> Workers | None:
    """Join the other processes of a `torchrun`; None in an ordinary process."""
    if not distributed.is_available():
        return None
    if not distributed.is_initialized():
        if not _was_launched():
            return None
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # its functions bind the default group at the moment when the module is loaded; the first step of an optimiser
        # would load it later, and the group could then never be destroyed
        importlib.import_module("torch.distributed.nn.functional")
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave_workers)
    return Workers() if distributed.get_world_size() > 1 else None


def _leave_workers() -> None:
    """Destroy the group, which joins its threads.

    A gloo thread that releases a tensor while the interpreter shuts down waits for Python's lock; Python ends it there,
    which aborts the process ("terminate called without an active exception").
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _was_launched() -> bool:
    """Return whether torchrun started this process as one of several."""
    named = all(os.environ.get(name) for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"))
    return named and int(os.environ.get("WORLD_SIZE") or 1) > 1


class Workers:
    """This process of a distributed run; all processes call every method together, except the properties."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.asked = False  # whether Ctrl-C reached any process, agreed among all after the last batch
        self._share = 1.0  # this process's part of the current batch
        self._rows = (0, 0, 0)  # first, end and number of the current batch's examples
        self._saved: Path | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the first process, which writes and prints."""
        return self.rank == 0

    # -- a run ----------------------------------------------------------------------------------------------------

    def open(self, session: Resumable, resume: bool, overwrite: bool) -> None:
        """Let the first process open the run's folder, and let the others continue from the checkpoint that it found.

        Raises in every process what the first one raised, and `ConfigError` if their settings differ.
        """
        problem: ThreegenError | None = None
        if self.leads:
            try:
                session.open(resume, overwrite)
            except ThreegenError as error:
                problem = error
        self._raise_together(problem)
        found: tuple[Path | None, dict[str, Any]] = self.from_leader((session.last_saved, session.settings))
        self._saved, settings = found
        if settings != session.settings:
            problem = ConfigError(
                f"process {self.rank} was started with other settings than the first; use the same settings for all"
            )
        elif self._saved is not None and not self.leads:
            try:
                session.take_back(self._saved)
            except ThreegenError as error:
                problem = error
        self._raise_together(problem)

    def begin(self, rule: Rule, module: nn.Module) -> None:
        """Give every process the first one's weights; raise for a rule whose updates would not match between
        processes."""
        if rule.updates_per_batch is None:
            raise ConfigError(
                f"{type(rule).__name__} makes a number of updates that depends on the data and differs between "
                f"processes; "
                "train it in one process, without torchrun"
            )
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                same = tensor.detach().clone(memory_format=torch.contiguous_format)
                self._call(distributed.broadcast, same, src=0)
                tensor.copy_(same)

    def from_leader(self, value: Any) -> Any:
        """Return the first process's `value` in all of them."""
        box = [value]
        self._call(distributed.broadcast_object_list, box, src=0)
        return box[0]

    def agree_to_stop(self, reason: str) -> str:
        """Return why training stops: the first reason among the processes that is not empty, or an empty text."""
        reasons = [""] * self.size
        self._call(distributed.all_gather_object, reasons, reason)
        return next((given for given in reasons if given), "")

    # -- a batch --------------------------------------------------------------------------------------------------

    def shard(self, batch: Batch) -> Batch:
        """Return this process's share of `batch`; if there are too few examples, one of them with weight 0."""
        count = len(batch) if batch.of is None else batch.of
        first, end = self.rank * count // self.size, (self.rank + 1) * count // self.size
        self._share = (end - first) / max(1, count)
        self._rows = (first, end, count) if end > first else (0, min(1, count), count)
        if batch.of is not None:  # the data source has read only this share
            return batch
        if end == first:
            first, end = 0, min(1, count)
        part = slice(first, end)
        return replace(
            batch,
            inputs=batch.inputs[part],
            targets=None if batch.targets is None else batch.targets[part],
            index=None if batch.index is None else batch.index[part],
        )

    def share(self, index: Tensor) -> Tensor:
        """Return this process's part of the examples `index` [B] of a batch; if there are too few, one of them."""
        count = len(index)
        first, end = self.rank * count // self.size, (self.rank + 1) * count // self.size
        return index[first:end] if end > first else index[:1]

    def steps(
        self,
        steps: Iterator[Step],
        module: nn.Module,
        seed: int,
        progress: Progress,
        generator: torch.Generator,
        *,
        by_example: bool = False,
    ) -> Iterator[Step]:
        """Yield a rule's steps with gradients and figures averaged over all processes.

        While the rule runs, torch's generators and `generator` are seeded for this process and batch. Those of torch
        are then restored, since the order of a DataLoader may depend on them. With `by_example` the rule draws for its
        rows what a single process would draw for them, from the `generator` that all processes share.
        """
        own = derive_seed(seed, "worker", self.rank, progress.stage, progress.epoch, progress.batch)
        before = process_generators()
        torch.manual_seed(own)
        if not by_example:
            generator.manual_seed(derive_seed(own, "rule"))
        rows = self._rows if by_example else None
        try:
            while True:
                step, problem = None, None
                try:
                    with nullcontext() if rows is None else share_of_rows(*rows):
                        step = next(steps, None)
                    if step is not None and not step.pending:
                        raise ConfigError(
                            "a rule whose kernel moves the weights itself cannot be shared by several processes; "
                            "use its plain form, or train in one process, without torchrun"
                        )
                except ThreegenError as error:
                    problem = error
                self._raise_together(problem, waiting=step is not None)
                if step is None:
                    return
                self._average_step(module, step)
                yield step
        finally:
            set_process_generators(before)

    @torch.no_grad()
    def end_batch(self, module: nn.Module, asked: bool, stopped: bool) -> bool:
        """Average floating-point buffers and exchange whether Ctrl-C was pressed; return whether any process
        stopped."""
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        like = buffers[0] if buffers else torch.zeros(1)
        flags = like.new_tensor([float(asked), float(stopped)], dtype=_widest(buffers))
        flat = torch.cat([flags, *(buffer.reshape(-1).to(flags) * self._share for buffer in buffers)])
        self._call(distributed.all_reduce, flat)
        self.asked = bool(flat[0] > 0)
        place = 2
        for buffer in buffers:
            buffer.copy_(flat[place : place + buffer.numel()].view(buffer.shape))
            place += buffer.numel()
        return bool(flat[1] > 0)

    @torch.no_grad()
    def _average_step(self, module: nn.Module, step: Step) -> None:
        """Average gradients and figures; a gradient that only some processes have is zero in the others."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        wide = _widest(parameters)
        gradients = [p.grad for p in parameters]
        device = parameters[0].device if parameters else torch.device("cpu")
        there = torch.tensor([float(g is not None) for g in gradients], dtype=wide, device=device)
        figures = [figure.to(device, wide).reshape(1) * self._share for figure in step.figures.values()]
        flat = torch.cat(
            [
                there,
                *figures,
                *(_flat(p, g).to(wide) * self._share for p, g in zip(parameters, gradients, strict=True)),
            ]
        )
        self._call(distributed.all_reduce, flat)
        place = len(there)
        step.figures = dict(zip(step.figures, flat[place : place + len(figures)], strict=True))
        if isinstance(step, Update):
            step.square_bound = math.inf  # it was valid for this process only
        place += len(figures)
        for parameter, anywhere in zip(parameters, flat[: len(there)].tolist(), strict=True):
            if anywhere:
                average = flat[place : place + parameter.numel()].view(parameter.shape)
                parameter.grad = torch.empty_like(parameter).copy_(average)
            place += parameter.numel()

    # -- together -------------------------------------------------------------------------------------------------

    def _raise_together(self, problem: ThreegenError | None, waiting: bool | None = None) -> None:
        """Raise in every process the error of the first process that has one; do nothing if none has.

        `waiting` says whether this process has an update to apply: if some have one and some do not, that is an error
        too.
        """
        state = torch.tensor([float(problem is not None), float(bool(waiting))])
        self._call(distributed.all_reduce, state)
        failed, ready = int(state[0]), int(state[1])
        if failed:
            told: list[tuple[str, str] | None] = [None] * self.size
            own = None if problem is None else (type(problem).__name__, str(problem))
            self._call(distributed.all_gather_object, told, own)
            if problem is not None:
                raise problem
            name, sentence = next(entry for entry in told if entry is not None)
            raise _known_error(name)(sentence)
        if waiting is not None and ready not in (0, self.size):
            raise ConfigError("the processes made different numbers of updates from one batch; train in one process")

    def _call(self, collective: Any, *arguments: Any, **options: Any) -> None:
        """Call a function of torch.distributed; raise `WorkerError` if another process does not answer."""
        try:
            collective(*arguments, **options)
        except RuntimeError as problem:
            saved = "" if self._saved is None else f" (the run began from {self._saved})"
            raise WorkerError(
                f"process {self.rank} of {self.size}: another process has died or does not answer; the run has ended; "
                f"continue from its newest checkpoint with the same command and --resume (resume=True){saved}"
            ) from problem


def _known_error(name: str) -> type[ThreegenError]:
    found = getattr(errors, name, ThreegenError)
    return found if isinstance(found, type) and issubclass(found, ThreegenError) else ThreegenError


def _widest(tensors: list[Any]) -> torch.dtype:
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


def _flat(parameter: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        return torch.zeros(parameter.numel(), dtype=parameter.dtype, device=parameter.device)
    return (gradient.to_dense() if gradient.is_sparse else gradient).reshape(-1)
