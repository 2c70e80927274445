"""Studies: a study is a textbook experiment that measures figures and draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """How a study runs: `quick` takes seconds instead of minutes, `seed` drives every draw, `progress` shows bars.

    `data` names the data of a study that supports several; empty selects the first of them.
    """

    quick: bool = False
    seed: int = 0
    progress: bool = False
    data: str = ""


@dataclass(frozen=True)
class Study:
    """One study. `measure(settings)` returns its figures as plain data (what JSON can hold).

    `draw(figures, folder)` draws them from that data only and returns the names of the written files. `about` says in
    one sentence what the study shows, `source` cites the experiment. `data` lists the data sets that `--data` may name,
    the first one being the default; empty for a study with its own data.
    """

    name: str
    title: str
    about: str
    source: str
    measure: Callable[[Settings], dict[str, Any]]
    draw: Callable[[dict[str, Any], Path], list[str]]
    data: tuple[str, ...] = ()
