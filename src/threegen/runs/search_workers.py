"""Worker processes for trials that cannot be stacked: each trains one trial at a time.

A worker is a separate Python process that runs `serve`; it never imports the user's main script again. Messages are
lines of JSON on standard input and output; the data are a safetensors file in a temporary folder.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any

import torch

from threegen import errors
from threegen.datasets.dataset import Dataset
from threegen.errors import ResourceError, ThreegenError
from threegen.machine.threads import use_threads
from threegen.runs.trial_task import TrialTask
from threegen.training.persistence.checkpoint import read_tensors, tensor_hashes, write_tensors
from threegen.training.search.trials import Trial

WORTH = 10.0  # seconds of remaining work; with less, starting processes takes longer than it saves
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from threegen.runs.search_workers import serve; serve()"
)


def train_over_cores(task: TrialTask, workers: int | None, trials: Sequence[Trial], ended: Callable[[], None]) -> None:
    """Train `trials` by up to `workers` processes (None: one per thread of torch); call `ended` after each.

    The first trials are trained in this process, until their times show that the rest is worth starting workers. All
    trials train on the same number of threads in either case, so that the results do not depend on it. A task that
    cannot be serialised for a worker is carried out in this process.

    Raises what `TrialTask.run` raises, and `ResourceError` if a worker dies.
    """
    cores = torch.get_num_threads()
    count = min(cores if workers is None else workers, len(trials))
    sent = count > 1 and all(_is_plain(trial.as_dict()) for trial in trials) and _written(task) is not None
    with use_threads(max(1, cores // count) if sent else cores):
        begin = time.perf_counter()
        for number, trial in enumerate(trials):
            task.run(trial)
            ended()
            left = trials[number + 1 :]
            seconds = time.perf_counter() - begin
            if sent and len(left) > 1 and seconds / (number + 1) * len(left) > WORTH:
                with tempfile.TemporaryDirectory(prefix="threegen-search-") as folder:
                    _spread(task, Path(folder), left, min(count, len(left)), ended)
                return


def _written(task: TrialTask) -> dict[str, Any] | None:
    """Return the task without its data as plain values, or None if another process could not read it."""
    model: Any = task.model
    if not isinstance(model, str):
        module, name = getattr(model, "__module__", ""), getattr(model, "__qualname__", "")
        if module in ("", "__main__") or getattr(sys.modules.get(module), name, None) is not model:
            return None
        model = [module, name]
    facts = {"model": model, "epochs": task.epochs, "loss": task.loss}
    facts |= {"options": dict(task.options), "fixed": dict(task.fixed)}
    facts |= {part: [getattr(task, part).name, list(getattr(task, part).classes)] for part in ("train", "validation")}
    return facts if _is_plain(facts) else None


def _is_plain(value: Any) -> bool:
    """Return whether a value survives a round trip through JSON unchanged."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _spread(task: TrialTask, folder: Path, trials: Sequence[Trial], count: int, ended: Callable[[], None]) -> None:
    """Hand `trials` out to `count` workers, which read the task in `folder`."""
    parts = {"train": task.train, "validation": task.validation}
    tensors = {f"{name}/inputs": part.inputs for name, part in parts.items()}
    tensors |= {f"{name}/targets": part.targets for name, part in parts.items() if part.targets is not None}
    write_tensors(folder / "data.safetensors", tensors)
    (folder / "task.json").write_text(json.dumps({**(_written(task) or {}), "sha256": tensor_hashes(tensors)}))
    waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Trial, Trial | ThreegenError]] = queue.SimpleQueue()
    for trial in trials:
        waiting.put(trial)
    processes: list[subprocess.Popen[str]] = []
    threads: list[threading.Thread] = []
    try:
        for _ in range(count):
            processes.append(_start(folder))
            threads.append(threading.Thread(target=_feed, args=(processes[-1], waiting, done), daemon=True))
            threads[-1].start()
        for _ in trials:
            trial, found = done.get()
            if isinstance(found, ThreegenError):
                raise found
            for one in fields(Trial):
                setattr(trial, one.name, getattr(found, one.name))
            ended()
    finally:
        for process in processes:
            process.kill()
        for thread in threads:
            thread.join()
        for process in processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # a line that nothing reads any more
                    if pipe is not None:
                        pipe.close()


def _start(folder: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", START, json.dumps(sys.path), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)


def _feed(
    process: subprocess.Popen[str],
    waiting: queue.SimpleQueue[Trial],
    done: queue.SimpleQueue[tuple[Trial, Trial | ThreegenError]],
) -> None:
    """Give one worker a trial after the other, and put its replies into `done`; runs in a thread."""
    while True:
        try:
            trial = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            answer = _asked(process, trial.as_dict())
        except (OSError, ValueError):  # a closed pipe, or half a line
            problem = ResourceError(
                f"a process of the search ended (exit code {process.wait()}) while training trial {trial.number}; "
                "it may have run out of memory: use fewer workers"
            )
            done.put((trial, problem))
            return
        if "error" in answer:
            kind = getattr(errors, answer["error"], ThreegenError)
            done.put((trial, kind(answer["message"])))
            return
        done.put((trial, Trial(**answer)))


def _asked(process: subprocess.Popen[str], question: dict[str, Any]) -> dict[str, Any]:
    """Send a line and return the answer to it; raises `OSError` or `ValueError` if there is none."""
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipe")
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def serve() -> None:
    """Run a worker: train the trials read from standard input, and answer on standard output."""
    outgoing = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of a model must not mix with the answers
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    task = _read_task(Path(sys.argv[2]))
    for line in sys.stdin:
        _answer(task, Trial(**json.loads(line)), outgoing)


def _answer(task: TrialTask, trial: Trial, outgoing: IO[str]) -> None:
    try:
        task.run(trial)
        answer = trial.as_dict()
    except ThreegenError as problem:
        answer = {"error": type(problem).__name__, "message": str(problem)}
    except Exception as problem:  # reported to the process that waits for an answer
        said = f"training trial {trial.number} failed: {type(problem).__name__}: {problem}"
        answer = {"error": "ThreegenError", "message": said}
    outgoing.write(json.dumps(answer) + "\n")
    outgoing.flush()


def _read_task(folder: Path) -> TrialTask:
    facts = json.loads((folder / "task.json").read_text())
    tensors = read_tensors(folder / "data.safetensors", facts.pop("sha256"))
    for name in ("train", "validation"):
        title, classes = facts[name]
        facts[name] = Dataset(tensors[f"{name}/inputs"], tensors.get(f"{name}/targets"), classes, title)
    task = TrialTask(**facts)
    if isinstance(task.model, str):
        return task
    module, name = facts["model"]
    return replace(task, model=getattr(importlib.import_module(module), name))
