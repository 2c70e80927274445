"""Readers hold the array that they return and a chunk at a time, whatever the length of the file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.events import aedat3, stream
from threegen.datasets.events.aedat2 import read_aedat2, write_aedat2
from threegen.datasets.events.aedat3 import read_aedat3, write_aedat3
from threegen.datasets.events.bin40 import read_bin, write_bin
from threegen.datasets.events.evt import read_evt
from threegen.datasets.events.prophesee import read_dat
from threegen.datasets.events.stream import EVENT, Events

COUNT, SIDE = 400_000, 34


def some_events() -> Events:
    random = np.random.default_rng(0)
    array = np.empty(COUNT, EVENT)
    array["t"] = np.arange(COUNT)
    array["x"], array["y"] = random.integers(0, SIDE, (2, COUNT))
    array["p"] = random.integers(0, 2, COUNT)
    return Events(array, SIDE, SIDE)


def write_dat(path: Path, events: Events) -> None:
    words = np.empty((COUNT, 2), "<u4")
    words[:, 0] = events.t
    words[:, 1] = events.x | events.y.astype("<u4") << 14 | events.p.astype("<u4") << 28
    path.write_bytes(b"% Version 2\n% Width 34\n% Height 34\n" + bytes([0x0C, 8]) + words.tobytes())


def write_evt2(path: Path, events: Events) -> None:
    """A time of 0 to 63 microseconds in each word, the rest of it in a word of its own before each 64."""
    words = events.p.astype("<u4") << 28 | (events.t % 64).astype("<u4") << 22 | events.x.astype("<u4") << 11 | events.y
    highs = (8 << 28 | np.arange(COUNT // 64)).astype("<u4")
    mixed = np.concatenate([highs[:, None], words.reshape(-1, 64)], 1)
    path.write_bytes(b"% evt 2.0\n% geometry 34x34\n% end\n" + mixed.astype("<u4").tobytes())


@pytest.mark.parametrize(
    ("read", "write", "ending"),
    [
        (read_bin, write_bin, "bin"),
        (read_aedat2, write_aedat2, "aedat"),
        (read_aedat3, write_aedat3, "aedat"),
        (read_dat, write_dat, "dat"),
        (read_evt, write_evt2, "raw"),
    ],
)
def test_a_chunk_at_a_time(
    read: Callable[..., Events],
    write: Callable[[Path, Events], None],
    ending: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"one.{ending}"
    events = some_events()
    write(path, events)
    monkeypatch.setattr(stream, "CHUNK", 1 << 12)
    monkeypatch.setattr(aedat3, "_GROUP", 1 << 15)  # bytes of packets decoded at a time
    read(path)  # imports and caches are not the file's
    tracemalloc.start()
    found = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == COUNT
    assert np.array_equal(found.t, events.t)
    assert peak < 1.3 * found.array.nbytes + (2 << 20)
