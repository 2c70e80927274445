"""`results.json` holds what the issue promises, goes out and comes back, and refuses what cannot be true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from threegen.errors import DataError
from threegen.report.results import HistoryResult, Insides, ModelResult, results_json

PROMISED = {
    "name", "title", "generation", "year", "paper", "rule", "accuracy", "interval", "parameters", "memory",
    "operations", "seconds", "seed", "command",
}  # fmt: skip


def model(**changes: Any) -> ModelResult:
    fields: dict[str, Any] = {
        "name": "mlp", "title": "MLP", "generation": 2, "year": 1986, "paper": "a paper", "rule": "a rule",
        "accuracy": 0.98, "interval": (0.97, 0.99), "correct": 98, "count": 100, "parameters": 7,
        "memory": {"weights": 28, "total": 28}, "operations": {"mac": 7.0}, "seconds": 1.5, "epochs": 2, "seed": 0,
        "command": "threegen train mlp",
    }  # fmt: skip
    return ModelResult(**{**fields, **changes})


def history(*models: ModelResult) -> HistoryResult:
    data = {"name": "mnist", "train": 60_000, "test": 10_000, "sha256": "00", "classes": ["a", "b"]}
    return HistoryResult(models, data, "quick", 0, {"torch": "2"}, 2, "2020-01-01", "threegen history", 3.0)


def test_results_hold_the_promised_fields_and_no_insides() -> None:
    record = json.loads(results_json(history(model(insides=Insides(counting_rule="secret")))))
    assert set(record["models"][0]) >= PROMISED
    assert "insides" not in record["models"][0]
    assert record["models"][0]["interval"] == [0.97, 0.99]


def test_results_come_back_equal() -> None:
    before = history(model(settings={"batch_size": 128}, compute={"total": 14.0}), model(name="b"))
    after = HistoryResult.from_json(results_json(before))
    assert after == before
    assert after.classes == ("a", "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": 98.0}, "fractions"),
        ({"interval": (0.985, 0.99)}, "low <= accuracy"),
        ({"generation": 4}, "1, 2 or 3"),
        ({"memory": {"weights": float("nan")}}, "finite"),
        ({"operations": {"mac": -1.0}}, "not negative"),
    ],
)
def test_figures_that_cannot_be_true_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        model(**changes)


def test_a_figure_that_is_not_finite_is_not_written() -> None:
    with pytest.raises(DataError, match="cannot be written"):
        results_json(history(model(seconds=float("nan"))))
    with pytest.raises(DataError, match="cannot be written"):
        results_json(history(model(settings={"loss": object()})))


def test_damaged_results_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="not JSON"):
        HistoryResult.from_json("{")
    with pytest.raises(DataError, match="object"):
        HistoryResult.from_json("[]")
    record = json.loads(results_json(history(model())))
    del record["models"][0]["paper"]
    with pytest.raises(DataError, match="lacks the field 'paper'"):
        HistoryResult.from_json(json.dumps(record))
    with pytest.raises(DataError, match=r"unknown field 'seeds' \(did you mean 'seed'"):
        HistoryResult.from_json(json.dumps({"seeds": 1}))
