"""`load_data`: a data set by its name, or the user's own from a path."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from threegen.datasets.parts import divide, is_test_name
from threegen.datasets.picture_dataset import PictureDataset
from threegen.datasets.picture_files import is_picture_store
from threegen.datasets.pictures import Size
from threegen.datasets.stored_pictures import PICTURE_OPTIONS, stored_pictures
from threegen.datasets.tables import Label, Table, class_names, read_npz, read_table, scale_of, to_dataset
from threegen.errors import ConfigError, DataError

_TABLES = (".csv", ".tsv", ".txt", ".npz")


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
    label: Label = None,
    frames: int | Sequence[float] | None = None,
    milliseconds: float | None = None,
    binary: bool = False,
    on_disk: bool | None = None,
    margin: int | None = None,
    on_error: str | None = None,
    workers: int | None = None,
    time_limit: float | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Data:
    """Load a data set by name (`"mnist"`, `"fashion-mnist"`, `"cifar10"`), or your own from a path.

    Event data (`"n-mnist"`, `"cifar10-dvs"`, `"dvs-gesture"`, `"shd"`) come as frames `[T, 2, H, W]`, computed when a
    batch is read: `frames` is their number, or the boundaries between them in milliseconds, `milliseconds` the time
    that is split into them, `binary` gives 0 and 1 instead of counts. `root` may be the published folder or archive
    itself.

    Known names: MNIST is part of the package; the others are searched in `root`, else in the folder given by the
    variable THREEGEN_DATA, else in the user's cache folder; Fashion-MNIST also where Debian's package
    dataset-fashion-mnist puts it. Files are compared with their published SHA-256 once per process; `verify=False`
    skips that.

    Paths: a CSV file (see `read_csv`; `label` and `scale` go there), a `.npz` of arrays x and y, a folder of class
    folders of pictures (see `read_image_folder`; `size` and `channels` go there), or a folder that holds `train` and
    `test`, each of them such a folder or, as `train.csv` and `test.csv`, a table. All parts get one scale and one list
    of classes. If there is no test part, `test_share` of the examples become one: each by a hash of its content and
    `seed`, so that adding examples moves no other, and equal examples are in the same part.

    Pictures that take more than 1 GiB as float32 stay on disk and are decoded by worker processes; so do archives
    (.zip, .tar) and lists (.lst: lines of path and class) of pictures. `on_disk=True`, or one of the options `margin`,
    `on_error`, `workers`, `time_limit` and `cache` (see `PictureDataset`), does the same for a small folder. If they
    have no test part, it is chosen by a hash of the files' names.

    Raises `ConfigError` for an unknown name, `DataError` if files are absent, damaged or not the published ones.
    """
    options = {"size": size, "channels": channels}
    stored = {"margin": margin, "on_error": on_error, "workers": workers, "time_limit": time_limit, "cache": cache}
    given = {**options, "scale": scale, "label": label, "on_disk": on_disk, **stored}
    if isinstance(name, str) and (name in KNOWN or name in EVENT_SETS):
        _refuse_unused(name, "is a known data set", given)
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
        raise DataError(f"{name} does not exist; give a CSV file, a folder of class folders, or {known}")
    kept = stored_pictures(path, on_disk, {**options, **stored})
    if kept is not None:
        _refuse_unused(path.name, "holds pictures", {"scale": scale, "label": label})
        return _join_stored(kept, path, require_number("test_share", test_share, above=0, below=1), seed)
    tables = _tables(path, label)
    if tables:
        _refuse_unused(path.name, "is a table", options)
        return _from_tables(tables, path, scale, require_number("test_share", test_share, above=0, below=1), seed)
    _refuse_unused(path.name, "holds pictures", {"scale": scale, "label": label})
    pair = _find_pair(path)
    if pair is None:
        share = require_number("test_share", test_share, above=0, below=1)
        return divide(_read(path, path.stem, options), path.stem, share, seed)
    return _join(_read(pair[0], f"{path.name}-train", options), _read(pair[1], f"{path.name}-test", options), path.name)


def _refuse_unused(name: str, kind: str, options: Mapping[str, Any]) -> None:
    """Raise for options that do not apply to data of this kind: they would be dropped silently."""
    given = [f"{option}=" for option, value in options.items() if value is not None]
    if given:
        uses = "scale= and label= are for tables, the others for folders of pictures"
        raise ConfigError(f"{name} {kind}, which has no {', '.join(given)} ({uses}); leave it out")


def _join_stored(parts: list[PictureDataset], path: Path, share: float, seed: int) -> Data:
    """Return pictures on disk as a data set of two parts."""
    if len(parts) == 2:
        return _join(parts[0], parts[1], path.stem)
    return divide(parts[0], path.stem, share, seed, is_test_name(parts[0].files.names, share, seed))


def load_examples(
    name: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    scale: float | None = None,
    label: Label = None,
    **options: Any,
) -> Dataset:
    """Load the examples for a test: the test part of a known name or of a pair, else all examples of a path.

    `classes` are the names that text labels must have; other arguments and errors as in `load_data`.
    """
    path = Path(name).expanduser()
    known = isinstance(name, str) and (name in KNOWN or name in EVENT_SETS)
    if known or not path.exists():
        rest = {option: value for option, value in options.items() if option not in ("on_disk", *PICTURE_OPTIONS)}
        return load_data(name, **rest).test
    pictures = {option: value for option, value in options.items() if option in PICTURE_OPTIONS}
    kept = stored_pictures(path, options.get("on_disk"), pictures)
    if kept is not None:
        return kept[-1]
    tables = _tables(path, label)
    if tables:
        last = tables[-1]
        return to_dataset(last, scale_of([last], scale), classes=classes if last.texts else None, name=path.stem)
    if _find_pair(path) is not None:
        return load_data(name, **options).test
    return _read(path, path.stem, {"size": options.get("size"), "channels": options.get("channels")})


def table_scale(name: str | os.PathLike[str], label: Label = None) -> float | None:
    """Return the divisor of a table's values in `load_data`; None for data that are not a table."""
    path = Path(name).expanduser()
    if not path.exists() or is_picture_store(path):
        return None
    tables = _tables(path, label)
    return scale_of(tables, None) if tables else None


