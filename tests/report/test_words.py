"""Numbers as people read them. The expected texts are written by hand."""

from __future__ import annotations

import pytest

from threegen.report import words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.9893, "98.93 %"), (1.0, "100.00 %"), (0.99999, "99.99 %"), (0.0, "0.00 %"), (0.5, "50.00 %")],
)
def test_percent_is_never_rounded_up_to_all(share: float, text: str) -> None:
    assert words.percent(share).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (10, "10"), (999, "999"), (1000, "1.00 k"), (15_690, "15.7 k"), (406_528, "407 k"), (999_700, "1.00 M"),
     (2_410_000, "2.41 M"), (3e9, "3.00 G"), (0.25, "0.25")],
)  # fmt: skip
def test_compact(number: float, text: str) -> None:
    assert words.compact(number).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (40, "40 bytes"), (31_440, "31.4 kB"), (279_200, "279 kB"), (999_499, "999 kB"), (1_630_288, "1.63 MB")],
)
def test_size_of(count: float, text: str) -> None:
    assert words.size_of(count).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.81, "0.8 s"), (9.96, "10 s"), (48.4, "48 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds).replace("\u00a0", " ") == text


def test_operations_add_up_by_column_and_unknown_kinds_stay() -> None:
    sums = words.by_column(
        {"mac": 10.0, "add": 2.0, "mul": 3.0, "leak": 4.0, "reset": 1.0, "table_lookups": 7.0, "ac": 0.0}
    )
    assert sums == {
        "multiply-accumulates": 10.0,
        "other additions and multiplications": 5.0,
        "neuron updates": 5.0,
        "table lookups": 7.0,
    }
