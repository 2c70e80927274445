"""Trials that cannot be stacked, one by one over the cores: worker processes, each training one trial at a time.

A worker is a Python process of its own that runs `serve`; it never imports the user's main script again. Messages are
pickles with their length in front, by standard input and output.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import IO, Any

import torch

from threegen.errors import ResourceError
from threegen.machine.threads import use_threads
from threegen.runs.trial_task import TrialTask
from threegen.training.search.trials import Trial

WORTH = 10.0  # seconds of work left, below which starting processes takes longer than it saves
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from threegen.runs.search_workers import serve; serve()"
)
_LENGTH = struct.Struct("<Q")


def train_over_cores(task: TrialTask, workers: int | None, trials: Sequence[Trial], ended: Callable[[], None]) -> None:
    """Train `trials` by up to `workers` processes (None: one per thread of torch); call `ended` after each.

    The first trials are trained here, until it is known that what is left is worth starting processes. All trials train
    on the same number of threads, whoever trains them, so that the results do not depend on it. A task that cannot be
    sent to a process is carried out here.
    Raises what `TrialTask.run` raises, and `ResourceError` where a worker dies.
    """
    cores = torch.get_num_threads()
    count = min(cores if workers is None else workers, len(trials))
    sent = _pickled(task) if count > 1 else None
    with use_threads(max(1, cores // count) if sent else cores):
        begin = time.perf_counter()
        for number, trial in enumerate(trials):
            task.run(trial)
            ended()
            left = trials[number + 1 :]
            seconds = time.perf_counter() - begin
            if sent and len(left) > 1 and seconds / (number + 1) * len(left) > WORTH:
                _spread(sent, left, min(count, len(left)), ended)
                return


def _pickled(task: TrialTask) -> bytes | None:
    """Return the task as a pickle, or None where it cannot be one, or not one that another process can read."""
    if getattr(task.model, "__module__", None) == "__main__":
        return None
    try:
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def _spread(task: bytes, trials: Sequence[Trial], count: int, ended: Callable[[], None]) -> None:
    """Hand `trials` out to `count` workers."""
    waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Trial, Any]] = queue.SimpleQueue()
    for trial in trials:
        waiting.put(trial)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(_start())
            threading.Thread(target=_feed, args=(processes[-1], task, waiting, done), daemon=True).start()
        for _ in trials:
            trial, found = done.get()
            if isinstance(found, BaseException):
                raise found
            for one in fields(Trial):
                setattr(trial, one.name, getattr(found, one.name))
            ended()
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[bytes]:
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", START, json.dumps(sys.path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)


def _feed(
    process: subprocess.Popen[bytes],
    task: bytes,
    waiting: queue.SimpleQueue[Trial],
    done: queue.SimpleQueue[tuple[Trial, Any]],
) -> None:
    """Give one worker a trial after the other, and put what comes back into `done`; runs in a thread."""
    trial = None
    try:
        _write(process.stdin, task)
        while True:
            trial = waiting.get_nowait()
            _write(process.stdin, pickle.dumps(trial))
            done.put((trial, pickle.loads(_read(process.stdout))))  # noqa: S301  (from a process that we started)
    except queue.Empty:
        return
    except (EOFError, OSError, pickle.UnpicklingError) as problem:
        code = process.poll()
        at = "" if trial is None else f" while training trial {trial.number}"
        found = ResourceError(
            f"a process of the search ended{at} (exit code {code}); it may have run out of memory: use fewer workers"
        )
        found.__cause__ = problem
        if trial is None:
            try:
                trial = waiting.get_nowait()
            except queue.Empty:
                return
        done.put((trial, found))


def serve() -> None:
    """Train the trials that come by standard input, and answer by standard output: what a worker runs."""
    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a model prints must not come between the answers
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        task: TrialTask = pickle.loads(_read(incoming))  # noqa: S301
        while True:
            trial: Trial = pickle.loads(_read(incoming))  # noqa: S301
            found: Any = trial
            try:
                task.run(trial)
            except Exception as problem:  # told to the process that waits for an answer
                found = problem
            try:
                answer = pickle.dumps(found)
                pickle.loads(answer)  # noqa: S301  (an exception may be sent, and yet not be read)
            except Exception:
                answer = pickle.dumps(ResourceError(f"training trial {trial.number} failed: {found!r}"))
            _write(outgoing, answer)
    except EOFError:
        return


def _write(stream: IO[bytes] | None, message: bytes) -> None:
    if stream is not None:
        stream.write(_LENGTH.pack(len(message)))
        stream.write(message)
        stream.flush()


def _read(stream: IO[bytes] | None) -> bytes:
    """Return the next message; raises `EOFError` at the end."""
    head = b"" if stream is None else stream.read(_LENGTH.size)
    if stream is None or len(head) < _LENGTH.size:
        raise EOFError
    message = stream.read(_LENGTH.unpack(head)[0])
    if len(message) < _LENGTH.unpack(head)[0]:
        raise EOFError
    return message
