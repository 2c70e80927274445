"""Two processes against one: the same weights, one voice, checkpoints that go on, and an end that says why.

The expected weights are always those of an ordinary run over whole batches, made in this process.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.errors import ThreegenError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.rules.delta import DeltaRule
from threegen.rules.perceptron import PerceptronRule
from threegen.training.fit import Callback, fit
from threegen.training.optimizers.build import optimizer
from threegen.training.persistence.checkpoint import list_checkpoints, load_checkpoint
from threegen.training.processes.workers import join_workers, process_rank

EXAMPLES, FEATURES, CLASSES = 61, 12, 3  # 61 = 7 batches of 8 and one of 5: shares of 4 and 4, 2 and 3


def toy_data() -> Dataset:
    generator = np.random.default_rng(0)
    y = generator.integers(0, CLASSES, EXAMPLES)
    x = generator.random((EXAMPLES, FEATURES)).astype("float32")
    x[np.arange(EXAMPLES), y] += 1
    return Dataset.from_arrays(x, y, name="toy")


def make_model(kind: str = "plain") -> torch.nn.Module:
    options: dict[str, Any] = {"plain": {}, "norm": {"batch_norm": True}, "dropout": {"dropout": 0.5}}[kind]
    return MLP([FEATURES, 16, CLASSES], generator=make_generator("toy"), **options)


class Die(Callback):
    """End a process in the way of a power cut after some steps."""

    def __init__(self, rank: int, step: int) -> None:
        self.rank, self.step = rank, step

    def on_step(self, run: Any, step: Any) -> None:
        if process_rank() == self.rank and run.progress.updates == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class Press(Callback):
    """Press Ctrl-C in one process, or stop training from it."""

    def __init__(self, rank: int, step: int, reason: str = "") -> None:
        self.rank, self.step, self.reason = rank, step, reason

    def on_step(self, run: Any, step: Any) -> None:
        if process_rank() == self.rank and run.progress.updates == self.step:
            if self.reason:
                run.stop(self.reason)
            else:
                os.kill(os.getpid(), signal.SIGINT)


def scenario(name: str, folder: Path) -> dict[str, Any]:
    """Run one scenario in this process (alone, or as one of two) and return what happened."""
    model, rule = make_model(), Backprop()
    settings: dict[str, Any] = {"optimizer": "momentum", "lr": 0.1, "epochs": 2, "batch_size": 8}
    data = toy_data()
    if name == "delta":
        model, rule = Perceptron(FEATURES, CLASSES), DeltaRule()  # type: ignore[assignment]
        settings |= {"optimizer": "sgd", "lr": 0.05}
    elif name == "clipped":
        settings |= {"clip_norm": 0.3, "schedule": "cosine", "validation": data, "stopping": 5}
    elif name == "tiny batches":
        settings |= {"batch_size": 1, "optimizer": "sgd", "epochs": 1}  # the second process has all, the first none
    elif name == "decay":
        settings |= {"optimizer": optimizer("keras-rmsprop", lr=1e-3, eps=1e-2), "lr": None}
    elif name == "norm":
        model = make_model("norm")
        settings |= {"lr": 1e-12}
    elif name.startswith("dropout"):
        model = make_model("dropout")
        settings |= {"out": folder / name.replace("resumed", "interrupted"), "checkpoint_every": 3}
        settings |= {"resume": True} if name == "dropout resumed" else {}
        settings |= {"callbacks": Press(1, 11)} if name == "dropout interrupted" else {}
    elif name == "perceptron":
        model, rule = Perceptron(FEATURES, CLASSES), PerceptronRule()  # type: ignore[assignment]
    elif name == "one bad share":
        data.targets[data.targets.numel() - 1] = 7  # type: ignore[index]
        data.classes = ()  # otherwise the label is found before training begins
        settings |= {"shuffle": False}
    elif name == "stop":
        settings |= {"callbacks": Press(1, 5, "enough")}
    elif name == "die":
        settings |= {"out": folder / "die", "checkpoint_every": 3, "callbacks": Die(1, 5)}
    elif name == "die resumed":
        settings |= {"out": folder / "die", "checkpoint_every": 3, "resume": True}
    found: dict[str, Any] = {"rank": process_rank(), "error": ""}
    torch.manual_seed(1)
    try:
        log = fit(model, rule, data, seed=4, **settings)
        found |= {"steps": [step["loss"] for step in log.steps], "stopped": log.stopped, "epochs": len(log.epochs)}
    except (ThreegenError, KeyboardInterrupt) as problem:
        found["error"] = f"{type(problem).__name__}: {problem}"
    found["drawn"] = torch.rand(2).tolist()
    found["weights"] = {key: value.tolist() for key, value in model.state_dict().items()}
    return found


def run_two(names: Sequence[str], folder: Path, *, wait: float = 500) -> list[dict[str, Any] | None]:
    """Run scenarios in two processes joined as torchrun joins them; None where a process left no results."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results = [folder / f"{rank}.json" for rank in range(2)]
    workers = []
    for rank, result in enumerate(results):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        result.unlink(missing_ok=True)
        workers.append(subprocess.Popen([sys.executable, __file__, str(folder), str(result), *names], env=environment))
    try:
        for worker in workers:
            worker.wait(wait)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [json.loads(path.read_text()) if path.exists() else None for path in results]


