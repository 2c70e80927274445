"""Write verified files into the user's data folder: to a temporary folder, flushed, then moved into place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threegen.errors import ConfigError, ResourceError

_STALE_SECONDS = 86_400


@contextmanager
def staged_folder(root: Path, name: str) -> Iterator[Path]:
    """Yield an empty temporary folder; it becomes `root/name` when the block succeeds, otherwise it is removed.

    Raises `ConfigError` if the data folder cannot be written and `ResourceError` if the disk is full.
    """
    staging: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root, name)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".tmp", dir=root))
        yield staging
        _flush(staging)
        staging.chmod(0o755)
        _swap(staging, root / name)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ResourceError(f"no space left in {root}; free some, or set THREEGEN_DATA to another disk") from error
        if isinstance(error, PermissionError) or error.errno in (errno.EROFS, errno.ENOTDIR):
            raise ConfigError(
                f"cannot write to the data folder {root}: {error.strerror}; set THREEGEN_DATA to a folder of yours"
            ) from error
        raise
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, target: Path) -> None:
    """Replace `target` by `staging`, or older files by those in `staging`.

    A process killed in between leaves old and new files, each of them complete and verified when opened.
    """
    if not target.exists():
        staging.rename(target)
    else:
        for file in sorted(staging.iterdir()):
            file.replace(target / file.name)
            other = file.name.removesuffix(".gz") if file.name.endswith(".gz") else file.name + ".gz"
            (target / other).unlink(missing_ok=True)
    _flush_folder(target.parent)


def _flush(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(root: Path, name: str) -> None:
    """Remove leftovers of killed downloads that are older than a day."""
    for left in root.glob(f".{name}-*.tmp"):
        if left.is_dir() and time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
