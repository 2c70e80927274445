"""Speed as a ratio: threegen, the peers and the physical lower bound ("floor"), in turn on the same cores.

Each contestant is a separate process (peers in their own environments) that times its own work on request. All run on
the same pinned cores, one at a time; a round runs each once, and the figures are medians over the rounds. With `--json`
standard output has one JSON object per line, one per job, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker import Work, serve

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison: a script that serves its work, in `benchmarks/.environments/environment` or in ours.

    `serves` names the requested figure.
    """

    name: str
    script: Path
    serves: str
    environment: str | None = None

    def python(self) -> Path:
        """Return the interpreter that runs it."""
        return (
            Path(sys.executable)
            if self.environment is None
            else HERE / ".environments" / self.environment / "bin/python"
        )


@dataclass(frozen=True)
class Job:
    """One comparison: `ours` and `floor` are functions of the job's own script, `peers` are other processes."""

    name: str
    unit: Callable[[bool], str]  # the unit, given whether the run is quick
    ours: Work
    floor: Work | None = None
    peers: Sequence[Contestant] = ()
    threads: int | None = None  # None: as many as asked for
    rounds: int = 5
    packages: tuple[str, ...] = ("threegen", "torch", "numba")
    prepare: Callable[[], dict[str, str]] | None = None  # makes data for all contestants, returns environment variables


class Worker:
    """A contestant's process."""

    def __init__(self, contestant: Contestant, environment: dict[str, str]) -> None:
        self.name = contestant.name
        self.process: subprocess.Popen[str] | None = None
        self.answer: dict[str, Any] = {}
        self.values: list[float] = []
        if not contestant.python().exists():
            complain(
                f"{self.name}: absent; its environment {contestant.environment!r} is not built; run make bench-peers"
            )
            return
        command = [str(contestant.python()), str(contestant.script), "--serve", contestant.serves]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, quick: bool, *, keep: bool) -> None:
        """Run the contestant once; if it fails it is absent from then on."""
        if self.process is None or self.process.stdin is None or self.process.stdout is None:
            return
        try:
            self.process.stdin.write(json.dumps({"quick": quick}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            complain(f"{self.name}: absent; it ended with code {self.process.wait()}; see its message above")
            self.process = None
            self.values = []
            return
        self.answer = json.loads(line)
        if keep:
            self.values.append(float(self.answer["value"]))

    def stop(self) -> None:
        """End the process."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()

    @property
    def figure(self) -> float | None:
        """The median, None for an absent contestant."""
        return statistics.median(self.values) if self.values else None


def complain(sentence: str) -> None:
    """Write a message to standard error; standard output is for the results."""
    sys.stderr.write(sentence + "\n")


def run_job(job: Job, script: Path, *, quick: bool, threads: int, rounds: int | None) -> dict[str, Any]:
    """Run one job and return its result."""
    threads = job.threads or threads
    cores = pin(threads)
    environment = {**os.environ, **(job.prepare() if job.prepare is not None else {}), **thread_variables(threads)}
    contestants = [Contestant("ours", script, f"{job.name}/ours"), *job.peers]
    if job.floor is not None:
        contestants.insert(1, Contestant("floor", script, f"{job.name}/floor"))
    workers = [Worker(contestant, environment) for contestant in contestants]
    try:
        for worker in workers:
            worker.ask(True, keep=False)  # imports, compilers and caches are warm from here on
        for number in range(rounds or (3 if quick else job.rounds)):
            for worker in workers[number % len(workers) :] + workers[: number % len(workers)]:
                worker.ask(quick, keep=True)
    finally:
        for worker in workers:
            worker.stop()
    found = {worker.name: worker.figure for worker in workers}
    ours, floor = found.pop("ours"), found.pop("floor", None)
    if ours is None:
        raise SystemExit(f"{job.name}: our own worker failed; see its message above")
    present = [value for value in found.values() if value is not None]
    versions = {"python": platform.python_version(), "cores": ",".join(map(str, cores))}
    for worker in workers:
        versions |= {f"{worker.name}: {name}": number for name, number in worker.answer.get("versions", {}).items()}
    return {
        "job": job.name,
        "unit": job.unit(quick),
        "ours": rounded(ours),
        "peers": {name: rounded(value) for name, value in found.items()},
        "floor": rounded(floor),
        "ratio_to_floor": rounded(ours / floor) if floor else None,
        "ratio_to_best_peer": rounded(ours / min(present)) if present else None,
        "peak_mib": workers[0].answer["peak_mib"],
        "peers_peak_mib": {worker.name: worker.answer["peak_mib"] for worker in workers[1:] if worker.values},
        "threads": threads,
        "versions": versions,
    }


def rounded(value: float | None) -> float | None:
    """Return a figure rounded to four digits, the precision of these measurements."""
    return None if value is None else float(f"{value:.4g}")


def pin(threads: int) -> list[int]:
    """Pin this process and its children to `threads` cores; return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:threads]
    if len(cores) < threads:
        complain(f"asked for {threads} threads, but only {len(cores)} cores are available")
    os.sched_setaffinity(0, cores)
    return cores


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that limit the threads of numerical libraries."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: str(threads) for name in names} | {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": ""}


def main(jobs: Sequence[Job], script: str | Path) -> None:
    """The command line of every benchmark: run its jobs, or serve one side of one of them."""
    parser = argparse.ArgumentParser(description="Times threegen, the peers and the floor in turn.")
    parser.add_argument("--json", action="store_true", help="one JSON object a job on standard output")
    parser.add_argument("--quick", action="store_true", help="a fraction of the work, fewer rounds")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores to use (all)")
    parser.add_argument("--rounds", type=int, help="number of runs of each contestant")
    parser.add_argument("--only", choices=[job.name for job in jobs], help="run only this job")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        name, _, side = chosen.serve.rpartition("/")
        job = next(job for job in jobs if job.name == name)
        serve(getattr(job, side), job.packages if side == "ours" else ())
        return
    usable = os.sched_getaffinity(0)
    for job in jobs:
        if chosen.only in (None, job.name):
            os.sched_setaffinity(0, usable)
            result = run_job(
                job, Path(script).resolve(), quick=chosen.quick, threads=chosen.threads, rounds=chosen.rounds
            )
            show(result, as_json=chosen.json)


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result: one JSON line, or a small table."""
    if as_json:
        print(json.dumps(result), flush=True)
        return
    print(f"{result['job']}, {result['unit']}, {result['threads']} threads")
    rows = {"floor": result["floor"], "ours": result["ours"], **result["peers"]}
    for name, value in rows.items():
        if value is None:
            print(f"  {name:32} {'-':>10}")
            continue
        ratio = "" if not result["floor"] else f"{value / result['floor']:8.2f} x floor"
        print(f"  {name:32} {value:10.4g} {ratio}", flush=True)
