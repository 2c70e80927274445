"""The card as a page, and cards of runs: closed, complete, escaped; the same examples for all or a refusal."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.cli import run
from threegen.datasets.dataset import Data, Dataset
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.report.comparing import Card, compare_runs
from threegen.runs.train import train_run

_spec = importlib.util.spec_from_file_location("page_of_the_report", Path(__file__).with_name("test_page.py"))
assert _spec is not None
assert _spec.loader is not None
_pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_pages)
Page = _pages.Page


@pytest.fixture(scope="module")
def card() -> Card:
    x = torch.rand(30, 9, generator=torch.Generator().manual_seed(0))
    models = {
        "ann": tg.MLP([9, 8, 3]),
        "snn": tg.SpikingMLP([9, 8, 3], steps=4, encoder=tg.Bernoulli()),
        "<b>third</b>": tg.MLP([9, 3]),
    }
    return tg.compare(models, (x, torch.arange(30) % 3))


def test_the_page_is_closed_and_asks_for_nothing_from_outside(card: Card) -> None:
    page = Page(card.html())  # refuses tags that do not close in order
    for tag, attributes in page.attributes:
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("data:", "#")), f"<{tag} {name}>"
    assert [script["type"] for script in page.all("script")] == ["application/json"]
    assert page.tags["h1"] == 1
    assert "width=device-width" in next(meta["content"] for meta in page.all("meta") if meta.get("name") == "viewport")
    assert all(cell.get("scope") in ("col", "row", "rowgroup") for cell in page.all("th"))
    for drawing in page.all("svg"):
        assert drawing.get("aria-label", "").strip() or drawing.get("aria-hidden") == "true"
    places = {attributes["id"] for _, attributes in page.attributes if "id" in attributes}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= places
    style = card.html().partition("<style>")[2].partition("</style>")[0]
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert "max-width: 760px" in style


def test_the_page_says_what_the_card_says(card: Card) -> None:
    page = Page(card.html())
    assert json.loads("".join(page.scripts)) == json.loads(json.dumps(card.as_dict()))
    text = page.text.replace("\u00a0", " ")
    for said in card.verdict:
        assert said.headline in text
        assert said.reasons in text
    assert card["ann"].bill.rule in text
    assert "estimate" in text
    for one in card.models:
        assert f"{100 * one.evaluation.accuracy:.2f} %" in text
        assert one.name in text
    assert "<b>third</b>" not in card.html()
    assert card.html() == card.html()


def test_save_makes_the_folder_and_writes_the_whole_page(card: Card, tmp_path: Path) -> None:
    target = tmp_path / "new" / "card.html"
    assert card.save(target) == target
    assert target.read_text(encoding="utf-8") == card.html()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be a folder"):
        card.save(tmp_path / "file" / "card.html")


# -- runs --------------------------------------------------------------------------------------------------------------
def little(path: Path, classes: int = 3, seed: int = 0) -> Path:
    """Write a CSV of rows of 10 values in `classes` classes."""
    generator = torch.Generator().manual_seed(seed)
    rows = [
        [label, *torch.randint(0, 255, (10,), generator=generator).tolist()]
        for label in (torch.arange(80) % classes).tolist()
    ]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    table = little(folder / "table.csv")
    options: dict[str, Any] = {"epochs": 1, "progress": False, "mode": "quick", "batch_size": 20}
    train_run("mlp", str(table), options={"hidden": [5]}, out=folder / "ann", **options)
    train_run("spiking-mlp", str(table), options={"hidden": [60]}, out=folder / "snn", **options)
    train_run("perceptron", str(little(folder / "other.csv", seed=1)), out=folder / "other", **options)
    return folder


def test_runs_are_compared_on_the_test_split_that_they_share(runs: Path) -> None:
    card = compare_runs([runs / "snn", runs / "ann"])
    assert [one.name for one in card.models] == ["snn", "ann"]
    assert card.reference == "ann"
    ann = tg.load_run(runs / "ann")
    test = tg.load_data(str(runs / "table.csv")).test
    assert card["ann"].evaluation.correct == tg.evaluate(ann, test).correct
    assert card.data["sha256"] == test.fingerprint()


def test_models_runs_and_folders_may_be_mixed(runs: Path) -> None:
    test = tg.load_data(str(runs / "table.csv")).test
    card = tg.compare({"folder": runs / "ann", "text": str(runs / "ann"), "model": tg.load_run(runs / "ann")}, test)
    assert all(pair.only_first == pair.only_second == 0 for pair in card.pairs)


def test_runs_that_cannot_be_compared(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ann and other have different test splits"):
        compare_runs([runs / "ann", runs / "other"])
    assert len(compare_runs([runs / "ann", runs / "other"], data=str(runs / "other.csv")).models) == 2
    with pytest.raises(CheckpointError, match="is not a run"):
        compare_runs([runs / "ann", tmp_path])
    with pytest.raises(ConfigError, match="at least two models, got 1"):
        compare_runs([runs / "ann"])
    with pytest.raises(ConfigError, match="no run holds a module of your own"):
        compare_runs([runs / "ann", runs / "snn"], module="os:path")
    with pytest.raises(ConfigError, match="two runs are called 'a'"):
        compare_runs([f"a={runs / 'ann'}", f"a={runs / 'snn'}"])
    with pytest.raises(ConfigError, match="at least two runs, got none"):
        compare_runs([])


def test_a_run_of_ones_own_module_beside_one_of_the_registry(runs: Path, tmp_path: Path) -> None:
    data = tg.load_data(str(runs / "table.csv"))
    own = torch.nn.Linear(10, 3)
    held = Data("table", data.train, Dataset(data.test.inputs, data.test.targets, data.classes, data.test.name))
    tg.save_run(tmp_path / "own", own, data=held, options={"in_features": 10, "out_features": 3})
    card = compare_runs([runs / "ann", tmp_path / "own"], data=str(runs / "table.csv"), module="torch.nn:Linear")
    assert card["own"].bill.parameters == 33


def test_the_command(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "card.html"
    arguments = ["compare", str(runs / "ann"), f"spikes={runs / 'snn'}"]
    assert run([*arguments, "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "ann (MLP), spikes (SpikingMLP)" in printed
    assert "Verdict" in printed
    assert page.read_text(encoding="utf-8").endswith("</html>\n")
    assert run([*arguments, "--json", "--counted", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["models"]] == ["ann", "spikes"]
    assert found["counted"] == 3
    assert run(["compare", str(runs / "ann")]) == 2
    assert "ConfigError: compare needs at least two models" in capsys.readouterr().err


def test_names_of_shipped_weights_stand_for_runs() -> None:
    """The manifest counts 9,282 and 9,853 of 10,000 right answers; a folder of that name would win."""
    from threegen.report.comparing import compare_runs

    card = compare_runs(["perceptron", "mlp"], counted=2).as_dict()
    assert [model["accuracy"] for model in card["models"]] == [0.9282, 0.9853]
