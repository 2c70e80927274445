"""`threegen export`: a run as a NIR or ONNX file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import threegen as tg
from threegen.cli import run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one epoch on 60 made-up pictures of 3 x 3, one without spikes and one with."""
    folder = tmp_path_factory.mktemp("runs")
    table = folder / "little.csv"
    rows = np.random.default_rng(0).integers(0, 255, (60, 9))
    table.write_text("\n".join(f"{number % 3}," + ",".join(map(str, row)) for number, row in enumerate(rows)) + "\n")
    for model in ("mlp", "spiking-mlp"):
        arguments = ["train", model, "--data", str(table), "--epochs", "1", "--set", "hidden=[8]", "--quiet"]
        arguments += ["--batch-size", "16", "--out", str(folder / model)]
        assert run(arguments) == 0
    return folder


def test_a_spiking_run_as_nir(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nir", reason="needs the extra nir")
    capsys.readouterr()
    assert run(["export", str(runs / "spiking-mlp"), str(tmp_path / "net.nir"), "--dt", "0.001", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["agreement"], told["dt"]) == (1.0, 0.001)
    assert tg.import_nir(tmp_path / "net.nir").sizes == [9, 8, 3]
    assert run(["export", str(runs / "spiking-mlp"), str(tmp_path / "net.nir")]) == 0
    assert "read back, spikes agree to 1.000" in capsys.readouterr().out


def test_a_run_without_spikes_as_onnx(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    capsys.readouterr()
    assert run(["export", str(runs / "mlp"), str(tmp_path / "net.onnx"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shape"] == [1, 3, 3]
    assert told["difference"] < 1e-5


@pytest.mark.parametrize(
    ("model", "file", "options", "sentence"),
    [
        ("mlp", "net.txt", [], "net.txt should end with .nir (spiking nets) or .onnx (the others)"),
        ("mlp", "net.nir", [], "export_nir takes a spiking net of this package, got MLP"),
        ("spiking-mlp", "net.onnx", [], "write it as NIR"),
        ("mlp", "net.onnx", ["--dt", "0.1"], "ONNX files have no time step"),
        ("spiking-mlp", "net.nir", ["--dt", "0"], "dt must be a finite number above 0"),
    ],
)
def test_a_mistake_is_one_sentence(
    model: str,
    file: str,
    options: list[str],
    sentence: str,
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert run(["export", str(runs / model), str(tmp_path / file), *options]) == 2
    assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / file).exists()
