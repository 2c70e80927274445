"""Published event data as data sets: `load_data("n-mnist", root=...)`, read lazily from a cache on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_number
from threegen.datasets.dataset import Data
from threegen.datasets.events.cache import PARTS, Store, read_about, write_store
from threegen.datasets.events.frames import to_frames
from threegen.datasets.events.known import EVENT_SETS, KnownEvents
from threegen.datasets.events.read import read_events
from threegen.datasets.events.stream import Events
from threegen.datasets.folders import Root, data_root
from threegen.datasets.lazy import LazyDataset
from threegen.datasets.store import staged_folder
from threegen.errors import ConfigError, DataError, warn_user
from threegen.randomness import make_generator


@dataclass(frozen=True)
class FrameOptions:
    """The options for frames `[T, 2, H, W]` of recordings; see `to_frames`."""

    steps: int | tuple[float, ...]
    milliseconds: float | None = None
    by: str = "time"
    binary: bool = False

    def frames(self, events: Events) -> Tensor:
        """Return the frames of a recording, float32 `[T, 2, H, W]`."""
        steps = self.steps if isinstance(self.steps, int) else list(self.steps)
        return to_frames(events, steps, by=self.by, milliseconds=self.milliseconds, binary=self.binary)


class EventDataset(LazyDataset):
    """Recordings as frames `[T, 2, H, W]`, computed when a batch is read; `recording(n)` returns the events."""

    def __init__(
        self,
        store: Store,
        options: FrameOptions,
        classes: Sequence[str],
        name: str,
        index: Tensor | None = None,
    ) -> None:
        chosen = torch.arange(len(store)) if index is None else index
        targets = torch.from_numpy(store.labels.astype(np.int64))[chosen]
        super().__init__(chosen, targets, classes, name)
        self.store, self.options = store, options

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, `(T, 2, H, W)`."""
        steps = self.options.steps
        count = steps if isinstance(steps, int) else len(steps) - 1
        return (count, 2, self.store.height, self.store.width)

    def recording(self, number: int) -> Events:
        """Return the events of example `number`."""
        return self.store.read(int(self.index[number]))

    def fetch(self, index: Tensor) -> Tensor:
        """Return frames [B, T, 2, H, W], float32."""
        if not len(index):
            return torch.empty(0, *self.shape)
        return torch.stack([self.options.frames(self.store.read(int(number))) for number in index])

    def digest(self) -> str:
        """Return a text that is equal for equal events and frames."""
        return f"{self.store.digest()} {json.dumps(asdict(self.options))}"

    def part(self, index: Tensor, targets: Tensor | None, name: str) -> LazyDataset:
        """Return other recordings of the same store."""
        return EventDataset(self.store, self.options, self.classes, name, index)


def load_event_data(
    name: str,
    *,
    root: Root = None,
    frames: int | Sequence[float] | None = None,
    milliseconds: float | None = None,
    binary: bool = False,
    test_share: float = 0.2,
    seed: int = 0,
) -> Data:
    """Load "n-mnist", "cifar10-dvs", "dvs-gesture" or "shd" as frames; see `load_data`.

    Args:
        name: the set.
        root: the data folder into which `import_event_data` put it, or the published folder or archive itself, which is
            then converted once into a cache in the user's data folder.
        frames: how many frames per recording, or the boundaries between them in milliseconds.
        milliseconds: the time that is split into frames; each set has its default.
        binary: frames of 0 and 1 instead of counts.
        test_share, seed: the choice of the test part if the files hold none; a warning says so.

    Raises `DataError` if it is missing, damaged or incomplete.
    """
    known = EVENT_SETS[name]
    folder = find_store(known, root)
    options = frame_options(known, frames, milliseconds, binary)
    parts = [EventDataset(Store(folder, part), options, known.classes, f"{name}-{part}") for part in PARTS]
    train, test = parts
    if len(test):
        return Data(name, train, test)
    warn_user(
        f"{name} in {folder} has no test part; {test_share:.0%} of the recordings, drawn at random, form it",
    )
    share = require_number("test_share", test_share, above=0.0, below=1.0)
    order = torch.randperm(len(train), generator=make_generator("test part", seed))
    count = max(1, round(len(train) * share))
    return Data(
        name,
        train.subset(order[count:].sort().values, name=f"{name}-train"),
        train.subset(order[:count].sort().values, name=f"{name}-test"),
    )


