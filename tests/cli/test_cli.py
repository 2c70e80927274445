"""The command line end to end on little data: exit codes, one sentence an error, JSON, runs that open again."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from threegen.cli import main, run

READ = "little.csv: 240 rows, 784 columns, label column 0, values divided by 255"


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """A CSV of 240 pictures of 28 x 28 in three classes that differ by the lit third, with little noise."""
    rng = np.random.default_rng(0)
    rows = []
    for index in range(240):
        label = index % 3
        pixels = rng.integers(0, 60, 784)
        pixels[label * 260 : label * 260 + 260] += 150
        rows.append(",".join(map(str, (label, *pixels))))
    path = tmp_path / "little.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = run(arguments)
    out, err = capsys.readouterr()
    return code, out, err.replace("compiling kernels, once: about 15 s\n", "")  # said where a cache is still empty


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "mpl"], "ConfigError: no model is called 'mpl'; choose perceptron, neocognitron, mlp"),
        (["train", "--resume"], "ConfigError: --resume needs --out, the folder of the run to continue"),
        (["train"], "ConfigError: no model is named; `threegen models` lists them"),
        (["train", "mlp", "--plan", "quik"], "ConfigError: mode is 'quik'; choose quick, full (did you mean 'quick'?)"),
        (["evaluate", "nowhere"], "CheckpointError: nowhere is not a run: it has no run.json"),
        (["reproduce", "clasic-program"], "(did you mean 'classic-program'?)"),
        (["data", "check", "mnits"], "ConfigError: no data set is called 'mnits'"),
        (["history", "--only", "lenet"], "ConfigError: no model is called 'lenet'"),
        (["trian"], "No such command 'trian'"),
        (["history", "--sed", "3"], "No such option: --sed"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = printed(arguments, capsys)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err + out
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


def test_train_evaluate_predict_report(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ["train", "mlp", "--data", "little.csv", "--epochs", "4", "--plan", "quick", "--quiet", "--json"]
    code, out, err = printed(train, capsys)
    assert (code, set(err.splitlines())) == (0, {READ})
    facts = json.loads(out)
    assert facts["folder"] == "runs/mlp"
    assert facts["finished"]

    code, out, _ = printed(["evaluate", "runs/mlp", "--json"], capsys)
    found = json.loads(out)
    assert found["count"] == 52  # a fifth of 240 on average: each row goes to its part by its own hash
    assert found["accuracy"] == 1.0  # the three classes are far apart
    assert np.array(found["confusion"]).sum() == 52

    code, out, _ = printed(["predict", "runs/mlp", "5", "--json"], capsys)
    answer = json.loads(out)
    assert answer["answer"] == answer["truth"]
    assert sum(row["softmax"] for row in answer["scores"]) == pytest.approx(1.0)

    paper = np.full((28, 28), 250, np.uint8)  # dark ink on light paper is turned around: the first third is lit
    paper.reshape(-1)[:260] = 20
    Image.fromarray(paper).save("scan.png")
    code, out, _ = printed(["predict", "runs/mlp", "scan.png", "--json"], capsys)
    assert json.loads(out)["answer"] == "0"
    code, out, _ = printed(["explain", "runs/mlp", "scan.png", "--method", "occlusion", "--json"], capsys)
    assert json.loads(out)["file"] == "runs/mlp/occlusion.svg"
    assert "<svg" in (tmp_path / "runs/mlp/occlusion.svg").read_text()

    code, out, _ = printed(["report", "runs/mlp"], capsys)
    assert code == 0
    assert "Multi-layer perceptron" in (tmp_path / "runs/mlp/report.html").read_text()

    code, _, err = printed(train, capsys)
    assert code == 2
    assert "runs/mlp already holds a run; continue it with --resume, discard it with --overwrite" in err
    assert printed([*train, "--overwrite"], capsys)[0] == 0


def test_a_net_that_learns_in_stages_shows_the_figures_of_each(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json, as people call it: stages have figures of their own, and others have none there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = printed(
        ["train", "rbm-softmax", "--data", "little.csv", "--plan", "quick", "--out", "run", "--quiet"], capsys
    )
    assert (code, set(err.splitlines())) == (0, {READ})
    head, *rows = [line for line in out.splitlines() if "stage" in line or line.startswith("│")]
    assert all(name in head for name in ("stage", "epoch", "reconstruction_error", "loss"))
    assert {row.split("│")[1].strip() for row in rows} == {"0", "1"}
    assert "run: run  (threegen evaluate run)" in out


def test_a_resumed_run_needs_no_second_word(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--resume --out RUN` takes model, data, plan and seed from the folder; more epochs make a longer run."""
    monkeypatch.chdir(tmp_path)
    common = ["--quiet", "--json", "--out", "run"]
    first = ["train", "perceptron", "--data", "little.csv", "--epochs", "1", "--seed", "3", *common]
    assert printed(first, capsys)[0] == 0
    code, out, _ = printed(["train", "--resume", "--epochs", "2", *common], capsys)
    assert code == 0
    facts = json.loads(out)
    assert (facts["name"], facts["seed"], facts["figures"]["epoch"]) == ("perceptron", 3, 1)


