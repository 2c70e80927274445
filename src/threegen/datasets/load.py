"""`load_data`: a data set by its name, or the user's own from a path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threegen.checks import require_number
from threegen.datasets.catalogue import KNOWN, KnownData, find_known
from threegen.datasets.cifar10 import load_cifar10
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.events.known import EVENT_SETS
from threegen.datasets.events.recordings import load_event_data
from threegen.datasets.folders import Root
from threegen.datasets.images import has_class_folders, read_image_folder
from threegen.datasets.mnist import load_idx_data
from threegen.datasets.pictures import Size
from threegen.datasets.tables import read_csv
from threegen.errors import ConfigError, DataError

_TABLES = (".csv", ".tsv", ".txt")


def load_data(
    name: str | os.PathLike[str] = "mnist",
    *,
    root: Root = None,
    verify: bool = True,
    test_share: float = 0.2,
    seed: int = 0,
    size: Size = None,
    channels: int | None = None,
    scale: float | None = None,
    frames: int | Sequence[float] | None = None,
    milliseconds: float | None = None,
    binary: bool = False,
) -> Data:
    """Load a data set by name (`"mnist"`, `"fashion-mnist"`, `"cifar10"`), or your own from a path.

    Event data (`"n-mnist"`, `"cifar10-dvs"`, `"dvs-gesture"`, `"shd"`) come as frames `[T, 2, H, W]`, made when a batch
    is asked for: `frames` is how many, or the boundaries between them in milliseconds, `milliseconds` the time that is
    cut into them, `binary` 0 and 1 instead of counts. `root` may be the published folder or archive itself.

    Known names: MNIST is part of the package; the others are looked for in `root`, else in the folder that the
    variable THREEGEN_DATA names, else in the user's cache folder. Files are compared with their published SHA-256
    once per process; `verify=False` skips that.

    Paths: a CSV file (see `read_csv`; `scale` goes there), a folder of class folders of pictures (see
    `read_image_folder`; `size` and `channels` go there), or a folder that holds `train` and `test`, each of them such
    a folder or, as `train.csv` and `test.csv`, a table. Where there is no test part, a random `test_share` of the
    examples, drawn from `seed`, becomes one.

    Raises `ConfigError` for an unknown name, `DataError` where files are absent, damaged or not the published ones.
    """
    if isinstance(name, str) and name in KNOWN:
        return load_known(KNOWN[name], root=root, verify=verify)
    if isinstance(name, str) and name in EVENT_SETS:
        return load_event_data(
            name,
            root=root,
            frames=frames,
            milliseconds=milliseconds,
            binary=binary,
            test_share=test_share,
            seed=seed,
        )
    path = Path(name).expanduser() if isinstance(name, str | os.PathLike) and str(name) else None
    if path is None or not (path.exists() or _looks_like_path(str(name))):
        find_known(str(name))
    if path is None or not path.exists():
        known = ", ".join((*KNOWN, *EVENT_SETS))
        raise DataError(f"{name} is not there; give a CSV file, a folder of class folders, or {known}")
    options = {"size": size, "channels": channels, "scale": scale}
    pair = _find_pair(path)
    if pair is None:
        return _divide(_read(path, path.stem, options), path.stem, test_share, seed)
    return _join(_read(pair[0], f"{path.name}-train", options), _read(pair[1], f"{path.name}-test", options), path.name)


def data_source(name: str | os.PathLike[str]) -> str:
    """Return what finds the same data from any folder: a known name as it is, a path made absolute."""
    return str(name) if str(name) in KNOWN or str(name) in EVENT_SETS else str(Path(name).expanduser().resolve())


def load_known(known: KnownData, *, root: Root = None, verify: bool = True) -> Data:
    """Load an entry of the catalogue."""
    if known.kind == "cifar":
        return load_cifar10(known, root=root, verify=verify)
    return load_idx_data(known, root=root, verify=verify)


def _looks_like_path(name: str) -> bool:
    return os.sep in name or "/" in name or name.lower().endswith(_TABLES)


def _find_pair(path: Path) -> tuple[Path, Path] | None:
    """Return the training and the test part of a folder that has both."""
    for ending in ("", ".csv", ".tsv"):
        train, test = path / f"train{ending}", path / f"test{ending}"
        if train.exists() and test.exists():
            return train, test
    return None


def _read(path: Path, name: str, options: dict[str, Any]) -> Dataset:
    if not path.is_dir():
        if path.suffix.lower() not in _TABLES:
            raise DataError(f"{path.name} is no table ({', '.join(_TABLES)}) and no folder; give one of these")
        return read_csv(path, scale=options["scale"], name=name)
    if not has_class_folders(path):
        raise DataError(
            f"{path} holds no class folders with pictures; expected {path.name}/CLASS/PICTURE.png, or the folders "
            "(or tables) train and test"
        )
    return read_image_folder(path, size=options["size"], channels=options["channels"], name=name)


def _divide(whole: Dataset, name: str, test_share: float, seed: int) -> Data:
    share = require_number("test_share", test_share, above=0, below=1)
    count = max(1, round(len(whole) * share))
    if count >= len(whole):
        raise ConfigError(f"{name} has {len(whole)} examples, too few to put {share:g} of them aside as a test part")
    split = whole.holdout(count, seed)
    split.train.name, split.validation.name = f"{name}-train", f"{name}-test"
    return Data(name, split.train, split.validation)


def _join(train: Dataset, test: Dataset, name: str) -> Data:
    if train.shape != test.shape:
        raise DataError(f"{name}: training examples are {list(train.shape)}, test examples {list(test.shape)}")
    fewer, more = sorted((train.classes, test.classes), key=len)
    if more[: len(fewer)] != fewer:
        raise DataError(f"{name}: the classes differ: train has {list(train.classes)}, test has {list(test.classes)}")
    # One part may lack the last classes: the numbers of the others are still the same.
    train.classes = test.classes = more
    return Data(name, train, test)
