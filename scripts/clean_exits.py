"""Count how processes of `torchrun -m threegen train` end: `python scripts/clean_exits.py --launches 100`.

A process that ends while threads of gloo (torch.distributed on a CPU) still run can abort after its work is done
("terminate called without an active exception", SIGABRT): the thread releases a tensor, waits for Python's lock, and is
ended by Python while C++ allows no such end. threegen therefore destroys the process group before it ends, and makes
sure that nothing else holds the group (`training/processes/workers.py`). Each launch trains a tiny table in `--workers`
processes while `--busy` other processes keep cores busy; it prints how many launches and workers ended with code 0, and
the end of standard error of each that did not. The exit code is 1 if any did not. `--control` runs processes that keep
the group open at their end, to see whether this machine shows the fault at all.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPINNING = "while True: pass"
CONTROL = """
import torch
from torch import distributed
distributed.init_process_group("gloo")
for _ in range(50):
    distributed.all_reduce(torch.ones(1000))
"""


def main() -> int:
    """Launch, count, print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--launches", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2, help="processes of each launch")
    parser.add_argument("--busy", type=int, default=2, help="other processes that keep a core busy each")
    parser.add_argument("--control", action="store_true", help="keep the process group open at the end")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the busy processes end too
    spinning = [subprocess.Popen([sys.executable, "-c", SPINNING]) for _ in range(chosen.busy)]
    begun, failed = time.monotonic(), 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            _write_table(Path(folder) / "table.csv")
            for number in range(chosen.launches):
                failed += not _launch(Path(folder), number, chosen.workers, chosen.control)
                if (number + 1) % 10 == 0 or number + 1 == chosen.launches:
                    minutes = (time.monotonic() - begun) / 60
                    clean = (number + 1 - failed) * chosen.workers
                    _say(
                        f"{number + 1} launches, {failed} of them not clean; {clean} clean exits of workers; "
                        f"{minutes:.1f} minutes"
                    )
    finally:
        for process in spinning:
            process.kill()
            process.wait()
    return 1 if failed else 0


def _launch(folder: Path, number: int, workers: int, control: bool) -> bool:
    """Run one training in `workers` processes; return whether all of them ended with code 0."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    if control:
        script = folder / "control.py"
        script.write_text(CONTROL)
        command.append(str(script))
    else:
        table, out = folder / "table.csv", folder / f"run-{number}"
        command += ["-m", "threegen", "train", "mlp", "--data", str(table), "--epochs", "2", "--set", "hidden=[16]"]
        command += ["--out", str(out), "--quiet", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=3600, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    clean = done.returncode == 0 and "terminate called" not in done.stderr
    if not clean:
        _say(f"launch {number}: code {done.returncode}\n{done.stderr[-3000:]}")
    return clean


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _write_table(file: Path) -> None:
    """Write 240 rows of 8 columns in three classes, each determined by one column."""
    rows = ["label," + ",".join(f"x{column}" for column in range(8))]
    for row in range(240):
        label = row % 3
        values = (0.9 if column == label else (row * 7 + column * 3) % 10 / 20 for column in range(8))
        rows.append(f"{label}," + ",".join(f"{value:.2f}" for value in values))
    file.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
