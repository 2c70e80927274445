"""The examples of the reference (docs/examples): each runs, and the names that have none are listed here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from threegen.names import NAMESPACES

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CELL = re.compile(r"^# %% ([\w, ]+)\n(.*?)(?=^# %% |\Z)", re.MULTILINE | re.DOTALL)
WITHOUT: dict[str, str] = {
    "datasets.read_aedat4": "needs a file of a camera; tests/datasets reads one",
    "datasets.read_dat": "needs a file of a camera; tests/datasets reads one",
    "datasets.read_evt": "needs a file of a camera; tests/datasets reads one",
    "datasets.PictureDataset": "needs a folder of pictures; tests/datasets reads one",
    "datasets.SpikeFile": "needs a file of Spiking Heidelberg Digits; tests/datasets reads one",
}


def cells(namespace: str) -> dict[str, str]:
    return dict(CELL.findall((EXAMPLES / f"{namespace}.py").read_text()))


def named(namespace: str) -> set[str]:
    return {name for names in cells(namespace) for name in names.split(", ")} - {"setup"}


def public(namespace: str) -> set[str]:
    return {name for names in NAMESPACES[namespace].values() for name in names}


@pytest.mark.parametrize("namespace", sorted(NAMESPACES))
def test_every_public_name_has_an_example(namespace: str) -> None:
    missing = public(namespace) - named(namespace)
    assert {f"{namespace}.{name}" for name in missing} == {
        name for name in WITHOUT if name.partition(".")[0] == namespace
    }
    assert named(namespace) <= public(namespace)


CELLS = [(space, names) for space in sorted(NAMESPACES) for names in cells(space) if names != "setup"]


@pytest.mark.filterwarnings("ignore:no (neuron|plane) has the class")  # so few images do not reach every class
@pytest.mark.parametrize(("namespace", "names"), CELLS)
def test_the_example_runs(namespace: str, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setup alone before it."""
    monkeypatch.chdir(tmp_path)
    found = cells(namespace)
    scope: dict[str, object] = {"__name__": "__main__"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(found["setup"] + found[names], f"{namespace}: {names}", "exec"), scope)