def test_a_resumed_run_keeps_its_holdout(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--quiet", "--json", "--out", "run"]
    first = ["train", "perceptron", "--data", "little.csv", "--epochs", "1", "--holdout", "32", *common]
    assert printed(first, capsys)[0] == 0
    code, out, _ = printed(["train", "--resume", "--epochs", "2", *common], capsys)
    assert code == 0
    assert "validation_accuracy" in json.loads(out)["figures"]


def test_history_writes_results_and_report(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = ["--only", "perceptron", "--only", "spiking-mlp"]
    code, out, err = printed(["history", "--data", str(little), "--quick", "--quiet", *wanted], capsys)
    assert (code, set(err.splitlines())) == (0, {READ})
    assert "report: runs/history/report.html" in out
    results = json.loads((tmp_path / "runs/history/results.json").read_text())
    assert [model["name"] for model in results["models"]] == ["perceptron", "spiking-mlp"]
    for model in results["models"]:
        low, high = model["interval"]
        assert 0 <= low <= model["accuracy"] <= high <= 1
        assert model["memory"]["total"] > 0
        assert model["seconds"] > 0
        assert model["command"].startswith(f"threegen train {model['name']}")
    assert "ac" in results["models"][1]["operations"]
    assert printed(["evaluate", "runs/history/perceptron"], capsys)[0] == 0  # the lineage leaves runs


def test_lists_are_json_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (
        ["models"],
        ["data", "list", "--root", str(tmp_path)],
        ["show", "mlp"],
        ["reproduce"],
        ["doctor"],
    ):
        code, out, _ = printed([*arguments, "--json"], capsys)
        assert code == 0
        assert json.loads(out)


def test_a_table_is_trained_by_a_label_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--label` by name and by position, with texts for classes; `evaluate` finds the same column again."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).random((90, 3)) / 2
    rows = [f"{a:.3f},{'ab'[i % 2]},{b + (i % 2) / 2:.3f},{c:.3f}" for i, (a, b, c) in enumerate(values)]
    (tmp_path / "kinds.csv").write_text("\n".join(["first,kind,second,third", *rows]) + "\n")
    for number, label in enumerate(("kind", "1")):
        out = f"run{number}"
        train = ["train", "perceptron", "--data", "kinds.csv", "--epochs", "20", "--batch-size", "16", "--quiet"]
        train += ["--label", label, "--out", out]
        code, _, err = printed(train, capsys)
        assert code == 0
        assert "kinds.csv: 90 rows, 3 columns, label column 1 ('kind') of 2 texts" in err
        code, told, _ = printed(["evaluate", out, "--json"], capsys)
        found = json.loads(told)
        assert found["classes"] == ["a", "b"]
        assert found["accuracy"] > 0.9  # the second column tells the classes apart
    assert "has no column called 'kinds'" in printed([*train, "--overwrite", "--label", "kinds"], capsys)[2]


def test_a_warning_is_one_line_without_a_place_in_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back after the test
    with pytest.raises(SystemExit):
        main(["--help"])
    told = warnings.formatwarning(UserWarning("no test part"), UserWarning, "load.py", 84, line="load()")
    assert told == "UserWarning: no test part\n"
