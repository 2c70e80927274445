"""Optimiser state and generators as named tensors and plain values, so that checkpoints need no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from threegen.errors import CheckpointError
from threegen.machine.sparse.layouts import store_states_like_weights


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the optimiser's tensors by name (`0.exp_avg`) and its plain values (groups and non-tensor state)."""
    content = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in content["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    return tensors, {"kind": type(optimizer).__name__, "state": plain, "groups": content["param_groups"]}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Restore the state returned by `pack_optimizer`; raises `CheckpointError` if it does not fit."""
    if facts["kind"] != type(optimizer).__name__:
        raise CheckpointError(
            f"the checkpoint holds the state of {facts['kind']}, this run has {type(optimizer).__name__}; "
            "resume with the optimiser that the run was started with"
        )
    state: dict[int, dict[str, Any]] = {}
    for name, value in (*tensors.items(), *facts["state"].items()):
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    groups = [{**group, "betas": tuple(group["betas"])} if "betas" in group else group for group in facts["groups"]]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (ValueError, KeyError) as problem:
        raise CheckpointError(
            f"the checkpoint's optimiser state does not fit {type(optimizer).__name__}: {problem}; "
            "resume with the optimiser that the run was started with"
        ) from problem
    store_states_like_weights(optimizer)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `tensors` with `prefix/` before each name."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix/`, without it."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}
