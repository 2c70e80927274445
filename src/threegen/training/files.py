"""Files that are whole or not there: written beside, flushed to the disk, moved into place."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from threegen.errors import CheckpointError

PARTIAL = ".partial-"


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that `path` holds either its former content or all of `content`, whatever happens."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
        sync(path.parent)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise out_of_space(problem, path, len(data)) from problem


def write_folder_whole(folder: Path, needed: int, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a folder beside `folder`, then move it into place as one; `needed` is its size in bytes."""
    beside = folder.with_name(f"{PARTIAL}{os.getpid()}-{folder.name}")
    try:
        beside.mkdir(parents=True)
        fill(beside)
        for part in beside.iterdir():
            sync(part)
        sync(beside)
        beside.rename(folder)
        sync(folder.parent)
    except OSError as problem:
        shutil.rmtree(beside, ignore_errors=True)
        raise out_of_space(problem, folder, needed) from problem


def out_of_space(problem: OSError, path: Path, needed: int) -> CheckpointError:
    """Return the error that says what could not be written where, and what is unharmed."""
    if problem.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        return CheckpointError(
            f"no space left for {path} (needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB free); "
            "what was saved before is unharmed; free some space and resume"
        )
    return CheckpointError(f"cannot write {path}: {problem.strerror}; what was saved before is unharmed")


def remove_partials(folder: Path) -> None:
    """Remove what an interrupted writer left behind in `folder`."""
    for stale in folder.glob(f"{PARTIAL}*"):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)
