"""End training runs by SIGKILL at random moments, resume them, and compare the final weights bit by bit.

    python tests/faults/kill_battery.py --kills 50          random moments, saving included
    python tests/faults/kill_battery.py --operations        before every single operation on a file

Prints one line of JSON. Each trial is a forked child, so that torch is loaded once; the parent computes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a forked child must not inherit a pool of threads

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.gen2.mlp import MLP
from threegen.gen3.encoders import Bernoulli
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.log import TrainingLog, read_lines
from threegen.training.optimizers.build import optimizer
from threegen.training.persistence.checkpoint import list_checkpoints, load_checkpoint
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping

EPOCHS = 4


class NoisyNet(nn.Module):
    """All that makes a resume hard in one net: a random encoder, batch normalisation, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Bernoulli()
        self.body = MLP([12, 16, 4], dropout=0.3, batch_norm=True, generator=torch.Generator().manual_seed(1))
        self.register_buffer("ended", torch.zeros(2))

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.body(self.encoder(x, 4, generator).mean(0))


def make_data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(100, 12, generator=generator)
    return Dataset(x, (x.sum(1) * 2).long() % 4, name="battery")


def train_one_stage(folder: Path, resume: bool) -> TrainingLog:
    return fit(
        NoisyNet(), Backprop(), make_data(), optimizer="adam", epochs=EPOCHS, batch_size=8,
        schedule="cosine", out=folder, resume=resume, checkpoint_every=2,
    )  # fmt: skip


def train_two_stages(folder: Path, resume: bool) -> TrainingLog:
    model, data = NoisyNet(), make_data()

    def blur(given: Dataset) -> Dataset:
        return Dataset((given.inputs + 0.1 * torch.rand(given.inputs.shape)).clamp(0, 1), given.targets, name="blurred")

    def freeze() -> None:
        model.body.layers.linear1.requires_grad_(False)
        model.ended += torch.rand(2)

    def thaw() -> None:
        model.body.layers.linear1.requires_grad_(True)
        model.ended *= 3

    adam = optimizer("adam", lr=3e-3, weight_decay=1e-3)
    stages = [
        Stage("first", Backprop("mse"), transform=blur, optimizer=adam, epochs=2, batch_size=8, end=thaw),
        Stage(
            "second", Backprop(), optimizer="momentum", epochs=2, batch_size=8, begin=freeze, end=thaw, clip_norm=1.0
        ),
    ]
    watch = EarlyStopping(patience=3, monitor="validation_loss")
    return fit(model, stages, data, validation=data, stopping=watch, out=folder, resume=resume, checkpoint_every=2)


JOBS: dict[str, Callable[[Path, bool], TrainingLog]] = {"one-stage": train_one_stage, "two-stages": train_two_stages}


def outcome(folder: Path) -> str:
    """Return a hash of what a finished run left: final weights and buffers, and the log of its steps."""
    saved = load_checkpoint(list_checkpoints(folder / "checkpoints")[-1])
    digest = hashlib.sha256(json.dumps(saved.facts["sha256"]["weights"]["tensors"], sort_keys=True).encode())
    digest.update(json.dumps(read_lines(folder / "steps.jsonl")).encode())
    epochs = [{k: v for k, v in record.items() if k != "seconds"} for record in read_lines(folder / "epochs.jsonl")]
    digest.update(json.dumps(epochs).encode())
    return digest.hexdigest()


def spawn(job: str, folder: Path, die_at: int = 0) -> int:
    """Start a child that trains, or goes on with `folder`; `die_at` is the file operation that it dies before."""
    child = os.fork()
    if child:
        return child
    try:
        if die_at:
            die_before_operation(die_at, str(folder))
        JOBS[job](folder, folder.exists())
        os._exit(0)
    except BaseException as problem:  # a child must not return into the parent's code
        print(f"child: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        os._exit(1)


def die_before_operation(number: int, folder: str) -> None:
    """Let this process kill itself just before its `number`-th operation on files under `folder`."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"} and folder in str(arguments[0]):
            count()

    real_sync = os.fsync

    def sync(descriptor: int) -> None:
        count()
        real_sync(descriptor)

    sys.addaudithook(watch)
    os.fsync = sync


def wait(child: int) -> bool:
    """Wait for a child; return whether it finished its work, or raise where it failed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"a child failed with status {status}")
    return True


def check_whole(folder: Path) -> int:
    """Load every checkpoint there is (raises for half a one); return how many parts a kill has left behind."""
    for path in list_checkpoints(folder / "checkpoints"):
        load_checkpoint(path)
    return len(list(folder.rglob(".partial-*")))


def check_clean(folder: Path) -> None:
    left = [str(path) for path in (*folder.rglob(".partial-*"), *folder.rglob(".lock"))]
    if left:
        raise SystemExit(f"left behind: {left}")


def random_kills(job: str, kills: int, seed: int, base: Path) -> dict[str, Any]:
    dice, reference = random.Random(seed), base / f"{job}-reference"
    started = time.monotonic()
    wait(spawn(job, reference))
    length, wanted = time.monotonic() - started, outcome(reference)
    done = rounds = equal = parts = 0
    while done < kills:
        rounds += 1
        folder = base / f"{job}-{rounds}"
        finished = False
        while not finished:
            child = spawn(job, folder)
            if done < kills:
                time.sleep(dice.uniform(0.0, 0.7 * length))
                os.kill(child, signal.SIGKILL)
            finished = wait(child)
            if not finished:
                done += 1
                parts += check_whole(folder)
        check_clean(folder)
        equal += outcome(folder) == wanted
    return {"job": job, "kills": done, "runs": rounds, "bit_equal": equal, "parts_left_by_kills": parts}


def kills_before_operations(job: str, stride: int, base: Path) -> dict[str, Any]:
    wait(spawn(job, base / "reference"))
    wanted = outcome(base / "reference")
    kills = equal = parts = 0
    for number in range(1, 100_000, stride):
        folder = base / f"{job}-{number}"
        if wait(spawn(job, folder, number)):
            break
        kills += 1
        parts += check_whole(folder)
        wait(spawn(job, folder))
        check_clean(folder)
        equal += outcome(folder) == wanted
    return {"job": job, "kills": kills, "runs": kills, "bit_equal": equal, "parts_left_by_kills": parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="how many random kills for each job")
    parser.add_argument("--operations", action="store_true", help="kill before file operations instead")
    parser.add_argument("--stride", type=int, default=1, help="with --operations: only every STRIDE-th")
    parser.add_argument("--job", choices=[*JOBS, "all"], default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the runs are written; by default the system's folder for such")
    asked = parser.parse_args()
    torch.optim.SGD([nn.Parameter(torch.zeros(1))])  # loads what optimisers load on first use, once for all children
    results = []
    for job in JOBS if asked.job == "all" else [asked.job]:
        with tempfile.TemporaryDirectory(dir=asked.folder) as base:
            if asked.operations:
                results.append(kills_before_operations(job, asked.stride, Path(base)))
            else:
                results.append(random_kills(job, asked.kills, asked.seed, Path(base)))
    print(json.dumps(results))
    if any(result["bit_equal"] != result["runs"] for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
