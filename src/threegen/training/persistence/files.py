"""Atomic file writes: to a temporary file, flushed to disk, then moved into place."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from threegen.errors import CheckpointError, ConfigError
from threegen.machine.memory import size_text

PARTIAL = ".partial-"


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it; raises `ConfigError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as problem:
        raise ConfigError(f"{folder} cannot be a folder: a file has that name; choose another out=") from problem
    except OSError as problem:
        raise ConfigError(f"cannot make the folder {folder}: {problem.strerror}; choose another out=") from problem


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that `path` holds either its former content or all of `content`, whatever happens.

    Raises `CheckpointError` if it cannot be written.
    """
    if path.exists() and not path.is_file():  # a device or a pipe would be replaced by a file
        raise CheckpointError(f"{path} is not an ordinary file; choose another name for what is written")
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
    """Let `fill` write into a temporary folder, then move it to `folder` in one step; `needed` is its size in bytes.

    Raises `CheckpointError` if it cannot be written.
    """
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


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it never appears half removed under its name; a kill leaves only a partial folder."""
    beside = folder.with_name(f"{PARTIAL}{os.getpid()}-old-{folder.name}")
    try:
        folder.rename(beside)
    except OSError as problem:
        raise CheckpointError(f"cannot remove {folder}: {problem.strerror}") from problem
    shutil.rmtree(beside, ignore_errors=True)


def out_of_space(problem: OSError, path: Path, needed: int) -> CheckpointError:
    """Return the error that names the file that could not be written and says that earlier files are intact."""
    if problem.errno == errno.EFBIG:
        return CheckpointError(
            f"{path} (needs {size_text(needed)}) is larger than this process may write; "
            "earlier checkpoints are intact; raise the limit (ulimit -f) and resume"
        )
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        return CheckpointError(
            f"no space left for {path} (needs {size_text(needed)}, {size_text(free)} free); "
            "earlier checkpoints are intact; free some space and resume"
        )
    return CheckpointError(f"cannot write {path}: {problem.strerror}; earlier checkpoints are intact")


def remove_partials(folder: Path) -> None:
    """Remove the partial files of an interrupted writer from `folder`."""
    for stale in folder.glob(f"{PARTIAL}*"):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)
