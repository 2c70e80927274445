"""Each reader against files that the tests write themselves, event by event (`writers.py`)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.datasets.events import writers

from threegen.datasets.events.aedat2 import read_aedat2, write_aedat2
from threegen.datasets.events.aedat3 import cut_gesture, read_aedat3, read_gestures, write_aedat3
from threegen.datasets.events.bin40 import read_bin, write_bin
from threegen.datasets.events.evt import read_evt
from threegen.datasets.events.prophesee import read_dat
from threegen.datasets.events.read import read_events
from threegen.datasets.events.stream import Events, make_events
from threegen.errors import ConfigError, DataError


def some_events(
    count: int, width: int, height: int, *, step: int = 700, start: int = 0, seed: int = 0
) -> list[writers.Event]:
    """Random events in the order of time, some at the same time."""
    source, t, found = random.Random(seed), start, []
    for _ in range(count):
        t += source.choice([0, 1, source.randrange(step)])
        found.append((t, source.randrange(width), source.randrange(height), source.randrange(2)))
    return found


def as_events(events: list[writers.Event], height: int, width: int) -> Events:
    t, x, y, p = (np.array(column) for column in zip(*events, strict=True))
    return make_events(t, x, y, p, height=height, width=width)


FORMATS: dict[str, tuple[Callable[..., bytes], Callable[..., Events], int, int]] = {
    "bin": (writers.bin40, read_bin, 34, 34),
    "aedat1": (writers.aedat1_dvs128, read_aedat2, 128, 128),
    "aedat2": (writers.aedat2_dvs128, read_aedat2, 128, 128),
    "aedat3": (lambda events: writers.AEDAT3_HEADER + writers.aedat3_packet(events), read_aedat3, 128, 128),
    "dat": (writers.dat, read_dat, 304, 240),
    "evt2": (writers.evt2, read_evt, 64, 48),
    "evt3": (writers.evt3, read_evt, 64, 48),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_event_is_read(kind: str) -> None:
    write, read, width, height = FORMATS[kind]
    events = some_events(2000, width, height, start=123)
    found = read(write(events))
    assert writers.as_tuples(found.array) == events
    assert (found.height, found.width) == (height, width)
    assert found.notes == ()
    shifted = read(write(events), start_at_zero=True)
    assert shifted.t.tolist() == [t - events[0][0] for t, _, _, _ in events]


@pytest.mark.parametrize("kind", FORMATS)
def test_chunks_do_not_show(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds from word to word must hold across the pieces in which a file is decoded, too."""
    write, read, width, height = FORMATS[kind]
    events = some_events(300, width, height, step=9000)
    monkeypatch.setattr("threegen.datasets.events.stream.CHUNK", 7)
    assert writers.as_tuples(read(write(events)).array) == events


