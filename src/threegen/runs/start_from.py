"""Fine-tuning: a model starts from the weights of a run; its last layer is initialised again if the classes differ."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.runs.run import open_run


def start_from(model: nn.Module, source: str | Path) -> list[str]:
    """Copy the weights of the run `source` (a folder, or a name whose weights ship) into `model`.

    Returns the names of the weights that keep their drawn values: those of the last layer, one row for each class,
    where the two have another number of classes. Raises `ConfigError` where any other weight does not fit, and what
    `open_run` raises.
    """
    run = open_run(source)
    weights, own, kept = run.model.state_dict(), model.state_dict(), []
    missing = sorted(set(weights) ^ set(own))
    if missing:
        raise ConfigError(
            f"{source} is {run.entry.name}, another model: {missing[0]} is in one of them alone; start from a run of "
            "the same model with the same options"
        )
    for name, tensor in own.items():
        found = weights[name].shape
        if found == tensor.shape:
            continue
        if not tensor.dim() or found[0] != len(run.facts["classes"]) or found[1:] != tensor.shape[1:]:
            raise ConfigError(
                f"{source}: {name} is {list(found)}, here {list(tensor.shape)}; start from a run of the same model "
                f"with the same options on inputs of the same shape (those of the run are {list(run.facts['shape'])})"
            )
        kept.append(name)
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in kept:
                tensor.copy_(weights[name])
    return kept
