"""Optimiser state and generators as named tensors and plain values, so that checkpoints need no pickle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from threegen.errors import CheckpointError
from threegen.training.optimizers.memory_order import match_layouts


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
    """Put back what `pack_optimizer` returned; raises `CheckpointError` where it does not fit."""
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
    match_layouts(optimizer)


def torch_generators() -> dict[str, Tensor]:
    """Return the states of torch's own generators: the CPU's and, where CUDA is in use, each GPU's."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states |= {f"cuda{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_torch_generators(states: Mapping[str, Tensor]) -> None:
    """Set torch's own generators to what `torch_generators` returned; GPUs that are not there are left out."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            if f"cuda{number}" in states:
                torch.cuda.set_rng_state(states[f"cuda{number}"], number)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `tensors` with `prefix/` before each name."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix/`, without it."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def own_generators(source: object) -> list[torch.Generator]:
    """Return the generators that a DataLoader and its sampler were given by the user, each once."""
    sampler = getattr(source, "sampler", None)
    holders: Iterable[object] = (source, sampler, getattr(source, "batch_sampler", None))
    found: list[torch.Generator] = []
    for holder in holders:
        generator = getattr(holder, "generator", None)
        if isinstance(generator, torch.Generator) and not any(generator is other for other in found):
            found.append(generator)
    return found
