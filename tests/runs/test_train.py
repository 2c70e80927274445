"""Runs: what `train` takes, what a resumed run refuses, run.json under mutation, and a user's own module as a run."""

from __future__ import annotations

import contextlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import threegen as tg
from threegen.cli import run as command
from threegen.cli.printing import parse_settings
from threegen.datasets.dataset import Data, Dataset
from threegen.errors import CheckpointError, ConfigError, DataError, ThreegenError
from threegen.runs.answer import evaluate_run
from threegen.runs.record import parse_record, read_record, write_record
from threegen.runs.run import load_run, open_run, save_run
from threegen.runs.train import train_run


def table(folder: Path, rows: int = 90) -> Path:
    """A CSV file of three classes, told apart by which of three values is large."""
    draw = random.Random(0)
    lines = []
    for number in range(rows):
        values = [draw.random() * 0.3 for _ in range(6)]
        values[2 * (number % 3)] += 0.6
        lines.append(",".join([str(number % 3), *(f"{value:.3f}" for value in values)]))
    path = folder / "three.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    table(tmp_path)
    words = "train mlp --data three.csv --plan quick --epochs 2 --lr .01 --batch-size 16 --optimizer sgd"
    assert command([*words.split(), "--set", "hidden=[7,5]", "--set", "dropout=.1", "--quiet", "--out", "run"]) == 0
    return tmp_path / "run"


def test_each_option_reaches_the_training_and_the_record(made: Path) -> None:
    run = open_run(made)
    assert [p.shape[0] for name, p in run.model.named_parameters() if name.endswith("bias")] == [7, 5, 3]
    assert run.plan["optimizer"] == "sgd(lr=0.01)"
    assert (run.plan["batch_size"], run.plan["epochs"]) == (16, 2)
    again = run.command
    for part in ("--lr 0.01", "--batch-size 16", "--optimizer sgd", "--epochs 2", "hidden=[7, 5]", f"--out {made}"):
        assert part in again


def test_make_it_again_is_complete(made: Path, tmp_path: Path) -> None:
    """The printed command makes the same weights to the bit."""
    import shlex

    words = shlex.split(open_run(made).command)[1:]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert command([*words, "--quiet"]) == 0
    one, two = load_run(made).state_dict(), load_run(tmp_path / "again").state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--lr", ".1"), ("--batch-size", "8"), ("--optimizer", "adam"), ("--seed", "5"), ("--set", "hidden=[9]"),
     ("--holdout", "10"), ("--plan", "full")],
)  # fmt: skip
def test_a_resumed_run_refuses_another_setting(
    made: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["train", "--resume", "--out", "run", "--quiet", option, value]) == 2
    found = capsys.readouterr().err
    assert "was started with" in found
    assert "a resumed run keeps its settings" in found
    assert command(["train", "--resume", "--out", "run", "--quiet", "--lr", ".01"]) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"hiden": [3]}, "did you mean 'hidden'"), ({"hidden": 3.5}, "mlp"), ({"hidden": [0]}, "sizes"),
     ({"activation": "nope"}, "activation"), ({"dropout": "much"}, "dropout")],
)  # fmt: skip
def test_options_that_a_model_cannot_have(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ThreegenError, match=sentence):
        train_run("mlp", table(tmp_path), epochs=1, options=options)


def test_settings_on_the_command_line() -> None:
    given = ["hidden=300,100", "dropout=.2", "steps=4", "name=relu", "flag=true", "rate=1e-3", "batch-norm=True"]
    assert parse_settings(given) == {
        "hidden": [300, 100], "dropout": 0.2, "steps": 4, "name": "relu", "flag": True, "rate": 0.001,
        "batch_norm": True,
    }  # fmt: skip
    for wrong in (["hidden"], ["=3"], ["a=1", "a=2"]):
        with pytest.raises(ConfigError, match="--set"):
            parse_settings(wrong)


def test_a_model_in_stages_refuses_a_rate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dbn learns in stages"):
        train_run("dbn", table(tmp_path), lr=0.1)


def test_a_changed_table_is_refused_for_the_run_and_taken_when_named(made: Path) -> None:
    with Path("three.csv").open("a") as stream:
        stream.write("".join(f"{number % 3},.{number + 10},.2,.3,.4,.5,.6\n" for number in range(60)))
    with pytest.raises(DataError, match="has changed since mlp was trained"):
        evaluate_run(made)
    assert evaluate_run(made, data="three.csv").found.count > 0


