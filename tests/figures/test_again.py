"""Figures made once more with another seed: which hold, what is kept, what cannot be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from threegen.errors import DataError
from threegen.figures import again, reproduce
from threegen.figures.reproduce import Figure, reproduce_figure


def test_a_figure_holds_within_three_deviations_or_a_tenth() -> None:
    record = {"mean": 98.0, "deviation": 0.2}
    assert again.holds(record, 98.59)
    assert not again.holds(record, 98.61)
    assert again.holds({"mean": 98.0, "deviation": None}, 97.91)
    assert not again.holds({"mean": 98.0, "deviation": 0.01}, 97.89)


def test_values_are_kept_and_reasons_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(seed: int, progress: bool) -> float:
        made.append(seed)
        return 90.0 + seed / 10

    figures = {
        "toy": Figure("toy", "nobody", None, "per cent", "higher", make, "nothing", (0, 1)),
        "absent": Figure("absent", "nobody", None, "per cent", "higher", lambda seed, progress: 1.0, "nothing", (0,)),
    }
    monkeypatch.setattr(reproduce, "all_figures", lambda: figures)
    monkeypatch.chdir(tmp_path)
    for name in figures:
        assert reproduce_figure(name, tmp_path / "records") is not None

    def fails(seed: int, progress: bool) -> float:
        raise DataError("no such data here")

    figures["absent"] = Figure("absent", "nobody", None, "per cent", "higher", fails, "nothing", (0,))
    for _ in range(2):
        rows = list(again.made_again(tmp_path / "records", tmp_path / "kept"))
        assert rows == [
            {"figure": "absent", "record": 1.0, "seed": 1, "again": "no such data here", "holds": None},
            {"figure": "toy", "record": 90.05, "seed": 2, "again": 90.2, "holds": True},
        ]
    assert made == [0, 1, 2]  # the second time it was kept
    assert json.loads((tmp_path / "kept" / "toy-2.json").read_text())["value"] == 90.2
    record = json.loads((tmp_path / "records" / "toy.json").read_text())
    (tmp_path / "records" / "toy.json").write_text(json.dumps({**record, "minutes": 60.0}))
    assert [row["figure"] for row in again.made_again(tmp_path / "records", tmp_path / "kept")] == ["absent"]
