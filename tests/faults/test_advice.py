"""Advice works when followed: what messages, help and documents tell people to type exists.

Every text of the package (messages, help, not docstrings) and every code block of the documents is searched for
commands of `threegen`, names of `tg`, extras of `pip install` and arguments written as `name=`. Commands must parse
with the options that they name; the advice of errors that can be met in a test is followed.
"""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

import threegen as tg
from threegen.cli import app, run

ROOT = Path(__file__).parents[2]
SOURCE = Path(tg.__file__).parent
GROUP = typer.main.get_command(app)
NAMES = "|".join(GROUP.commands)
COMMAND = re.compile(rf"(?<![\w./-])threegen (?:{NAMES})\b(?![.:])[^`;,()|#\n]*")


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each text of a file that is no docstring, with its place; what is filled in becomes X."""
    tree = ast.parse(path.read_text())
    kinds = ast.Module | ast.FunctionDef | ast.ClassDef
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, kinds) and _has_doc(node)}  # type: ignore[attr-defined]
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        where = f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.JoinedStr):
            yield where, "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inner:
            yield where, node.value


def _has_doc(node: Any) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


@cache
def all_texts() -> tuple[tuple[str, str], ...]:
    return tuple(found for path in sorted(SOURCE.rglob("*.py")) for found in texts(path))


def commands_in_documents() -> Iterator[tuple[str, str]]:
    """Yield the commands in README and docs: lines of code blocks that begin with `threegen`."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        inside = False
        for line in path.read_text().splitlines():
            if line.startswith("```"):
                inside = not inside
            plain = line.strip().removeprefix("$ ").partition(" #")[0].strip(" \\")
            if inside and plain.startswith("threegen ") and "..." not in plain:
                yield path.name, plain


def complaint(words: list[str]) -> str:
    """Return what is wrong with a command, or nothing: an unknown command or option, or too many arguments."""
    command: Any = GROUP
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        if name not in command.commands:
            return f"there is no command {name}"
        command = command.commands[name]
    options = {text: one for one in command.params for text in one.opts if text.startswith("-")}
    arguments = [one for one in command.params if type(one).__name__ == "TyperArgument"]
    free = []
    while words:
        word, sign, _ = words.pop(0).partition("=")
        if not word.startswith("--"):
            free.append(word)
        elif word in ("--help", "--X"):  # X is --quick or --full
            continue
        elif word not in options:
            return f"it has no option {word}"
        elif not options[word].is_flag and not sign and words:
            words.pop(0)
    if len(free) > len(arguments) and all(one.nargs != -1 for one in arguments):
        return f"it takes {len(arguments)} arguments, not {len(free)}"
    return ""


def said_commands() -> list[tuple[str, str]]:
    found = [(where, one.strip(" .'\"")) for where, text in all_texts() for one in COMMAND.findall(text)]
    return sorted({*found, *commands_in_documents()})


def test_there_is_advice_to_test() -> None:
    """The search itself works: these are found, and mistakes in them would be."""
    said = {text for _, text in said_commands()}
    assert {"threegen models", "threegen train MODEL --out RUN", "threegen train --resume --out X"} <= said
    assert len(said) > 20
    assert complaint(["data", "preview", "mnist", "cifar10"]) == "it takes 1 arguments, not 2"
    assert complaint(["train", "mlp", "--epoch", "3"]) == "it has no option --epoch"
    assert complaint(["data", "fetch"]) == "there is no command fetch"


@pytest.mark.parametrize(("where", "text"), said_commands())
def test_commands_that_are_named_exist_with_their_options(where: str, text: str) -> None:
    words = shlex.split(text.split(" and ")[0].split(" or ")[0].split(" makes ")[0])[1:]
    assert not complaint(words), f"{where}: {text}"