HARMLESS = (
    *("plain", "delta", "clipped", "tiny batches", "decay", "norm", "perceptron", "one bad share", "stop"),
    *("dropout", "dropout interrupted", "dropout resumed"),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What each of two processes found in each scenario that neither of them dies of; one launch for all."""
    first, second = run_two(HARMLESS, tmp_path_factory.mktemp("pair"))
    assert first is not None
    assert second is not None
    return {name: (first[name], second[name]) for name in HARMLESS}


Pair = dict[str, tuple[dict[str, Any], dict[str, Any]]]


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    return max(
        float((torch.tensor(one["weights"][key]) - torch.tensor(other["weights"][key])).abs().max())
        for key in one["weights"]
    )


@pytest.mark.parametrize("name", ["plain", "delta", "clipped", "tiny batches", "decay"])
def test_two_processes_are_one(name: str, pair: Pair, tmp_path: Path) -> None:
    """Deterministic rules with dropout off: the weights and losses of one process to 1e-6."""
    alone = scenario(name, tmp_path)
    first, second = pair[name]
    assert (first["rank"], second["rank"]) == (0, 1)
    assert first["error"] == second["error"] == ""
    assert furthest(first, second) == 0.0
    assert furthest(first, alone) < 1e-6
    assert alone["steps"][-1] < alone["steps"][0]  # something was learnt that could have differed
    np.testing.assert_allclose(first["steps"], alone["steps"], rtol=1e-4, atol=1e-6)
    assert first["steps"] == second["steps"]


def test_floating_buffers_are_averaged(pair: Pair, tmp_path: Path) -> None:
    """With weights that stand still, running means are linear in the shares: those of one process."""
    alone = scenario("norm", tmp_path)
    first, second = pair["norm"]
    assert furthest(first, second) == 0.0
    assert first["weights"]["layers.norm1.num_batches_tracked"] == 16
    own, expected = (found["weights"]["layers.norm1.running_mean"] for found in (first, alone))
    np.testing.assert_allclose(own, expected, atol=1e-6)
    assert np.abs(expected).max() > 0.1
    # The variance of a share is not that of the batch: here several processes agree in distribution only.
    own, expected = (found["weights"]["layers.norm1.running_var"] for found in (first, alone))
    assert 1e-6 < np.abs(np.subtract(own, expected)).max() < 0.2


def test_interrupted_in_one_process_and_resumed(pair: Pair) -> None:
    """Ctrl-C in the second process stops both after the same batch; resumed they end bit-equal, dropout included."""
    expected, other = pair["dropout"]
    assert expected["steps"] == other["steps"]
    first, second = pair["dropout interrupted"]
    assert first["error"].startswith("Interrupted: training was interrupted; everything is saved in ")
    assert second["error"] == "Interrupted: training was interrupted"
    first, second = pair["dropout resumed"]
    assert first["error"] == second["error"] == ""
    assert furthest(first, second) == 0.0
    assert furthest(first, expected) == 0.0
    assert first["steps"] == expected["steps"]


def test_each_share_draws_for_itself(pair: Pair, tmp_path: Path) -> None:
    """With dropout the weights are not those of one process; what torch draws after the run is as it was before."""
    alone = scenario("dropout", tmp_path)
    first, second = pair["dropout"]
    assert furthest(first, alone) > 1e-3
    assert first["drawn"] == second["drawn"] == alone["drawn"]


def test_a_rule_of_its_own_pace_is_refused(pair: Pair) -> None:
    for found in pair["perceptron"]:
        assert found["error"] == (
            "ConfigError: PerceptronRule makes a number of updates that depends on the data and differs between "
            "processes; "
            "train it in one process, without torchrun"
        )


def test_an_error_in_one_share_is_everybodys(pair: Pair) -> None:
    """The wrong label lies in the second process's share of the last batch; both say so, none waits for ever."""
    for found in pair["one bad share"]:
        assert re.match(r"DataError: label 7 at index \d is outside 0\.\.2", found["error"])


def test_a_callback_in_one_process_stops_all(pair: Pair) -> None:
    for found in pair["stop"]:
        assert found["stopped"] == "enough"
        assert len(found["steps"]) == 5


def test_a_worker_that_dies(tmp_path: Path) -> None:
    """The first process ends with a sentence; its checkpoint goes on to the weights of a run that never stopped."""
    first, second = run_two(["die"], tmp_path)
    assert second is None  # killed
    assert first is not None
    assert first["die"]["error"].startswith("WorkerError: process 0 of 2: another process has died or does not answer")
    assert "--resume" in first["die"]["error"]
    newest = list_checkpoints(tmp_path / "die" / "checkpoints")[-1]
    assert load_checkpoint(newest).facts["progress"]["updates"] == 3
    # Both processes of the resumed run are this one, with whole batches: the position is the same.
    resumed = scenario("die resumed", tmp_path)
    assert resumed["error"] == ""
    assert furthest(resumed, scenario("plain", tmp_path)) < 1e-6


def write_tables(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for name, count in (("train", 240), ("test", 30)):
        y = generator.integers(0, 3, count)
        x = generator.integers(0, 80, (count, 64))
        for row, label in enumerate(y):
            x[row, label * 20 : label * 20 + 20] += 150
        np.savetxt(folder / f"{name}.csv", np.c_[y, x], fmt="%d", delimiter=",")


def torchrun(*arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "threegen"),
        *arguments,
    ]


def test_the_command_line(tmp_path: Path) -> None:
    """`torchrun -m threegen train`: one table is printed, one run is written, and a second start is refused once."""
    write_tables(tmp_path)
    out = str(tmp_path / "run")
    command = torchrun("train", "mlp", "--data", str(tmp_path), "--epochs", "2", "--out", out, "--quiet", "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)  # exactly one object: a second process that printed would break it
    assert facts["finished"]
    steps = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()
    assert len(steps) == 2 * 2  # 240 examples are two batches of 128
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode != 0
    assert again.stderr.count("already holds a run") == 1


ENDING = """
import atexit, os, sys
from pathlib import Path

def write_threads():  # registered before the group is joined, so it runs after the group was left
    names = sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    Path(sys.argv[1], os.environ["RANK"]).write_text(" ".join(names))

atexit.register(write_threads)
import torch
import threegen as tg
tg.fit(tg.MLP([4, 3, 2]), tg.Backprop(), (torch.rand(8, 4), torch.arange(8) % 2), optimizer="adam", batch_size=4)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are named in /proc, which Linux has")
def test_no_thread_of_gloo_outlives_the_training(tmp_path: Path) -> None:
    """One that releases a tensor while Python ends aborts the process, once in tens of runs under load."""
    script = tmp_path / "ending.py"
    script.write_text(ENDING)
    launcher = torchrun()[: -len(("-m", "threegen"))]
    done = subprocess.run([*launcher, str(script), str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for rank in "01":
        assert "gloo" not in (tmp_path / rank).read_text()


def test_a_killed_command_line_run_goes_on(tmp_path: Path) -> None:
    """kill -9 of one worker in mid-run: torchrun ends, and `--resume` finishes the run."""
    write_tables(tmp_path)
    out = tmp_path / "run"
    options = ("train", "mlp", "--data", str(tmp_path), "--epochs", "2000", "--out", str(out), "--quiet")
    with subprocess.Popen(torchrun(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        _wait_for(lambda: len(list_checkpoints(out / "checkpoints")) >= 2 and (out / "steps.jsonl").stat().st_size > 0)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        _, complaints = started.communicate(timeout=200)
    assert started.returncode != 0
    assert "SIGKILL" in complaints
    done = _epochs_done(out)
    resume = torchrun("train", "--out", str(out), "--resume", "--epochs", "2000", "--quiet", "--json")
    assert 0 < done < 2000
    with subprocess.Popen(resume, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as again:
        _wait_for(lambda: _epochs_done(out) > done)
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=200)


def _epochs_done(out: Path) -> int:
    try:
        return int(load_checkpoint(list_checkpoints(out / "checkpoints")[-1]).facts["progress"]["epoch"])
    except (ThreegenError, IndexError):  # it has just been replaced by a newer one
        return 0


def _wait_for(condition: Any, seconds: float = 200) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("what the test waits for did not happen")


def test_an_ordinary_process_joins_nobody() -> None:
    assert join_workers() is None
    assert process_rank() == 0


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps({name: scenario(name, Path(sys.argv[1])) for name in sys.argv[3:]}))
