"""The README's examples run, and its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.main import get_command

from threegen.cli import app
from threegen.figures.reproduce import figures_markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """They build on each other; the printed accuracy of two epochs on 10,000 digits is well above 90 %."""
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)
    accuracy = float(capsys.readouterr().out.partition("%")[0])
    assert accuracy > 90.0


def test_shell_examples_name_real_commands_and_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    root = get_command(app)
    for line in "\n".join(blocks("sh")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line
        elif words[:1] == ["threegen"]:
            command = root
            for word in words[1:]:
                children = getattr(command, "commands", None)
                if children is None:
                    break
                command = children[word]
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, line


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        heading = target.removeprefix("#").replace("-", " ")
        assert target.startswith("http") or (ROOT / target).exists() or f"\n## {heading}\n" in README.lower(), target


def test_figures_are_those_of_the_records() -> None:
    """Where a record is new: python scripts/readme_figures.py"""
    assert figures_markdown(ROOT / "reproduction") in README
