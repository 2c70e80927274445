"""`read_events`: read a recording of any format, recognised from its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from threegen.datasets.events.aedat2 import read_aedat2
from threegen.datasets.events.aedat3 import read_aedat3
from threegen.datasets.events.aedat4 import read_aedat4
from threegen.datasets.events.bin40 import read_bin
from threegen.datasets.events.evt import read_evt
from threegen.datasets.events.prophesee import read_dat
from threegen.datasets.events.stream import Events, Source, opened
from threegen.errors import DataError

BY_ENDING: dict[str, Callable[..., Events]] = {
    ".bin": read_bin,
    ".bs2": read_bin,
    ".dat": read_dat,
    ".raw": read_evt,
    ".aedat4": read_aedat4,
}


def read_events(source: Source, **options: Any) -> Events:
    """Read a recording: N-MNIST `.bin`, AEDAT 1 to 4, Prophesee `.dat` or `.raw`.

    AEDAT files are recognised by their first line, the others by their ending. `options` go to the reader of the
    format: `size`, `start_at_zero`, `repair`, `orientation`, ... Raises `DataError` for an unknown kind of file.
    """
    with opened(source) as (file, _, label):
        start = file.read(16)
    if start.startswith(b"#!AER-DAT"):
        reader = {b"1": read_aedat2, b"2": read_aedat2, b"3": read_aedat3, b"4": read_aedat4}.get(start[9:10])
        if reader is None:
            raise DataError(f"{label} is AEDAT of version {start[9:12]!r}; versions 1 to 4 are read")
        return reader(source, **options)
    if isinstance(source, bytes):
        raise DataError("the format of bytes that are not AEDAT is unknown; call read_bin, read_dat or read_evt")
    found = BY_ENDING.get(Path(source).suffix.lower())
    if found is None:
        known = ", ".join((*BY_ENDING, ".aedat"))
        raise DataError(f"{label} has an unknown ending for a recording; expected {known}")
    return found(source, **options)
