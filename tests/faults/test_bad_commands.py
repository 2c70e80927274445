"""Every command with bad values for each of its arguments and options: one of our sentences and exit code 2.

The commands are found in the application: a new one is tested as soon as `LITTLE` says how it is called. A value that
happens to be a good one may end with 0; whatever raises anything but our own errors fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import typing
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from threegen.cli import app, run

# How each command is called on little data; a known data set is never named where it could be downloaded.
LITTLE: dict[str, list[str]] = {
    "show": ["mlp"],
    "evaluate": ["run"],
    "predict": ["run", "0"],
    "explain": ["run", "0"],
    "spikes": ["spiking", "0"],
    "report": ["run"],
    "history": ["--data", "t.csv", "--only", "perceptron", "--quiet", "--out", "history"],
    "train": ["mlp", "--data", "t.csv", "--plan", "quick", "--epochs", "1", "--quiet", "--overwrite", "--out", "out"],
    "reproduce": ["nosuch"],
    "study": ["nosuch"],
    "search": ["mlp", "--space", "lr=log:0.1:1", "--data", "t.csv", "--trials", "2", "--epochs", "1", "--quiet"],
    "compare": ["run", "nosuch"],
    "convert": ["run", "--steps", "2", "--overwrite"],
    "export": ["run", "nosuch"],
    "export-page": ["nosuch"],
    "play": ["--models", "nosuch", "--run", "nosuch", "--no-open"],
    "data get": ["nosuch"],
    "data import": ["nosuch", "t.csv"],
    "data check": ["t.csv"],
    "data preview": ["t.csv"],
}
NUMBERS = ["-1", "0", "x", "1.5", ""]
BAD: dict[Any, list[str]] = {
    int: [*NUMBERS, "9" * 23],
    float: [*NUMBERS, "nan", "inf", "1e400"],
    str: ["", "nosuch", "[bold]x[/nosuch]", "a b", "x" * 300, "-", "a=b", "a=[1", "\udcff"],
    Path: ["", "nosuch/x", "file/x", "file", "empty", "x" * 300, "/proc/nosuch/x"],
}
LONG = ("epochs", "trials", "rounds")  # options whose large values are good ones, and take their time
# What must be refused, one sentence each: the first words of the error where they are the point.
REFUSED = {
    "explain run 0 --out file/x": "file cannot be a folder",
    "explain run 0 --depth 2": "saliency has no depth; these have: summary, diagram",
    "explain run 0 --method summary --overlay": "summary is not a heat map",
    "predict run nosuch.png": "there is no picture nosuch.png",
    "predict run file": "file cannot be read as a picture",
    "predict run 99": "image 99 is outside 0..",
    "spikes run 0": "mlp has no spikes to show",
    "report run --out t.csv": "a report is a .html file, got 't.csv'",
    "data preview t.csv --out t.csv": "the preview is a .png file, got 't.csv'",
    "train mlp --data t.csv --size 8 --out new": "t.csv is a table, which has no size=",
    "train mlp --data mnist --label 3 --out new": "mnist is a known data set, which has no label=",
    "train mlp --data t.csv --optimizer= --out new": "optimizer is ''",
    "train mlp --data t.csv --set hiden=[3] --out new": "mlp has no option 'hiden'",
    "train mlp --data t.csv --set hidden=16 --out new": "sizes of layers are a list, such as hidden=[300,100]",
    "train mlp --data t.csv --label nosuch --out new": "t.csv has no column called 'nosuch'; it has no header",
    "search mlp --space lr=log:1:2 --data t.csv --sampler nosuch": "sampler is 'nosuch'",
    "evaluate run --data nosuch.csv": "nosuch.csv does not exist",
    "train mlp --data t.csv --seed -1 --out new": "Invalid value for '--seed'",
}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command's name, with those of its groups before it, and itself."""

    def walk(group: Any, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, inner in group.commands.items():
            path = (*above, name)
            yield from walk(inner, path) if hasattr(inner, "commands") else [(" ".join(path), inner)]

    return walk(typer.main.get_command(app), ())


def parameters() -> list[tuple[str, str]]:
    return [(name, one.name) for name, command in commands() for one in command.params if kind_of(one) in BAD]


def kind_of(parameter: Any) -> Any:
    kind = parameter.type_descriptor.annotation
    return typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three classes, a run of an MLP, one of a spiking net, an empty folder and a file of one letter."""
    place = tmp_path_factory.mktemp("bad")
    generator = np.random.default_rng(0)
    table = generator.integers(0, 60, (90, 65))
    table[:, 0] = np.arange(90) % 3
    for row in table:
        row[1 + row[0] * 20 : 21 + row[0] * 20] += 150
    np.savetxt(place / "t.csv", table, fmt="%d", delimiter=",")
    (place / "empty").mkdir()
    (place / "file").write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one batch holds all the examples
        for model, name in (("mlp", "run"), ("spiking-mlp", "spiking")):
            little = ["--data", str(place / "t.csv"), "--plan", "quick", "--epochs", "1", "--quiet"]
            assert run(["train", model, *little, "--out", str(place / name)]) == 0
    return place


@pytest.fixture
def inside(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, which a command that goes wrong may spoil."""
    shutil.copytree(folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("threegen.web.start.play", lambda load, **_: load())  # nothing is served
    return tmp_path / "here"


def with_value(command: Any, little: list[str], name: str, value: str) -> list[str]:
    """Return the words of a command with one argument or option set to `value`."""
    words = list(little)
    arguments = [one.name for one in command.params if type(one).__name__ == "TyperArgument"]
    if name in arguments:
        place = arguments.index(name)
        words[place : place + 1] = [value]
        return words
    option = next(one for one in command.params if one.name == name).opts[0]
    if option in words:
        place = words.index(option)
        del words[place : place + 2]
    return [*words, f"{option}={value}"]


def test_every_command_that_needs_an_argument_is_called_with_one() -> None:
    needing = {name for name, command in commands() if any(one.required for one in command.params)}
    assert not needing - set(LITTLE), "say in LITTLE how it is called on little data"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "parameter"), parameters())
