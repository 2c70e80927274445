"""Published figures: every record in `reproduction/` is whole, and the table shows what was reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from threegen.errors import ConfigError, DataError
from threegen.recipes import reproduce
from threegen.recipes.reproduce import FIELDS, Figure, all_figures, figure_table, read_record, reproduce_figure

RECORDS = sorted((Path(__file__).parents[2] / "reproduction").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_records_are_whole(path: Path) -> None:
    record = read_record(path)
    figure = all_figures()[path.stem]
    assert record["name"] == path.stem
    assert record["command"] == f"threegen reproduce {path.stem}"
    assert record["better"] == figure.better
    assert record["published"] == figure.published
    assert len(record["ours"]) == len(record["seeds"]) == len(figure.seeds)


def test_a_figure_is_made_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure("toy", "nobody (2000)", 90.0, "per cent", "higher", lambda seed, progress: 91.0 + seed, (0, 1))
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    record = reproduce_figure("toy", tmp_path)
    assert record["ours"] == [91.0, 92.0]
    assert tuple(record) == FIELDS
    assert json.loads((tmp_path / "toy.json").read_text()) == record
    assert figure_table(tmp_path)[0]["ours"] == 91.5
    with pytest.raises(ConfigError, match=r"no figure is called 'toi'.*did you mean 'toy'"):
        reproduce_figure("toi", tmp_path)


def test_a_record_with_a_missing_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_text('{"name": "toy"}')
    with pytest.raises(DataError, match="the fields must be name, paper"):
        read_record(path)
