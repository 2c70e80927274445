"""AEDAT 4 against files that iniVation's own library wrote (`scripts/aedat4_fixtures.py`, dv-processing 2.0.4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.events.aedat4 import read_aedat4
from threegen.datasets.events.read import read_events
from threegen.errors import DataError

FILES = Path(__file__).parents[2] / "fixtures" / "aedat4"
PLAIN = (FILES / "events_none.aedat4").read_bytes()


def drawn() -> np.ndarray:
    """The events [300, 4] (t, x, y, p) that the script wrote."""
    n = np.arange(300)
    return np.stack([1_700_000_000_000_000 + 37 * n + n % 5, 7 * n % 40, 11 * n % 34, (n // 3) % 2], 1)


@pytest.mark.parametrize("file", sorted(FILES.glob("*.aedat4")), ids=lambda file: file.stem)
def test_every_compression_and_other_streams(file: Path) -> None:
    found = read_events(file)
    assert (found.height, found.width) == (34, 40)
    assert found.notes == ()
    for column, field in enumerate("txyp"):
        assert found.array[field].tolist() == drawn()[:, column].tolist()
    again = read_aedat4(file.read_bytes(), start_at_zero=True)
    assert again.t.tolist() == (drawn()[:, 0] - drawn()[0, 0]).tolist()


def test_a_recording_that_was_broken_off() -> None:
    """The table's place lies behind the end then, and the last packet may be cut short."""
    with pytest.warns(UserWarning, match="truncated and was left out"):
        found = read_aedat4(PLAIN[:-3000])
    assert 0 < len(found) < 300
    assert found.t.tolist() == drawn()[: len(found), 0].tolist()


def test_streams_by_number() -> None:
    assert len(read_aedat4(FILES / "davis.aedat4", stream=0)) == 300
    with pytest.raises(DataError, match=r"streams of events \[0\]; choose one of them with stream="):
        read_aedat4(FILES / "davis.aedat4", stream=1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"#!AER-DAT3.1\r\n", "use read_events"),
        (PLAIN[:14] + b"\xff\xff\xff\x7f" + PLAIN[18:], "its header would take 2,147,483,647"),
        (PLAIN.replace(b"IOHE", b"HEIO"), "expected IOHE, found b'HEIO'"),
        (PLAIN.replace(b"</dv>", b"</vd>"), "its list of streams cannot be read"),
        (PLAIN.replace(b"EVTS\0", b"FRME\0"), "expected EVTS, found b'FRME'"),
        (PLAIN.replace(b'"sizeX" type="int">40', b'"sizeX" type="int">4x'), "cannot be read"),
    ],
    ids=["version", "header", "identifier", "xml", "packet", "size"],
)
def test_damage_is_named_with_its_place(content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_aedat4(content)


def test_a_packet_that_does_not_decompress() -> None:
    content = (FILES / "events_zstd.aedat4").read_bytes()
    at = content.index(b"\x28\xb5\x2f\xfd")  # zstd's mark, at the start of the first packet
    with pytest.raises(DataError, match=f"damaged at byte {at - 8:,}: a packet cannot be decompressed"):
        read_aedat4(content[: at + 1] + b"\0" + content[at + 2 :])