def test_bad_values_are_refused_with_a_sentence(
    name: str, parameter: str, inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = dict(commands())[name]
    one = next(found for found in command.params if found.name == parameter)
    for value in BAD[kind_of(one)]:
        if parameter in LONG and len(value) > 20:
            continue
        words = [*name.split(), *with_value(command, LITTLE.get(name, []), parameter, value)]
        code = run(words)  # what is not one of our own errors would be raised here
        told = capsys.readouterr()
        assert code in (0, 2), words
        assert "Traceback" not in told.err + told.out, words
        assert code == 0 or told.err.strip(), words
    assert (inside / "t.csv").read_text().startswith("0,"), "a file of the user's was written over"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_work_is_refused(words: str, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    assert REFUSED[words] in capsys.readouterr().err
    assert not (inside / "new" / "run.json").exists()


def test_pictures_go_into_folders_that_are_made(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "run", "0", "--out", "new/folder/map.png"]) == 0
    assert (inside / "new/folder/map.png").read_bytes().startswith(b"\x89PNG")
    assert "picture: new/folder/map.png" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_a_number_of_examples_per_update_beyond_the_data_is_the_whole_set(inside: Path) -> None:
    for words in (LITTLE["train"], LITTLE["search"]):
        name = "train" if "--plan" in words else "search"
        assert run([name, *words, "--batch-size", "9" * 23]) == 0


@pytest.mark.filterwarnings("ignore")
def test_a_search_by_optuna_draws_its_best(inside: Path) -> None:
    """Its trials have no accuracy on the training part, which the drawing took for granted."""
    pytest.importorskip("optuna")
    assert run(["search", *LITTLE["search"], "--sampler", "random", "--out", "found"]) == 0
    assert (inside / "found" / "best.png").is_file()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["models"], ["data", "list", "--json"], ["--version"]])
def test_a_full_disk_behind_standard_output_is_said(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "threegen", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "cannot write to standard output: No space left on device\n")


def test_nothing_but_an_ordinary_file_is_replaced(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report written to a pipe or a device would put a file in its place."""
    (inside / "folder.html").mkdir()
    assert run(["report", "run", "--out", "folder.html"]) == 2
    assert "folder.html is not an ordinary file" in capsys.readouterr().err
