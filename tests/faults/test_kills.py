"""SIGKILL at random moments and before file operations: resumed runs end bit-equal, nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BATTERY = Path(__file__).parent / "kill_battery.py"


MEMORY = Path("/dev/shm")


def battery(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the battery; in memory where that can be: a kill finds the same files there, without waiting for a disk."""
    folder = MEMORY if os.access(MEMORY, os.W_OK) else tmp_path
    command = [sys.executable, str(BATTERY), "--folder", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_random_kills(tmp_path: Path) -> None:
    """Half of the time of these runs is spent in saving; `--kills 50` makes the figure in the docs."""
    results = battery(tmp_path, "--kills", "10")
    assert [result["job"] for result in results] == ["one-stage", "two-stages"]
    for result in results:
        assert result["kills"] >= 10
        assert result["bit_equal"] == result["runs"]


def test_a_kill_before_any_file_operation(tmp_path: Path) -> None:
    """Every 61st operation of a run of two stages, in another place of the save each time."""
    (result,) = battery(tmp_path, "--operations", "--stride", "61", "--job", "two-stages")
    assert result["kills"] >= 10
    assert result["bit_equal"] == result["runs"]
    assert result["parts_left_by_kills"] > 0  # otherwise no kill fell into a save, and the test would show nothing
