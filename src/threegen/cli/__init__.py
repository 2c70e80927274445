"""The command line: thin. Each command parses, calls one function and prints what it returned.

Exit code 0: done; 2: something that the user can mend (one sentence says what); 130: Ctrl-C; 1: a bug of ours.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from threegen.cli import data, looking, making
from threegen.cli.printing import app, complain
from threegen.errors import Interrupted, ThreegenError, WorkerError

__all__ = ["app", "data", "looking", "main", "making", "run"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` default to those of the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if _is_helper():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # of several processes the first one alone speaks
    try:
        app(arguments, standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Interrupted as stop:
        where = f"go on with: threegen train --resume --out {stop.folder}" if stop.folder else "nothing was saved"
        if not _is_helper():
            complain(f"interrupted; the last batch was finished; {where}")
        _wait_for_the_first()
        return 130
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except ThreegenError as problem:
        if not _is_helper() or isinstance(problem, WorkerError):  # where the first has died, another must say so
            complain(f"{type(problem).__name__}: {problem}")
        else:
            _wait_for_the_first()
        return 2
    return 0


def _wait_for_the_first() -> None:
    """Let the first process say what went wrong and save: torchrun ends all others when one has ended."""
    if _is_helper():
        time.sleep(10)


def _is_helper() -> bool:
    """Return whether this is not the first of several processes that torchrun started."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1 and os.environ.get("RANK", "0") != "0"
