"""The textbook's search for a rate and a decay, on few images."""

import json
from pathlib import Path

from threegen.studies.registry import run_study


def test_hyper_parameters(tmp_path: Path) -> None:
    result = run_study("hyper-parameters", quick=True, out=tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == result
    found = result["figures"]
    first, second = found["dense"]["rounds"]
    assert first["ranges"] == {"lr": "log:1e-06:0.01", "weight_decay": "log:1e-08:0.0001"}
    assert second["ranges"] != first["ranges"]
    accuracies = [trial["accuracy"] for trial in first["best"]]
    assert accuracies == sorted(accuracies, reverse=True)
    best = max(accuracies[0], second["best"][0]["accuracy"])
    assert found["dense"]["best accuracy"] == best
    assert found["dense"]["best accuracy of each round"] == [accuracies[0], second["best"][0]["accuracy"]]
    assert found["dense"]["trials"] == 20
    assert found["dense"]["interval high"] - found["dense"]["interval low"] > 0.1  # of 100 images
    assert set(found["spiking"]["importance"]) == {"threshold", "decay", "steps"}
    assert all((tmp_path / name).exists() for name in result["files"])
