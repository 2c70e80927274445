"""A search's folder: the table and the stacks after the last epoch, so that a kill loses at most one epoch.

search.json is written last and names the file of tensors that belongs to it; both are written atomically.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from threegen.errors import CheckpointError
from threegen.training.persistence.checkpoint import read_tensors, tensor_hashes, write_tensors
from threegen.training.persistence.files import make_folder, write_whole
from threegen.training.search.stacked import Group
from threegen.training.search.trials import Trial

RECORD = "search.json"


def save_search(
    folder: Path,
    settings: Mapping[str, Any],
    rounds: Sequence[Sequence[Trial]],
    spaces: Sequence[Mapping[str, str]],
    groups: Sequence[Group],
    epoch: int,
) -> None:
    """Write the state after an epoch; the tensors of the epoch before are removed."""
    make_folder(folder)
    tensors: dict[str, Tensor] = {}
    for number, group in enumerate(groups):
        if group.trials:
            tensors |= group.tensors(str(number))
    file = f"stack-{len(rounds)}-{epoch}.safetensors"
    if tensors:
        write_tensors(folder / file, tensors)
    facts = {
        "settings": dict(settings),
        "spaces": [dict(space) for space in spaces],
        "rounds": [[trial.as_dict() for trial in trials] for trials in rounds],
        "epoch": epoch,
        "steps": [group.optimizer.steps for group in groups],
        "tensors": file if tensors else None,
        "sha256": tensor_hashes(tensors),
    }
    write_whole(folder / RECORD, json.dumps(facts))
    for old in folder.glob("stack-*.safetensors"):
        if old.name != file or not tensors:
            old.unlink()


def load_search(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `save_search` wrote; raises `CheckpointError` if it is damaged or belongs to other settings."""
    path = folder / RECORD
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        facts["rounds"] = [[Trial(**trial) for trial in trials] for trials in facts["rounds"]]
    except OSError as problem:
        raise CheckpointError(f"{folder} holds no search to resume; start it without resume") from problem
    except (ValueError, TypeError, KeyError) as problem:
        raise CheckpointError(f"{path} is damaged: {problem}; start the search again in another folder") from problem
    own = json.loads(json.dumps(dict(settings)))
    different = sorted(name for name in own | facts["settings"] if own.get(name) != facts["settings"].get(name))
    if different:
        name = different[0]
        raise CheckpointError(
            f"the search in {folder} was started with {name}={facts['settings'].get(name)!r}, now it is "
            f"{own.get(name)!r}; resume with the same settings or choose another folder"
        )
    if facts["tensors"]:
        facts["loaded"] = read_tensors(folder / facts["tensors"], facts["sha256"])
    return facts
