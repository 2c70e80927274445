"""`run.json`: the settings of a run, its training data, and its results.

Only this module reads and writes it. A record holds the facts that `SCHEMA` names and a digest of itself, so that a
changed or damaged file is detected before anything is built from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from threegen.errors import CheckpointError, ConfigError
from threegen.training.persistence.files import write_whole

FORMAT = 2
NAME = "run.json"
Facts = dict[str, Any]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _named_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _shape(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_whole(one) and one > 0 for one in value)


def _named(value: object) -> bool:
    return isinstance(value, dict)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# fact -> (what it must be, in words; the test; whether it is present from the start)
SCHEMA: dict[str, tuple[str, Callable[[object], bool], bool]] = {
    "format": ("a whole number", _whole, True),
    "name": ("the name of a model", _text, True),
    "settings": ("the settings that were asked for, by name", _named, True),
    "mode": ("a text", _text, True),
    "plan": ("the settings of the training, by name", _named, True),
    "data": ("a name or a path", _text, True),
    "data_options": ("options of load_data, by name", _named, True),
    "data_sha256": ("a SHA-256 for each part of the data", _named_texts, True),
    "shape": ("a list of sizes", _shape, True),
    "classes": ("a list of names", _texts, True),
    "seed": ("a whole number", _whole, True),
    "versions": ("versions by name", _named_texts, True),
    "module": ("an import path, or an empty text", _text, True),
    "finished": ("true or false", lambda value: isinstance(value, bool), True),
    "examples": ("a whole number", _whole, True),
    "held_out": ("a whole number", _whole, True),
    "seconds": ("a number", _number, False),
    "figures": ("figures by name", _named, False),
    "converted": ("what a converted net is built from, by name", _named, False),
    "sha256": ("a SHA-256 for each tensor", _named_texts, False),
}


def write_record(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `run.json` into `folder`, whole or not at all."""
    plain = json.loads(json.dumps(facts))  # as it is read back: lists for tuples, texts for keys
    write_whole(folder / NAME, json.dumps({**plain, "digest": _digest(plain)}, indent=1) + "\n")


def read_record(folder: Path) -> Facts:
    """Return the content of `run.json` in `folder`; raises `CheckpointError` if it is missing, changed or damaged."""
    path = folder / NAME
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a run: it has no {NAME}; `threegen train MODEL --out RUN` makes one")
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise CheckpointError(f"cannot read {path}: {problem.strerror}") from problem
    return parse_record(content, path)


def parse_record(content: bytes, source: Path | str) -> Facts:
    """Return the facts in the bytes of a `run.json`; raises `CheckpointError` naming `source`."""
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise CheckpointError(f"{source} is damaged: it is not JSON; train the model again") from problem
    if not isinstance(facts, dict):
        raise CheckpointError(f"{source} is damaged: it must hold facts by name, not a list or a value")
    form = facts.get("format")
    if isinstance(form, int) and form > FORMAT:
        raise CheckpointError(f"{source} was written in format {form}, this is {FORMAT}; upgrade threegen")
    for name, (what, fits, always) in SCHEMA.items():
        if name not in facts:
            if always:
                raise CheckpointError(f"{source} lacks {name!r}; the file is damaged; train the model again")
            continue
        if not fits(facts[name]):
            raise CheckpointError(f"{source}: {name} must be {what}, got {str(facts[name])[:60]!r}")
    if facts.pop("digest", None) != _digest(facts):
        raise CheckpointError(
            f"{source}: its digest does not match: the file was changed or is damaged; train the model again"
        )
    return facts


def require_free(folder: Path, overwrite: bool) -> None:
    """Raise `ConfigError` if `folder` already holds a run that must not be discarded."""
    if (folder / NAME).exists() and not overwrite:
        raise ConfigError(
            f"{folder} already holds a run; continue it with --resume, discard it with --overwrite, "
            "or choose another --out"
        )


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
