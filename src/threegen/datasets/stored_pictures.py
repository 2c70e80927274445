"""Decide whether the pictures of a path stay on disk, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threegen.datasets.images import has_class_folders
from threegen.datasets.picture_dataset import ON_DISK_BYTES, PictureDataset
from threegen.datasets.picture_files import find_pictures, is_picture_store
from threegen.errors import ConfigError, DataError

ON_DISK_ONLY = ("margin", "on_error", "workers", "time_limit", "cache")
PICTURE_OPTIONS = ("size", "channels", *ON_DISK_ONLY)


def holds_pictures(path: Path) -> bool:
    """Tell whether `load_data` finds pictures at a path: a folder of class folders, an archive or a list."""
    if not path.is_dir():
        return is_picture_store(path)
    parts = [path / "train", path]
    return any(part.is_dir() and has_class_folders(part) for part in parts) or (path / "train.lst").is_file()


def stored_pictures(path: Path, on_disk: bool | None, options: Mapping[str, Any]) -> list[PictureDataset] | None:
    """Return the pictures of a path that stay on disk, one data set or a training and a test part; else None.

    They stay there if the path is an archive or a list, if `on_disk` says so, if an option is given that applies only
    to pictures on disk, or if they would take more than 1 GiB as float32. Options that are None keep their default.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not holds_pictures(path):
        if on_disk or any(name in given for name in ON_DISK_ONLY):
            raise ConfigError(f"{path.name} holds no pictures; on_disk= and {', '.join(ON_DISK_ONLY)} are for pictures")
        return None
    always = is_picture_store(path) or (path / "train.lst").is_file() or any(name in given for name in ON_DISK_ONLY)
    if on_disk is False and always:
        raise ConfigError(
            f"{path.name}: on_disk=False takes a folder of class folders and none of {', '.join(ON_DISK_ONLY)}"
        )
    if on_disk is False:
        return None
    try:
        train, test = find_pictures(path)
        whole = PictureDataset(train, **given, name=path.stem if test is None else f"{path.name}-train")
    except DataError:
        if on_disk or always:
            raise
        return None  # the reader of small folders reports the problem
    needed = 4 * (len(train) + (0 if test is None else len(test))) * whole.channels * whole.size[0] * whole.size[1]
    if not (on_disk or always) and needed <= ON_DISK_BYTES:
        return None
    if test is None:
        return [whole]
    same = {**given, "size": whole.size, "channels": whole.channels}
    return [whole, PictureDataset(test, **same, name=f"{path.name}-test")]