def test_options_that_are_named_exist() -> None:
    """`--resume`, `--data NAME` and the like, wherever a text advises them."""

    def options(group: Any) -> set[str]:
        inner = getattr(group, "commands", {}).values()
        return {text for one in group.params for text in one.opts}.union(*(options(one) for one in inner))

    known = options(GROUP) | {"--help"}
    wrong = {
        (where, option)
        for where, text in all_texts()
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text.replace("--gen", ""))
        if option not in known and "var(--" not in text and "torch" not in text and "<" not in text
    }
    foreign = {
        one for one in wrong if one[0].startswith(("src/threegen/web", "src/threegen/report", "src/threegen/plots"))
    }
    assert not wrong - foreign


def test_names_of_the_package_that_are_named_exist() -> None:
    for where, text in all_texts():
        for dotted in re.findall(r"(?<![\w.])tg((?:\.[A-Za-z_]\w*)+)", text):
            found: Any = tg
            for part in dotted[1:].split("."):
                assert hasattr(found, part), f"{where}: tg{dotted}"
                found = getattr(found, part)


def test_extras_that_are_named_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for _, text in all_texts() for extra in re.findall(r"threegen\[(\w+)\]", text)} - {"X"}
    sources = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    named |= set(re.findall(r"MissingExtraError\.of\([^)]*\"(\w+)\"\)", sources))
    assert {"images", "events", "search"} <= named
    assert not named - set(extras)


def test_arguments_that_are_named_exist() -> None:
    """`raise max_pixels=`, `give scale=`: some function of the package, or a field of a class, has that name."""
    known: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known.add(node.target.id)
    advice = re.compile(r"\b(?:give|pass|raise|choose another|lower|set|or|with|use|leave out|say) ([a-z_]+)=(?![=\w])")
    named = {(name, where) for where, text in all_texts() for name in advice.findall(text)}
    assert len(named) > 5
    assert not {one for one in named if one[0] not in known}


# -- errors that can be met here, and what they say to do --------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 90 rows in two classes, and a run that was trained on it."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).integers(0, 200, (90, 10))
    rows[:, 0] = np.arange(90) % 2
    np.savetxt("t.csv", rows, fmt="%d", delimiter=",")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train = "train perceptron --data t.csv --plan quick --epochs 1 --quiet --out run"
        assert run(train.split()) == 0
    return tmp_path / "t.csv"


@pytest.mark.filterwarnings("ignore")
def test_the_advice_of_errors_is_followed(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(line: str) -> str:
        capsys.readouterr()
        assert run(shlex.split(line)) == 2, line
        return capsys.readouterr().err.strip()

    again = "train perceptron --data t.csv --plan quick --quiet"
    assert "continue it with --resume, discard it with --overwrite, or choose another --out" in refused(
        f"{again} --out run"
    )
    assert run(shlex.split("train --resume --epochs 2 --quiet --out run")) == 0
    assert run(shlex.split(f"{again} --epochs 1 --out run --overwrite")) == 0
    assert "leave out lr, or choose another --out" in refused("train --resume --out run --lr 3 --quiet")
    assert "`threegen models` lists them" in refused("train")
    assert run(["models"]) == 0
    assert "name them: threegen compare first=run second=RUN" in refused("compare run run")
    capsys.readouterr()
    assert run(["compare", "first=run", "second=run"]) == 0

    table.write_text(table.read_text() + "".join(f"0,1,2,3,4,5,6,7,8,{number}\n" for number in range(9)))
    told = refused("evaluate run")
    advice = told.partition("to evaluate on them anyway: ")[2]
    assert advice.startswith("--data ")
    assert run(["evaluate", "run", *shlex.split(advice)]) == 0

    far = np.random.default_rng(1).integers(0, 1000, (90, 5))
    np.savetxt("far.csv", np.c_[np.arange(90) % 2, far], fmt="%d", delimiter=",")
    told = refused("train perceptron --data far.csv --quiet --out far")
    assert "give scale= to divide by" in told
    scaled = "train perceptron --data far.csv --scale 1000 --plan quick --epochs 1 --quiet --out far"
    assert run(shlex.split(scaled)) == 0