def test_run_json_under_mutation(made: Path) -> None:
    """Every change of a byte or of a value is found, by an error of ours; 3,000 mutations, none ends in a traceback."""
    content = (made / "run.json").read_bytes()
    facts = parse_record(content, "run.json")
    draw = random.Random(1)
    wrong: list[Any] = [None, [], {}, "", -1, 1.5, True, [1], {"a": 1}, "x" * 99]
    for number in range(3000):
        changed = bytearray(content)
        if number % 2:
            at = draw.randrange(len(changed))
            changed[at] = draw.randrange(256)
        else:
            value = json.loads(content)
            value[draw.choice(list(value))] = draw.choice(wrong)
            changed = bytearray(json.dumps(value).encode())
        with contextlib.suppress(CheckpointError):
            assert parse_record(bytes(changed), "run.json") == facts
    write_record(made, facts)
    assert read_record(made) == facts


class Own(nn.Module):
    """A user's own module."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores [B, 10]."""
        scores: torch.Tensor = self.layers(x)
        return scores


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    digits = tg.load_data("mnist")
    model = Own(12)
    log = tg.fit(model, tg.Backprop(), digits.train.take(500), epochs=1, optimizer="adam")
    folder = tmp_path_factory.mktemp("own") / "run"
    save_run(folder, model, data="mnist", options={"width": 12}, log=log)
    return folder


def test_a_users_own_module_is_a_run(own_run: Path) -> None:
    digits = tg.load_data("mnist")
    found = [tg.evaluate(load_run(own_run, model=model), digits.test) for model in (Own(12), Own)]
    assert found[0].correct == found[1].correct > 1000
    with pytest.raises(ConfigError, match="does not import by itself"):
        load_run(own_run)
    with pytest.raises(CheckpointError, match="build the model with the sizes"):
        load_run(own_run, model=Own(9))
    with pytest.raises(ConfigError, match="already holds a run"):
        save_run(own_run, Own(12), data="mnist")


def test_the_commands_know_a_users_own_module(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The class is imported from its path only where the user says so."""
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n\n\ndef net(width=8):\n    model = nn.Module()\n"
        "    model.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))\n"
        "    model.forward = model.layers.forward\n    return model\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert command(["evaluate", str(own_run)]) == 2
    assert "does not import by itself; pass --module" in capsys.readouterr().err
    assert "own_nets" not in sys.modules
    picture = str(tmp_path / "map.svg")
    for words in (["evaluate"], ["predict", "7"], ["explain", "7", "--out", picture]):
        words.insert(1, str(own_run))
        assert command([*words, "--module", "own_nets:net"]) == 0, words
    page = tmp_path / "own.html"
    assert command(["report", str(own_run), "--module", "own_nets:net", "--out", str(page)]) == 0
    assert "Own" in page.read_text()
    assert command(["evaluate", str(own_run), "--module", "no_such:net"]) == 2


def test_data_of_ones_own_need_their_name(tmp_path: Path) -> None:
    part = Dataset.from_arrays(torch.rand(20, 784), torch.arange(20) % 10)
    run = save_run(tmp_path / "run", Own(), data=Data("own", part, part))
    with pytest.raises(DataError, match="--data"):
        run.load_data()


def test_a_run_begins_with_the_weights_of_another(made: Path, tmp_path: Path) -> None:
    """Three classes again: all weights. Two classes: the last layer keeps its drawn values. lr 1e-12 moves nothing."""
    known = {name: value.clone() for name, value in open_run(made).model.state_dict().items()}
    plan = {"mode": "quick", "epochs": 1, "batch_size": 16, "optimizer": "sgd", "lr": 1e-12}
    options = {"hidden": [7, 5], "dropout": 0.1}
    same = train_run("mlp", tmp_path / "three.csv", start=made, options=options, **plan)
    assert all(torch.allclose(value, known[name]) for name, value in same.model.state_dict().items())
    assert f"--start-from {made}" in same.command
    lines = (tmp_path / "three.csv").read_text().splitlines()
    two = tmp_path / "two.csv"
    two.write_text("\n".join(line for line in lines if not line.startswith("2")))
    fewer = train_run("mlp", two, start=made, options=options, **plan).model.state_dict()
    drawn = train_run("mlp", two, options=options, **plan).model.state_dict()
    *body, weight, bias = fewer
    assert all(torch.allclose(fewer[name], known[name]) for name in body)
    assert all(torch.allclose(fewer[name], drawn[name]) for name in (weight, bias))
    with pytest.raises(ConfigError, match=r"is \[7, 6\], here \[8, 6\]; start from a run of the same model"):
        train_run("mlp", two, start=made, options={"hidden": [8, 5]}, **plan)
    with pytest.raises(ConfigError, match="mlp, another model"):
        train_run("mlp", two, start=made, options={"hidden": [7]}, **plan)
