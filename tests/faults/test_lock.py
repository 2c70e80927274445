"""A run's folder belongs to one process; a lock whose process is gone is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError, ConfigError
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.log import TrainingLog
from threegen.training.persistence.lock import LOCK, locked, process_start

HOLDER = """
import sys
from pathlib import Path
from threegen.training.persistence.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def train(folder: Path, **settings: Any) -> TrainingLog:
    data = Dataset(torch.rand(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2)
    model = MLP([3, 2], generator=torch.Generator().manual_seed(0))
    return fit(model, Backprop(), data, batch_size=4, out=folder, **settings)


def mark(folder: Path, **changed: Any) -> None:
    folder.mkdir(exist_ok=True)
    facts = {
        "pid": os.getpid(), "start": process_start(os.getpid()), "host": socket.gethostname(),
        "since": "2001-02-03T12:01:59", **changed,
    }  # fmt: skip
    (folder / LOCK).write_text(json.dumps(facts))


def test_a_second_run_is_refused_by_the_first_ones_process_id(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    holder = hold(folder)
    since = datetime.fromisoformat(json.loads((folder / LOCK).read_text())["since"])
    for settings in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ConfigError) as caught:
            train(folder, **settings)
        assert str(caught.value) == (
            f"{folder} is locked by pid {holder.pid} since {since:%H:%M}; "
            "wait for that run, stop it, or choose another out="
        )
    assert {path: path.read_bytes() for path in before} == before
    holder.communicate("", timeout=30)
    assert not (folder / LOCK).exists()
    train(folder, resume=True)
    assert not (folder / LOCK).exists()


def test_the_lock_of_a_killed_run_is_stale_also_while_it_is_a_zombie(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet reaped
    assert process_start(holder.pid) is None
    with locked(tmp_path):
        pass
    holder.communicate()


def test_a_recycled_process_id_is_not_the_run(tmp_path: Path) -> None:
    """The lock names this very process, which runs, but one that started at another moment."""
    mark(tmp_path, start=f"{(process_start(os.getpid()) or '').partition('/')[0]}/1")
    train(tmp_path)
    mark(tmp_path / "other")
    with pytest.raises(ConfigError, match=rf"is locked by pid {os.getpid()} since 2001-02-03 12:01; wait for that run"):
        train(tmp_path / "other")


def test_a_process_of_before_the_last_start_of_the_machine_is_gone(tmp_path: Path) -> None:
    ticks = (process_start(os.getpid()) or "").rpartition("/")[2]
    mark(tmp_path, start=f"another-boot/{ticks}")
    train(tmp_path)


def test_a_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    mark(tmp_path, host="elsewhere", pid=7)
    with pytest.raises(ConfigError) as caught:
        train(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is locked by pid 7 on elsewhere since 2001-02-03 12:01; choose another out=, "
        f"or delete {tmp_path / LOCK} if that run is dead"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "start": 1, "host": 2, "since": 3}'])
def test_a_lock_that_was_cut_off_is_stale(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content)
    train(tmp_path)


def test_the_same_thread_may_take_it_again_another_may_not(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def other() -> None:
        try:
            with locked(tmp_path):
                pass
        except ConfigError as problem:
            refused.append(problem)

    with locked(tmp_path), locked(tmp_path / ".." / tmp_path.name):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert (tmp_path / LOCK).exists()
    assert len(refused) == 1
    assert not (tmp_path / LOCK).exists()


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert not (tmp_path / LOCK).exists()


def test_of_runs_that_start_together_exactly_one_has_it(tmp_path: Path) -> None:
    """Eight processes race for a stale lock; those that lose exit with the sentence."""
    mark(tmp_path, start="gone/1")
    program = HOLDER.replace("sys.stdin.read()", "import time; time.sleep(2)")
    racers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    told = [racer.communicate(timeout=60) for racer in racers]
    assert sum(out == b"held\n" for out, _ in told) >= 1
    for (_, errors), racer in zip(told, racers, strict=True):
        assert racer.returncode == 0 or b"is locked by pid" in errors
    assert not (tmp_path / LOCK).exists()


def test_an_unwritable_folder_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match=r"^cannot write .*/nowhere/\.lock: No such file or directory"),
        locked(tmp_path / "nowhere"),
    ):
        pass
