"""The folders of data sets: the bundled ones are inside the package, the others in the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from threegen.datasets.catalogue import KnownData, KnownFile
from threegen.errors import ConfigError, DataError

Root = str | os.PathLike[str] | None

_BUNDLED = Path(__file__).parent / "bundled"


def data_root(root: Root = None) -> Path:
    """Return the user's data folder: `root`, else the variable THREEGEN_DATA, else the system's cache folder."""
    chosen = root if root is not None else os.environ.get("THREEGEN_DATA") or None
    if chosen is not None:
        folder = Path(chosen).expanduser()
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"the data folder {folder} is a file; give a folder as root= or in THREEGEN_DATA")
        return folder
    import pooch

    return Path(pooch.os_cache("threegen"))


def find_file(folder: Path, known: KnownFile) -> Path | None:
    """Return the path of a file in `folder`, as it is or gzip-compressed, or None."""
    for name in (known.name, known.name + ".gz"):
        if (folder / name).is_file():
            return folder / name
    return None


def find_folder(known: KnownData, root: Root = None) -> Path | None:
    """Return the folder that holds a data set, or None if no file of it is there.

    Bundled data are read from the package, unless `root` names a folder that has the files. What a package of the
    system installed is taken where no folder of the user has the data and `root` names none.
    """
    inside = _BUNDLED / known.name
    bundled = known.bundled and all(find_file(inside, file) for file in known.files)
    if bundled and root is None:
        return inside
    folder = data_root(root) / known.name
    if any(find_file(folder, file) for file in known.files):
        return folder
    if bundled:
        return inside
    installed = Path(known.installed) if known.installed and root is None else None
    return installed if installed and any(find_file(installed, file) for file in known.files) else None


def require_files(known: KnownData, root: Root = None) -> list[Path]:
    """Return the paths of all files of a data set; otherwise raise `DataError` that says how to get them."""
    folder = find_folder(known, root)
    if folder is None:
        raise DataError(f"{known.name} is not in {data_root(root)}; {how_to_get(known)}")
    paths = [find_file(folder, file) for file in known.files]
    missing = [file.name for file, path in zip(known.files, paths, strict=True) if path is None]
    if missing:
        raise DataError(f"{known.name}: {', '.join(missing)} missing in {folder}; {how_to_get(known)}")
    return [path for path in paths if path is not None]


def how_to_get(known: KnownData) -> str:
    """Return the advice that ends a message about absent data."""
    return (
        f"fetch it with `threegen data get {known.name}`, "
        f"or import files that you have with `threegen data import {known.name} PATH`"
    )
