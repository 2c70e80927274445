"""The bench: one JSON object a job and nothing else, medians of rounds turn about, absent peers named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# Each side says in which turn it was asked, through a file that all of them append to.
SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {benchmarks!r})
from harness import Contestant, Job, main

VALUES = iter([99.0, 4.0, 1.0, 3.0])  # the first is the warm-up's and must not count


def ours(quick):
    print("chatter of a library")
    note("ours")
    return next(VALUES)


def floor(quick):
    note("floor")
    return 2.0 if quick else 1.0


def note(name):
    with Path(os.environ["TURNS"]).open("a") as turns:
        turns.write(name + " ")


def environment():
    return {{"TURNS": str(Path(__file__).with_name("turns"))}}


peers = [
    Contestant("slow", Path(__file__).with_name("peer.py"), "anything"),
    Contestant("not there", Path(__file__), "anything", "no-such-environment"),
    Contestant("broken", Path(__file__).with_name("broken.py"), "anything"),
]
main([Job("toy", lambda quick: "apples", ours, floor, peers, packages=("numpy",), prepare=environment)], __file__)
"""
PEER = """
import os, sys
sys.path.insert(0, {benchmarks!r})
from worker import serve

def work(quick):
    open(os.environ["TURNS"], "a").write("slow ")
    print(os.environ["OMP_NUM_THREADS"], "threads")
    return 6.0

serve(work)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(SCRIPT.format(benchmarks=str(BENCHMARKS)))
    (tmp_path / "peer.py").write_text(PEER.format(benchmarks=str(BENCHMARKS)))
    (tmp_path / "broken.py").write_text("raise SystemExit('it has no such function')")
    return tmp_path / "toy.py"


def run(script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=True)


def test_one_object_and_nothing_else(toy: Path) -> None:
    done = run(toy, "--json", "--quick", "--threads", "1")
    result: dict[str, Any] = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert result["job"] == "toy"
    assert result["unit"] == "apples"
    assert result["ours"] == 3.0  # the median of 4, 1 and 3
    assert result["floor"] == 2.0
    assert result["peers"] == {"slow": 6.0, "not there": None, "broken": None}
    assert result["ratio_to_floor"] == 1.5
    assert result["ratio_to_best_peer"] == 0.5
    assert result["threads"] == 1
    assert result["peak_mib"] > 1
    assert result["peers_peak_mib"].keys() == {"floor", "slow"}
    assert "ours: numpy" in result["versions"]
    assert list(result) == [
        *("job", "unit", "ours", "peers", "floor", "ratio_to_floor", "ratio_to_best_peer", "peak_mib"),
        *("peers_peak_mib", "threads", "versions"),
    ]


def test_what_is_absent_is_said(toy: Path) -> None:
    said = run(toy, "--json", "--quick", "--threads", "1").stderr
    assert "not there: absent; its environment 'no-such-environment' is not built; run make bench-peers" in said
    assert "broken: absent; it ended with code 1; see its message above" in said
    assert "it has no such function" in said
    assert "1 threads" in said  # a library's own words do not reach standard output


def test_rounds_go_turn_about(toy: Path) -> None:
    run(toy, "--quick", "--threads", "1")
    turns = toy.with_name("turns").read_text().split()
    assert turns[:3] == ["ours", "floor", "slow"]  # the warm-up
    assert turns[3:6] == ["ours", "floor", "slow"]
    assert turns[6:9] == ["floor", "slow", "ours"]
    assert turns[9:] == ["slow", "ours", "floor"]


def test_a_reader_gets_a_table(toy: Path) -> None:
    shown = run(toy, "--quick", "--threads", "1").stdout
    assert re.search(r"ours +3 +1\.50 x floor", shown)
    assert re.search(r"not there +-\n", shown)


def test_every_benchmark_can_be_asked_for_help() -> None:
    for script in ("classic_program.py", "cost_of_the_loop.py"):
        assert "--json" in run(BENCHMARKS / script, "--help").stdout


def test_every_peer_has_pins() -> None:
    """An environment without exact versions would be another one tomorrow."""
    lists = list((BENCHMARKS / "peers").glob("*.txt"))
    assert lists
    for pins in lists:
        for line in pins.read_text().splitlines():
            if line.startswith("#"):  # why, and what `build_peers.sh` hands on to pip
                continue
            assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line), f"{pins.name}: {line}"
