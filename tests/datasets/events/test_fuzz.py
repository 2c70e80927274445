"""Mutated files of every format are read or refused by our own error; nothing else happens.

THREEGEN_FUZZ sets the number of mutations per format.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.datasets.events import writers

from threegen.datasets.events.aedat2 import read_aedat2
from threegen.datasets.events.aedat3 import read_aedat3
from threegen.datasets.events.aedat4 import read_aedat4
from threegen.datasets.events.bin40 import read_bin
from threegen.datasets.events.evt import read_evt
from threegen.datasets.events.prophesee import read_dat
from threegen.datasets.events.stream import Events
from threegen.errors import ThreegenError

AEDAT4 = Path(__file__).parents[2] / "fixtures" / "aedat4"
EVENTS = [(37 * n, n % 30, (3 * n) % 30, n % 2) for n in range(40)]
FILES: dict[str, tuple[bytes, Callable[..., Events]]] = {
    "bin": (writers.bin40(EVENTS), read_bin),
    "aedat2": (writers.aedat2_dvs128(EVENTS), read_aedat2),
    "aedat3": (
        writers.AEDAT3_HEADER + writers.aedat3_packet(EVENTS[:20]) + writers.aedat3_packet(EVENTS[20:]),
        read_aedat3,
    ),
    **{f"aedat4-{file.stem}": (file.read_bytes(), read_aedat4) for file in sorted(AEDAT4.glob("*.aedat4"))},
    "dat": (writers.dat(EVENTS), read_dat),
    "evt2": (writers.evt2(EVENTS), read_evt),
    "evt3": (writers.evt3(EVENTS), read_evt),
}


def mutated(content: bytes, source: random.Random) -> bytes:
    """Bytes changed, cut, doubled or put in, a few at a time."""
    out = bytearray(content)
    for _ in range(source.randrange(1, 6)):
        at = source.randrange(len(out) + 1)
        kind = source.randrange(4)
        if kind == 0 and at < len(out):
            out[at] = source.choice([0, 255, 35, 37, source.randrange(256)])
        elif kind == 1:
            del out[at : at + source.randrange(1, 40)]
        elif kind == 2:
            out[at:at] = out[at : at + source.randrange(1, 20)]
        else:
            out[at:at] = bytes(source.randrange(256) for _ in range(source.randrange(1, 9)))
    return bytes(out)


@pytest.mark.parametrize("kind", FILES)
def test_mutations_are_read_or_refused(kind: str) -> None:
    content, read = FILES[kind]
    source = random.Random(kind)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(int(os.environ.get("THREEGEN_FUZZ", "300"))):
            try:
                found = read(mutated(content, source), repair=source.random() < 0.5)
            except ThreegenError:
                refused += 1
                continue
            assert len(found) < 40_000
            if len(found):
                assert int(found.x.max()) < found.width
                assert int(found.y.max()) < found.height
    assert refused > 0
