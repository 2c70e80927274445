"""The command line: thin. Each command parses, calls one function and prints what it returned.

Exit code 0: done; 2: an error that the user can correct (one sentence says how); 130: Ctrl-C; 1: a bug of threegen.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from threegen.cli import comparing, converting, data, exporting, inspecting, making, page, play, searching
from threegen.cli.printing import StoppedError, app, complain, is_helper, say_what_is_read
from threegen.errors import Interrupted, ThreegenError, WorkerError
from threegen.machine.waiting import choose_waiting

__all__ = [
    "app",
    "comparing",
    "converting",
    "data",
    "exporting",
    "inspecting",
    "main",
    "making",
    "page",
    "play",
    "run",
    "searching",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` default to those of the process."""
    warnings.formatwarning = _one_line
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def _one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> str:
    """Return a warning as the command line prints it, without the place in the source."""
    return f"{category.__name__}: {message}\n"


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    choose_waiting()  # before torch is loaded
    say_what_is_read()
    if is_helper():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # of several processes only the first one prints
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except OSError as problem:
        if problem.filename is not None:
            complain(f"{problem.filename}: {problem.strerror}; name a file or folder that you may read and write")
            return 2
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # what is buffered in the old one is lost anyway
        complain(f"cannot write to standard output: {problem.strerror}")
        return 2
    return code


def _run(arguments: list[str]) -> int:
    try:
        app(arguments, standalone_mode=True, prog_name="threegen")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except StoppedError as stopped:
        return _interrupted(stopped.stop)
    except ThreegenError as problem:
        if not is_helper() or isinstance(problem, WorkerError):  # if the first has died, another must say so
            complain(f"{type(problem).__name__}: {problem}")
        else:
            _wait_for_the_first()
        return 2
    return 0


def _interrupted(stop: KeyboardInterrupt) -> int:
    """Say what was saved and how to continue; return the exit code that a shell expects of a signal."""
    if not isinstance(stop, Interrupted):
        complain("interrupted")
        return 130
    saved = "nothing was saved"
    if stop.folder:
        known = (Path(stop.folder) / "run.json").is_file()
        command = f"threegen train --resume --out {shlex.quote(stop.folder)}"
        saved = f"continue with: {command}" if known else f"everything is saved in {stop.folder}; run it again"
    if not is_helper():
        complain(f"interrupted; the last batch was finished; {saved}")
    _wait_for_the_first()
    return 128 + stop.signal


def _wait_for_the_first() -> None:
    """Give the first process time to report the error and to save: torchrun ends all processes once one has ended."""
    if is_helper():
        time.sleep(10)