def frame_options(
    known: KnownEvents,
    frames: int | Sequence[float] | None = None,
    milliseconds: float | None = None,
    binary: bool = False,
) -> FrameOptions:
    """Return the options for frames of a set's recordings; arguments as in `load_event_data`. Raises `ConfigError`."""
    if frames is None or isinstance(frames, int):
        steps = known.steps if frames is None else frames
        return FrameOptions(steps, known.milliseconds if milliseconds is None else milliseconds, binary=binary)
    if milliseconds is not None:
        raise ConfigError("frames= already gives the times as boundaries; leave milliseconds out")
    return FrameOptions(tuple(float(edge) for edge in frames), None, binary=binary)


def read_frames(
    path: str | os.PathLike[str],
    name: str,
    *,
    frames: int | Sequence[float] | None = None,
    milliseconds: float | None = None,
    binary: bool = False,
) -> Tensor:
    """Read one recording and return its frames `[T, 2, H, W]`, as `load_event_data` returns them for the set `name`.

    Other arguments as in `load_event_data`; errors as in `read_events`, which finds the format of the file.
    """
    known = EVENT_SETS[name]
    return frame_options(known, frames, milliseconds, binary).frames(read_events(os.fspath(path), size=known.size))


def find_store(known: KnownEvents, root: Root = None) -> Path:
    """Return the folder of a set's cache, built now if `root` is the published folder or archive.

    Raises `DataError` that says how to get the set if it is not there.
    """
    given = None if root is None else Path(root).expanduser()
    for place in (given, data_root() if given is None else given):
        for folder in (place, None if place is None else place / known.name):
            there = folder is not None and (folder / "about.json").is_file()
            if folder is not None and there and read_about(folder)["name"] == known.name:
                return folder
    if given is None or not given.exists():
        raise DataError(
            f"{known.name} is not in {data_root(root)}; import {known.files} with "
            f"`threegen data import {known.name} PATH`"
        )
    return _gathered(known, given)


def _gathered(known: KnownEvents, given: Path) -> Path:
    """Return the cache of published files, built once per path, size and modification time."""
    facts = given.stat()
    stamp = f"{given.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    key = hashlib.sha256(stamp.encode()).hexdigest()[:12]
    cache = data_root() / "event-cache"
    target = cache / f"{known.name}-{key}"
    if not (target / "about.json").is_file():
        with staged_folder(cache, target.name) as staging:
            write_store(staging, known.name, given.name, known.read([given]))
    return target


def import_event_data(
    name: str, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, root: Root = None
) -> Path:
    """Read a published set of recordings from folders or archives into the data folder; return its new folder.

    Raises `DataError` naming a damaged file; nothing is changed then.
    """
    known = EVENT_SETS[name]
    given = [path] if isinstance(path, str | os.PathLike) else list(path)
    places = [Path(item).expanduser() for item in given]
    missing = [place for place in places if not place.exists()]
    if missing:
        raise DataError(f"{missing[0]} does not exist; expected {known.files}")
    target = data_root(root)
    with staged_folder(target, known.name) as staging:
        write_store(staging, known.name, ", ".join(place.name for place in places), known.read(places))
    return target / known.name


def describe_part(data: EventDataset) -> str:
    """Return one line on a part: recordings, sensor, events, balance of the classes."""
    store, index = data.store, data.index.numpy()
    counts = np.bincount(store.labels[index], minlength=len(data.classes)) if len(index) else np.zeros(1, int)
    events = np.diff(store.offsets)[index]
    mean = f"{events.mean():,.0f} events each ({events.min():,}..{events.max():,})" if len(events) else "no events"
    return (
        f"{len(index):,} recordings of {store.height} x {store.width} pixels, {mean}, "
        f"{len(data.classes)} classes, {counts.min():,} to {counts.max():,} per class"
    )
