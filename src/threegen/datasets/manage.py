"""The data sets on this machine: list them, check one, preview one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threegen.checks import require_choice
from threegen.datasets.catalogue import KNOWN, KnownData
from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.events.known import EVENT_SETS, KnownEvents
from threegen.datasets.events.preview import preview_events
from threegen.datasets.events.recordings import EventDataset, describe_part, find_store, load_event_data
from threegen.datasets.folders import Root, data_root, find_file, find_folder, how_to_get
from threegen.datasets.gather import most_bytes, verify_content
from threegen.datasets.load import load_data, load_known
from threegen.datasets.stored_pictures import holds_pictures
from threegen.errors import ConfigError, DataError

_MOST_ROWS = 20
_PER_CLASS = 10
_SIDE = 64  # of one picture of a folder in a preview


@dataclass(frozen=True)
class DataRow:
    """One line of `list_data`; `state` is bundled, here, incomplete or absent."""

    name: str
    title: str
    state: str
    train: int
    test: int
    shape: tuple[int, ...]
    classes: int
    licence: str
    folder: str
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data for tables and JSON."""
        return {**asdict(self), "shape": list(self.shape)}


@dataclass(frozen=True)
class DataCheck:
    """The result of `check_data`: one line for each check, `ok` if all of them passed."""

    name: str
    ok: bool
    folder: str
    lines: tuple[str, ...]
    train_counts: tuple[int, ...] = ()
    test_counts: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as plain data for JSON."""
        return {
            "name": self.name,
            "ok": self.ok,
            "folder": self.folder,
            "lines": list(self.lines),
            "train_counts": list(self.train_counts),
            "test_counts": list(self.test_counts),
        }

    def __str__(self) -> str:
        return "\n".join((*self.lines, f"{self.name}: {'all right' if self.ok else 'NOT all right'}"))


def list_data(*, root: Root = None) -> list[DataRow]:
    """Return one row for each data set known by name, with its location or how to get it. Opens no file."""
    return [_row(known, root) for known in KNOWN.values()] + [_event_row(known, root) for known in EVENT_SETS.values()]


def _event_row(known: KnownEvents, root: Root) -> DataRow:
    advice = f"import {known.files} with `threegen data import {known.name} PATH`"
    try:
        place, state = find_store(known, root), "here"
    except DataError:
        place, state = data_root(root) / known.name, "absent"
    return DataRow(
        name=known.name,
        title=known.title,
        state=state,
        train=known.train,
        test=known.test,
        shape=(2, *known.size),
        classes=len(known.classes),
        licence=known.licence,
        folder=str(place),
        advice=advice if state == "absent" else "",
    )


def _row(known: KnownData, root: Root) -> DataRow:
    folder = find_folder(known, root)
    if folder is None:
        state, place = "absent", data_root(root) / known.name
    else:
        place = folder
        whole = all(find_file(folder, file) for file in known.files)
        inside = known.bundled and folder.is_relative_to(Path(__file__).parent)
        state = "bundled" if whole and inside else "here" if whole else "incomplete"
    return DataRow(
        name=known.name,
        title=known.title,
        state=state,
        train=known.train,
        test=known.test,
        shape=known.shape,
        classes=len(known.classes),
        licence=known.licence,
        folder=str(place),
        advice="" if state in ("bundled", "here") else how_to_get(known),
    )


def check_data(name: str | os.PathLike[str], *, root: Root = None) -> DataCheck:
    """Read every file of a data set again and check it: sums, counts, label range and the balance of the classes.

    name: a known name, or a path as `load_data` takes it. Damage is reported in the lines, not raised; an unknown name
    raises `ConfigError`.
    """
    if isinstance(name, str) and name in EVENT_SETS:
        return _check_events(EVENT_SETS[name], root)
    if not (isinstance(name, str) and name in KNOWN):
        return _check_own(load_data(name), str(name))
    known = KNOWN[name]
    folder = find_folder(known, root)
    if folder is None:
        return DataCheck(name, False, "", (f"absent from {data_root(root)}; {how_to_get(known)}",))
    lines, ok = _check_files(known, folder)
    if not ok:
        return DataCheck(name, False, str(folder), tuple(lines))
    try:
        data = load_known(known, root=root, verify=False)
    except DataError as error:
        return DataCheck(name, False, str(folder), (*lines, str(error)))
    expected = {"train": known.train, "test": known.test}
    for part, split in (("train", data.train), ("test", data.test)):
        right = len(split) == expected[part] and split.shape == known.shape
        ok = ok and right
        lines.append(f"{part}: {_describe(split)}" + ("" if right else f"; expected {expected[part]:,}"))
    return DataCheck(name, ok, str(folder), tuple(lines), _counts(data.train), _counts(data.test))


def _check_events(known: KnownEvents, root: Root) -> DataCheck:
    try:
        folder = find_store(known, root)
        data = load_event_data(known.name, root=root)
    except DataError as error:
        return DataCheck(known.name, False, "", (str(error),))
    lines, ok = [], True
    for part, split, expected in (("train", data.train, known.train), ("test", data.test, known.test)):
        if not isinstance(split, EventDataset):
            continue
        whole = len(split) == expected
        ok = ok and (split.store.height, split.store.width) == known.size
        lines.append(f"{part}: {describe_part(split)}" + ("" if whole else f"; the published set has {expected:,}"))
    return DataCheck(known.name, ok, str(folder), tuple(lines), _counts(data.train), _counts(data.test))


def _check_files(known: KnownData, folder: Path) -> tuple[list[str], bool]:
    lines, ok = [], True
    for file in known.files:
        path = find_file(folder, file)
        try:
            if path is None:
                raise DataError(f"{file.name}: missing; {how_to_get(known)}")
            with path.open("rb") as opened:
                content = opened.read(most_bytes(file) + 1)
            verify_content(known, file, content)
            lines.append(f"{path.name}: sha256 of the content is the published one ({file.sha256[:8]}..)")
        except OSError as error:
            ok = False
            lines.append(f"{file.name}: cannot be read: {error.strerror or error}")
        except DataError as error:
            ok = False
            lines.append(str(error))
    return lines, ok


def _check_own(data: Data, name: str) -> DataCheck:
    lines = [f"train: {_describe(data.train)}", f"test: {_describe(data.test)}"]
    train, test = _counts(data.train), _counts(data.test)
    empty = [data.classes[k] for k, count in enumerate(train) if count == 0]
    if empty:
        lines.append(f"no training example of the classes {', '.join(empty)}")
    return DataCheck(data.name, not empty, name, tuple(lines), train, test)


def _counts(split: Dataset) -> tuple[int, ...]:
    if split.targets is None:
        return ()
    return tuple(int(count) for count in torch.bincount(split.targets, minlength=len(split.classes)))


def _describe(split: Dataset) -> str:
    counts = _counts(split)
    low, high = (float(bound) for bound in torch.aminmax(split.inputs))
    balance = f"{min(counts):,} to {max(counts):,} per class" if counts else "no labels"
    shape = " x ".join(str(side) for side in split.shape)
    return f"{len(split):,} examples of {shape}, values {low:g}..{high:g}, {len(counts)} classes, {balance}"


def preview_data(
    name: str | os.PathLike[str] = "mnist",
    out: str | os.PathLike[str] | None = None,
    *,
    root: Root = None,
    split: str = "train",
) -> Path:
    """Draw the first ten pictures of each class (a hundred, for ten classes) into a PNG file; return its path.

    For recordings, ON and OFF events are drawn in two colours, and an animation of one per class is written next to it
    (GIF).

    name: a known name, or a path as `load_data` takes it. out: by default `NAME-preview.png` in the current folder.
    Of more than twenty classes the first twenty are drawn. Raises `ConfigError` if examples are not pictures.
    """
    require_choice("split", split, ("train", "test"))
    stored = stored_preview(Path(name).expanduser()) if str(name) not in KNOWN else None
    data = load_data(name, root=root) if stored is None else stored
    part = data.train if split == "train" else data.test
    if isinstance(part, EventDataset):
        return _write(data.name, out, lambda target: preview_events(part, target)[0])
    if len(part.shape) != 3 or part.shape[0] not in (1, 3) or part.targets is None:
        raise ConfigError(f"{data.name} holds examples of shape {list(part.shape)}; only labelled pictures are drawn")
    return _write(data.name, out, lambda target: _draw(part, target))


def stored_preview(path: Path) -> Data | None:
    """Return the pictures of a path, scaled down and read when they are drawn; None for other data."""
    if not holds_pictures(path):
        return None
    return load_data(path, on_disk=True, size=_SIDE, margin=0, on_error="skip", workers=0)


def _write(name: str, out: str | os.PathLike[str] | None, draw: Callable[[Path], object]) -> Path:
    target = Path(out) if out is not None else Path(f"{name}-preview.png")
    if target.suffix.lower() != ".png":  # otherwise any file could be overwritten
        raise ConfigError(f"the preview is a .png file, got {target.name!r}; name it .png")
    try:
        draw(target)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror or error}; choose another place") from error
    return target


def _draw(part: Dataset, target: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = part.classes[:_MOST_ROWS]
    sheet = _sheet(part, len(names))
    height, width = (side + 2 for side in part.shape[1:])
    figure = Figure(
        figsize=(8.0, 0.4 + 6.8 * height * len(names) / (width * _PER_CLASS)), dpi=100, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.imshow(sheet[:, :, 0] if sheet.shape[2] == 1 else sheet, cmap="gray", vmin=0, vmax=1, aspect="equal")
    axis.set_xticks([])
    axis.set_yticks([height * (row + 0.5) for row in range(len(names))], labels=names)
    axis.tick_params(length=0)
    axis.set_frame_on(False)
    axis.set_title(f"{part.name}: {len(part):,} examples", fontsize=10)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="png")


def _sheet(part: Dataset, rows: int) -> np.ndarray[Any, Any]:
    """Return one picture `[H, W, C]` of all drawn examples, one class per row, white between them."""
    targets = part.targets if part.targets is not None else torch.zeros(len(part), dtype=torch.int64)
    channels, height, width = part.shape
    sheet = torch.ones(rows * (height + 2), _PER_CLASS * (width + 2), channels)
    for row in range(rows):
        members = (targets == row).nonzero().flatten()[:_PER_CLASS].tolist()
        for column, member in enumerate(members):
            top, left = row * (height + 2) + 1, column * (width + 2) + 1
            picture = part[member][0].cpu().clamp(0, 1).permute(1, 2, 0)
            sheet[top : top + height, left : left + width] = picture
    return sheet.numpy()