@pytest.mark.parametrize(
    ("kind", "wrap"), [("bin", 1 << 23), ("aedat2", 1 << 32), ("dat", 1 << 32), ("evt2", 1 << 34), ("evt3", 1 << 24)]
)
def test_times_go_on_behind_a_wrap(kind: str, wrap: int) -> None:
    """Three events round each overflow of the counter; the file's first lap is lost, the steps are not."""
    write, read, _, _ = FORMATS[kind]
    events = [(lap * wrap + d, 1, 2, 1) for lap in (1, 2, 3) for d in (-5, 0, 9, wrap // 3, 2 * wrap // 3)]
    found = read(write(events))
    expected = np.diff([t for t, _, _, _ in events])
    assert np.diff(found.t).tolist() == expected.tolist()


def test_bin_overflow_marker_and_hand_written_bytes() -> None:
    """x = 3, y = 4, ON, t = 1 * 65536 + 2 * 256 + 5; a marker of 8192 us; x = 33, y = 0, OFF, t = 10 + 8192."""
    two = bytes([3, 4, 0x81, 2, 5, 0, 240, 0, 0, 0, 33, 0, 2, 0, 10])
    assert writers.as_tuples(read_bin(two).array) == [(66053, 3, 4, 1), (131082 + 8192, 33, 0, 0)]


def test_aedat2_headers_with_any_text_and_none() -> None:
    """Dates, XML and a header without a version; a first event whose bytes begin like a header line stays an event."""
    events = some_events(50, 128, 128)
    header = (
        b"#!AER-DAT2.0\r\n# Creation time: 14:02:31 Thu Jan 3 2013\r\n#Start of Preferences\r\n"
        b'#<entry key="a" value="1"/>\r\n#End of Preferences\r\n'
    )
    assert writers.as_tuples(read_aedat2(writers.aedat2_dvs128(events, header)).array) == events
    # 0x23 is "#": column 127 - 0x23 in the upper byte of a 16-bit address
    like_a_line = [(0x0D0A, 127 - 0x23, 5, 1), *events[1:]]
    shifted = [(t + 70_000 if n else t, x, y, p) for n, (t, x, y, p) in enumerate(like_a_line)]
    assert writers.as_tuples(read_aedat2(writers.aedat1_dvs128(shifted)).array) == shifted


def test_aedat2_orientation_and_polarity_are_named() -> None:
    """Bits 14..8 = 10, bits 7..1 = 20, bit 0 clear: three pictures of one address, and the meaning of the bit."""
    one = b"#!AER-DAT2.0\r\n" + struct.pack(">II", (10 << 8) | (20 << 1), 7)
    place = {name: read_aedat2(one, orientation=name).array[0] for name in ("spikingjelly", "jaer", "raw")}
    assert {name: (int(e["x"]), int(e["y"])) for name, e in place.items()} == {
        "spikingjelly": (117, 107),
        "jaer": (107, 117),
        "raw": (20, 10),
    }
    assert read_aedat2(one).p.tolist() == [1]
    assert read_aedat2(one, on=1).p.tolist() == [0]
    with pytest.raises(ConfigError, match="orientation is 'upside'"):
        read_aedat2(one, orientation="upside")


def test_aedat2_leaves_out_what_is_no_pixel() -> None:
    """External events (bit 15) of the DVS128; image samples (bit 31) and the motion unit (bit 10) of a DAVIS."""
    events = some_events(20, 128, 128)
    raw = writers.aedat2_dvs128(events) + struct.pack(">II", 1 << 15, 10**6) + struct.pack(">II", 1 << 20, 10**6)
    assert len(read_aedat2(raw)) == 20
    events = some_events(20, 346, 260)
    davis = writers.aedat2_davis(events, 260, b"#!AER-DAT2.0\r\n# HardwareInterface: DAVIS346\r\n")
    found = read_aedat2(davis + struct.pack(">II", 1 << 31, 10**6) + struct.pack(">II", 1 << 10, 10**6))
    assert writers.as_tuples(found.array) == events
    assert (found.height, found.width) == (260, 346)


def test_aedat3_valid_bit_other_packets_and_overflows() -> None:
    events = some_events(30, 128, 128)
    late = [((5 << 31) + t, x, y, p) for t, x, y, p in events]
    valid = [n % 3 != 0 for n in range(30)]
    raw = (
        writers.AEDAT3_HEADER
        + writers.aedat3_other(2, 40, 3)
        + writers.aedat3_packet(events, valid=[int(v) for v in valid], capacity=64)
        + writers.aedat3_other(0, 8, 5)
        + writers.aedat3_packet(late)
    )
    expected = [e for e, v in zip(events, valid, strict=True) if v] + late
    assert writers.as_tuples(read_aedat3(raw).array) == expected
    upside_down = raw.replace(b"#!AER-DAT3.1", b"#!AER-DAT3.0")
    assert read_aedat3(upside_down).y.tolist() == [127 - y for _, _, y, _ in expected]


def test_aedat3_last_packet_cut_short() -> None:
    events = some_events(30, 128, 128)
    raw = writers.AEDAT3_HEADER + writers.aedat3_packet(events)
    with pytest.warns(UserWarning, match="truncated: 233 of 240 bytes"):
        found = read_aedat3(raw[:-7])
    assert writers.as_tuples(found.array) == events[:-1]
    with pytest.warns(UserWarning, match="ends in its header"):
        read_aedat3(raw + raw[len(writers.AEDAT3_HEADER) :][:10])
    bad = writers.AEDAT3_HEADER + struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, 4, 9, 9) + bytes(32)
    with pytest.raises(DataError, match=r"packet at byte \d+ is damaged: type 1, 8 bytes per event, 9 of 4 events"):
        read_aedat3(bad)


def test_evt2_and_evt3_leave_out_what_has_no_time() -> None:
    events = some_events(10, 64, 48)
    early = struct.pack("<I", (1 << 28) | (3 << 11) | 4)
    raw = writers.evt2(events)
    cut = raw.index(b"64x48\n") + 6
    with pytest.warns(UserWarning, match="1 events come before the first word of time"):
        assert len(read_evt(raw[:cut] + early + raw[cut:])) == 10
    raw = writers.evt3(events)
    cut = raw.index(b"64x48\n") + 6
    with pytest.warns(UserWarning, match="1 events come before"):
        assert len(read_evt(raw[:cut] + struct.pack("<H", (2 << 12) | 3) + raw[cut:])) == 10


def test_evt3_vectors_by_hand() -> None:
    """Row 5, base column 10 ON: bits 0, 3 and 11 of 12, then bit 1 of 8 at base 22, then base 40 OFF with bit 0."""
    words = [0x8001, 0x6002, 0x0005, 0x3000 | 1 << 11 | 10, 0x4000 | 0b100000001001, 0x5000 | 0b10]
    words += [0x3000 | 40, 0x4001, 0xE123, 0x7001, 0xF001]
    found = read_evt(b"% evt 3.0\n" + b"".join(struct.pack("<H", w) for w in words), size=(48, 64))
    t = (1 << 12) | 2
    expected = [(t, 10, 5, 1), (t, 13, 5, 1), (t, 21, 5, 1), (t, 23, 5, 1), (t, 40, 5, 0)]
    assert writers.as_tuples(found.array) == expected
    big = read_evt(b"% evt 3.0\n" + b"".join(struct.pack(">H", w) for w in words), size=(48, 64), order="big")
    assert np.array_equal(big.array, found.array)


def test_evt3_vectors_against_a_plain_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random words with vectors, decoded by a loop over words with a state, in chunks of another size."""
    source = random.Random(3)
    words = [0x8000, 0x6000, 0x0000, 0x3000]
    high = low = 0
    for _ in range(3000):
        kind = source.choice([0, 2, 3, 4, 5, 5, 4, 6, 8, 14])
        if kind == 6:
            low = min(4095, low + source.randrange(40))
        if kind == 8:
            high, low = high + 1, 0
        load = {0: source.randrange(48), 2: source.randrange(64), 3: source.randrange(20), 6: low, 8: high % 4096}
        words.append((kind << 12) | load.get(kind, source.randrange(4096)))
        if kind == 8:
            words.append(6 << 12)
    expected: list[writers.Event] = []
    row = base = on = at = top = 0
    for word in words:
        kind, load = word >> 12, word & 4095
        if kind == 0:
            row = load & 2047
        elif kind == 2:
            expected.append(((top << 12) | at, load & 2047, row, load >> 11))
        elif kind == 3:
            base, on = load & 2047, load >> 11
        elif kind in (4, 5):
            for bit in range(12 if kind == 4 else 8):
                if load >> bit & 1:
                    expected.append(((top << 12) | at, base + bit, row, on))
            base += 12 if kind == 4 else 8
        elif kind == 6:
            at = load
        elif kind == 8:
            top = load
    raw = b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words)
    for chunk in (1 << 19, 5):
        monkeypatch.setattr("threegen.datasets.events.stream.CHUNK", chunk)
        assert writers.as_tuples(read_evt(raw).array) == expected


def test_evt3_low_word_that_falls_is_no_carry() -> None:
    """High 1, low 100, then low 4000 and high 2: times 4196, 8096, 12188 us; a low word that falls is refused."""
    words = [0x8001, 0x0001, 0x6000 | 100, 0x2001, 0x6000 | 4000, 0x2002, 0x8002, 0x6000 | 3996, 0x2003]
    found = read_evt(b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words))
    assert found.t.tolist() == [4196, 8096, 12188]
    with pytest.raises(DataError, match="time decreases at event 1"):
        read_evt(b"% evt 3.0\n" + struct.pack("<6H", 0x8001, 0x0001, 0x6064, 0x2001, 0x6032, 0x2002))


@pytest.mark.parametrize("kind", ["bin", "aedat2", "aedat3", "dat", "evt2", "evt3"])
def test_faults_are_named_or_repaired(kind: str) -> None:
    """Event 2 runs back in time, event 1 is off the sensor: each refused with its number, or repaired."""
    write, read, _, _ = FORMATS[kind]
    back = [(500, 1, 1, 1), (700, 2, 2, 0), (600, 3, 3, 1), (900, 4, 4, 0)]
    with pytest.raises(DataError, match="time decreases at event 2, from 700 to 600 us; give repair=True"):
        read(write(back))
    with pytest.warns(UserWarning, match="out of order"):
        assert writers.as_tuples(read(write(back), repair=True).array) == sorted(back)
    small = {"size": (3, 3)}
    with pytest.raises(DataError, match=r"event \d is at x=\d+, y=\d+, off the sensor of 3 x 3 pixels"):
        read(write(back[:2] + back[3:]), **small)
    with pytest.warns(UserWarning, match="events? off the sensor dropped"):
        read(write(back[:2] + back[3:]), repair=True, **small)


@pytest.mark.parametrize(("kind", "record"), [("bin", 5), ("aedat2", 8), ("dat", 8), ("evt2", 4), ("evt3", 2)])
def test_odd_last_bytes(kind: str, record: int) -> None:
    write, read, width, height = FORMATS[kind]
    raw = write(some_events(9, width, height)) + b"\x00"
    with pytest.raises(DataError, match=f"1 more than whole .* of {record} bytes"):
        read(raw)
    with pytest.warns(UserWarning, match=r"the last byte, an incomplete \w+, dropped"):
        assert len(read(raw, repair=True)) == 9


def test_writers_give_what_was_read(tmp_path: Path) -> None:
    """read(write(x)) == x, and the independent writer gives the same bytes for .bin."""
    for seed in range(3):
        events = some_events(400, 34, 34, step=9000, seed=seed)
        given = as_events(events, 34, 34)
        write_bin(tmp_path / "a.bin", given)
        assert (tmp_path / "a.bin").read_bytes() == writers.bin40(events)
        assert np.array_equal(read_bin(tmp_path / "a.bin").array, given.array)
        wide = as_events(some_events(400, 128, 128, step=1 << 24, seed=seed), 128, 128)
        for orientation in ("spikingjelly", "jaer", "raw"):
            write_aedat2(tmp_path / "a.aedat", wide, orientation=orientation)
            assert np.array_equal(read_aedat2(tmp_path / "a.aedat", orientation=orientation).array, wide.array)
        write_aedat3(tmp_path / "b.aedat", wide, packet=37)
        assert np.array_equal(read_events(tmp_path / "b.aedat").array, wide.array)
    empty = as_events(events, 34, 34).pick(slice(0, 0))
    write_bin(tmp_path / "none.bin", empty)
    assert len(read_bin(tmp_path / "none.bin")) == 0


def test_writers_refuse_what_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x to 255 and y to 239, got 300 and 2"):
        write_bin(tmp_path / "a.bin", make_events([0], [300], [2], [1], height=400, width=400))
    with pytest.raises(DataError, match="without pauses of 4 s"):
        write_bin(tmp_path / "a.bin", make_events([0, 5_000_000], [3, 3], [2, 2], [1, 1], height=34, width=34))
    with pytest.raises(DataError, match="128 x 128 pixels"):
        write_aedat2(tmp_path / "a.aedat", make_events([0], [300], [2], [1], height=400, width=400))


def test_formats_are_told_apart(tmp_path: Path) -> None:
    for kind, name in (("bin", "a.bin"), ("dat", "a.dat"), ("evt2", "2.raw"), ("evt3", "3.raw")):
        write, _, width, height = FORMATS[kind]
        events = some_events(20, width, height)
        (tmp_path / name).write_bytes(write(events))
        assert writers.as_tuples(read_events(tmp_path / name).array) == events
    assert len(read_events(writers.aedat2_dvs128(some_events(20, 128, 128)))) == 20
    (tmp_path / "a.txt").write_bytes(b"x")
    with pytest.raises(DataError, match="unknown ending for a recording"):
        read_events(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"none\.bin: cannot read"):
        read_events(tmp_path / "none.bin")
    with pytest.raises(DataError, match="does not say EVT"):
        read_evt(b"% nothing\n\x00\x00")
    with pytest.raises(DataError, match="expected events of type 0 or 12"):
        read_dat(b"% x\n\x0e\x08")


def test_gestures(tmp_path: Path) -> None:
    labels = tmp_path / "user01_light_labels.csv"
    labels.write_text("class,startTime_usec,endTime_usec\n2,100,300\n11,300,400\n")
    first, second = read_gestures(labels)
    assert (first.label, second.label) == (1, 10)
    events = make_events([99, 100, 299, 300], [0] * 4, [0] * 4, [1] * 4, height=128, width=128)
    assert cut_gesture(events, first).t.tolist() == [100, 299]
    assert cut_gesture(events, second).t.tolist() == [300]
    labels.write_text("class,startTime_usec,endTime_usec\n12,100,300\n")
    with pytest.raises(DataError, match=r"line 2: expected a class 1\.\.11"):
        read_gestures(labels)
