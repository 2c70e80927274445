"""Published figures: every record in `reproduction/` is whole, and the table shows what was reached."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from threegen.errors import ConfigError, DataError
from threegen.figures import reproduce
from threegen.figures.reproduce import (
    FIELDS,
    Figure,
    Made,
    all_figures,
    figure_table,
    figures_markdown,
    read_record,
    reproduce_figure,
    shipped_records,
)

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
    assert record["differs"] == figure.differs
    assert record["mean"] == pytest.approx(np.mean(record["ours"]), abs=1e-4)
    if len(record["ours"]) > 1:
        assert record["deviation"] == pytest.approx(np.std(record["ours"], ddof=1), abs=1e-4)
    else:
        assert record["deviation"] is None


def test_a_figure_must_say_what_differs() -> None:
    with pytest.raises(ConfigError, match="differs must say in one line"):
        Figure("toy", "nobody", 90.0, "per cent", "higher", lambda seed, progress: 1.0, "")


def test_records_are_listed_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are shipped; a record in the user's own folder comes first."""
    monkeypatch.chdir(tmp_path)
    row = next(row for row in figure_table() if row["figure"] == "classic-program")
    shipped = read_record(shipped_records() / "classic-program.json")
    assert row["ours"] == f"{shipped['mean']:.2f} \u00b1 {shipped['deviation']:.2f}"
    own = {**shipped, "mean": 12.0, "deviation": None}
    (tmp_path / "reproduction").mkdir()
    (tmp_path / "reproduction" / "classic-program.json").write_text(json.dumps(own))
    assert next(row for row in figure_table() if row["figure"] == "classic-program")["ours"] == "12.00"


def test_another_seed_is_printed_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure("toy", "nobody", 90.0, "per cent", "higher", lambda seed, progress: 91.0 + seed, "nothing", (0, 1))
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    found = reproduce_figure("toy", tmp_path / "out", seeds=[7, 9], parts=tmp_path / "parts")
    assert found == {
        "name": "toy", "seeds": [7, 9], "ours": [98.0, 100.0], "mean": 99.0, "deviation": 1.4142, "written": False,
    }  # fmt: skip
    assert not list(tmp_path.rglob("*.json"))


def test_seeds_inside_and_outside_the_list_are_run_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(seed: int, progress: bool) -> float:
        raise AssertionError("this must be refused before it is run")

    figure = Figure("toy", "nobody", 90.0, "per cent", "higher", never, "nothing", (0, 1))
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    with pytest.raises(ConfigError, match=r"are \[0, 1\]; got \[1, 7\].*another command"):
        reproduce_figure("toy", tmp_path, seeds=[1, 7], parts=tmp_path / "parts")


def test_seeds_are_added_to_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record's own values and minutes are kept; only what it lacks is run, by one process or by several."""
    made: list[int] = []

    def make(seed: int, progress: bool) -> Made:
        made.append(seed)
        return Made(91.0 + seed, 60.0)

    figure = Figure("toy", "nobody", 90.0, "per cent", "higher", make, "nothing", (1,), note="one seed")
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    monkeypatch.setattr(reproduce, "shipped_records", lambda: tmp_path / "shipped")
    with pytest.raises(DataError, match=r"toy\.json is not there: no record of toy to add seeds to"):
        reproduce_figure("toy", tmp_path, add=True, parts=tmp_path / "parts")
    reproduce_figure("toy", tmp_path, parts=tmp_path / "parts")
    figure = dataclasses.replace(figure, seeds=(0, 1, 2, 3), note="four seeds")
    assert reproduce_figure("toy", tmp_path, seeds=[3, 1], add=True, parts=tmp_path / "parts") is None
    assert read_record(tmp_path / "toy.json")["seeds"] == [1]
    record = reproduce_figure("toy", tmp_path, seeds=[0, 2], add=True, parts=tmp_path / "parts")
    assert made == [1, 3, 0, 2]
    assert record == read_record(tmp_path / "toy.json")
    assert (record["seeds"], record["ours"], record["minutes"]) == ([0, 1, 2, 3], [91.0, 92.0, 93.0, 94.0], 4.0)
    assert (record["mean"], record["note"]) == (92.5, "four seeds")
    assert reproduce_figure("toy", tmp_path, add=True, parts=tmp_path / "parts") == record
    assert len(made) == 4
    figure = dataclasses.replace(figure, differs="other images")
    with pytest.raises(DataError, match=r"of another recipe than the figure.*run all seeds again"):
        reproduce_figure("toy", tmp_path, add=True, parts=tmp_path / "parts")