def data_source(name: str | os.PathLike[str]) -> str:
    """Return a name of the data that is valid in any folder: a known name as it is, a path made absolute."""
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


def _tables(path: Path, label: Label) -> list[Table]:
    """Return the tables of a path: one, or a training and a test part; none for pictures."""
    if path.is_dir():
        pair = _find_pair(path)
        return [read_table(file, label=label) for file in pair] if pair is not None and pair[0].is_file() else []
    ending = path.suffix.lower()
    if ending not in _TABLES:
        raise DataError(f"{path.name} is not a table ({', '.join(_TABLES)}) or a folder; give one of these")
    if ending != ".npz":
        return [read_table(path, label=label)]
    return [table for table in read_npz(path) if table is not None]


def _from_tables(tables: list[Table], path: Path, scale: float | None, share: float, seed: int) -> Data:
    """Return one data set of one or two tables: one scale and one list of classes."""
    name, divisor = path.stem, scale_of(tables, scale)
    texts = {table.texts for table in tables}
    if len(texts) > 1:
        raise DataError(f"{name}: the labels of one part are texts, those of the other numbers; give them one kind")
    classes: list[str] | None = class_names(tables) if texts == {True} else None
    if len(tables) == 1:
        return divide(to_dataset(tables[0], divisor, classes=classes, name=name), name, share, seed)
    sets = [
        to_dataset(table, divisor, classes=classes, name=f"{path.name}-{part}")
        for table, part in zip(tables, ("train", "test"), strict=True)
    ]
    return _join(sets[0], sets[1], path.name)


def _read(path: Path, name: str, options: dict[str, Any]) -> Dataset:
    if not has_class_folders(path):
        raise DataError(
            f"{path} holds no class folders with pictures; expected {path.name}/CLASS/PICTURE.png, or the folders "
            "(or tables) train and test"
        )
    return read_image_folder(path, size=options["size"], channels=options["channels"], name=name)


def _join(train: Dataset, test: Dataset, name: str) -> Data:
    if train.shape != test.shape:
        raise DataError(f"{name}: training examples are {list(train.shape)}, test examples {list(test.shape)}")
    fewer, more = sorted((train.classes, test.classes), key=len)
    if more[: len(fewer)] != fewer:
        raise DataError(f"{name}: the classes differ: train has {list(train.classes)}, test has {list(test.classes)}")
    # One part may lack the last classes: the numbers of the others are still the same.
    train.classes = test.classes = more
    return Data(name, train, test)
