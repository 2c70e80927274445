"""Ctrl-C, SIGTERM and SIGHUP on the command line, a reader that leaves, and brackets in tables."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from threegen.cli import run
from threegen.cli.printing import print_table
from threegen.runs.run import load_run


def started(out: Path, epochs: int = 80) -> subprocess.Popen[str]:
    """A training of many epochs, once its first checkpoint is there."""
    code = [
        sys.executable,
        "-m",
        "threegen",
        "train",
        "mlp",
        "--epochs",
        str(epochs),
        "--set",
        "hidden=[16]",
        "--quiet",
    ]
    process = subprocess.Popen(
        [*code, "--holdout", "59500", "--checkpoint-every", "3", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 90
    while not list((out / "checkpoints").glob("0*1")):
        assert time.monotonic() < until, process.communicate()
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_run_is_saved_and_says_how_to_continue(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Advice that is followed works."""
    out = tmp_path / "my run"  # the blank must be quoted
    process = started(out, 12 if number == signal.SIGTERM else 80)  # the twelve are trained to their end below
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert told == f"interrupted; the last batch was finished; continue with: threegen train --resume --out '{out}'\n"
    assert not json.loads((out / "run.json").read_text())["finished"]
    if number == signal.SIGTERM:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another number of threads, perhaps
            assert run([*shlex.split(told.partition("continue with: threegen ")[2]), "--quiet"]) == 0
        assert load_run(out) is not None


def test_nohup_stays_in_force(tmp_path: Path) -> None:
    """Where SIGHUP is ignored, as under nohup, training goes on."""
    out = tmp_path / "run"
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = started(out)
    finally:
        signal.signal(signal.SIGHUP, former)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m threegen models | head -1 > /dev/null", shell=True, stderr=subprocess.PIPE, text=True
    )
    assert done.stderr in ("", "compiling kernels, once: about 15 s\n")  # the latter where a cache is still empty


def test_square_brackets_stay_in_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"what": 'pip install "threegen[sklearn]"', "[B, T]": "[/] [bold]x"}], "shapes [B, T, N]")
    shown = capsys.readouterr().out
    for part in ("threegen[sklearn]", "[B, T]", "[/] [bold]x", "shapes [B, T, N]"):
        assert part in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("threegen 0.")


def test_a_picture_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(["train", "perceptron", "--plan", "quick", "--epochs", "1", "--quiet", "--out", str(out)]) == 0
    capsys.readouterr()
    for command in ("predict", "explain"):
        assert run([command, str(out), "some/nosuch.png"]) == 2
        assert "there is no picture some/nosuch.png" in capsys.readouterr().err
    assert run(["explain", str(out), "3", "--out", str(tmp_path / "new" / "deep" / "map.svg")]) == 0
    assert (tmp_path / "new" / "deep" / "map.svg").is_file()