def test_a_figure_is_made_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure(
        "toy", "nobody (2000)", 90.0, "per cent", "higher", lambda seed, progress: 91.0 + seed, "nothing", (0, 1)
    )
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    record = reproduce_figure("toy", tmp_path, parts=tmp_path / "parts")
    assert record is not None
    assert record["ours"] == [91.0, 92.0]
    assert tuple(record) == FIELDS
    assert json.loads((tmp_path / "toy.json").read_text()) == record
    assert figure_table(tmp_path)[0]["ours"] == "91.50 \u00b1 0.71"
    with pytest.raises(ConfigError, match=r"no figure is called 'toi'.*did you mean 'toy'"):
        reproduce_figure("toi", tmp_path, parts=tmp_path / "parts")


def test_seeds_made_apart_are_gathered_by_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(seed: int, progress: bool) -> float:
        made.append(seed)
        return 91.0 + seed

    figure = Figure("toy", "nobody (2000)", 90.0, "per cent", "higher", make, "nothing", (0, 1, 2), note="plain")
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    parts = tmp_path / "parts"
    assert reproduce_figure("toy", tmp_path, seeds=[2], parts=parts) is None
    assert reproduce_figure("toy", tmp_path, seeds=[0], parts=parts) is None
    assert not (tmp_path / "toy.json").exists()
    changed = dataclasses.replace(figure, note="other settings")
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": changed})
    with pytest.raises(DataError, match=r"seed-0\.json: its note is 'plain', the figure's is 'other settings'"):
        reproduce_figure("toy", tmp_path, seeds=[1], parts=parts)
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    record = reproduce_figure("toy", tmp_path, seeds=[1], parts=parts)
    assert made == [2, 0, 1]  # the refused one was not run
    assert record == read_record(tmp_path / "toy.json")
    assert (record["ours"], record["seeds"]) == ([91.0, 92.0, 93.0], [0, 1, 2])
    assert reproduce_figure("toy", tmp_path, seeds=[0], parts=parts) is None  # the parts of the last record are gone
    (parts / "toy" / "seed-1.json").write_text("{")
    with pytest.raises(DataError, match=r"seed-1\.json is not JSON"):
        reproduce_figure("toy", tmp_path, seeds=[2], parts=parts)


def test_the_time_of_parts_taken_over_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that goes on with an earlier run says itself how long it all took: 90 and 150 seconds are 4 minutes."""
    figure = Figure(
        "toy",
        "nobody (2000)",
        2.0,
        "per cent",
        "lower",
        lambda seed, progress: Made(1.5, 90.0 + 60 * seed),
        "nothing",
        (0, 1),
    )
    monkeypatch.setattr(reproduce, "all_figures", lambda: {"toy": figure})
    record = reproduce_figure("toy", tmp_path, parts=tmp_path / "parts")
    assert record is not None
    assert (record["ours"], record["minutes"]) == ([1.5, 1.5], 4.0)


def test_a_record_with_a_missing_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_text('{"name": "toy"}')
    with pytest.raises(DataError, match="the fields must be name, paper"):
        read_record(path)


def test_a_figure_without_data_has_a_row_and_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THREEGEN_DATA", str(tmp_path))
    rows = [row for row in figures_markdown(tmp_path).splitlines() if row.startswith("| `")]
    assert [row for row in rows if row.startswith("| `alexnet`") and "not run: ImageNet" in row] == rows
    with pytest.raises(DataError, match=r"ImageNet is not in .*train/CLASS"):
        reproduce_figure("alexnet", tmp_path, parts=tmp_path / "parts")
