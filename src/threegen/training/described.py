"""Descriptions of the model, the data and the optimiser of a checkpoint, as plain values for comparison on resuming.

Not everything can be described (a user's function, the content of a stream). Such parts are named, so that a resumed
run can say what it could not compare.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.training.persistence.generators import parts_of

_PLAIN = (str, int, float, bool, type(None))
_LONGEST = 64  # entries of a list of sizes


def describe_model(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return for each module its class and its plain settings: `activation`, `eps`, sizes, thresholds."""
    return {path or "itself": describe_object(module) for path, module in model.named_modules()}


def describe_object(thing: object) -> dict[str, Any]:
    """Return an object's class and those of its attributes that are plain values, functions by their names."""
    found: dict[str, Any] = {"class": f"{type(thing).__module__}.{type(thing).__qualname__}"}
    for name, value in sorted(vars(thing).items()) if hasattr(thing, "__dict__") else ():
        if name.startswith("_"):  # internal state, unless a property of that name exposes a setting
            name = name[1:]
            if not isinstance(getattr(type(thing), name, None), property):
                continue
        if name == "training":
            continue
        plain = _plain(value)
        if plain is not None or value is None:
            found[name] = plain
    return found


def _plain(value: Any) -> Any:
    """Return a value in JSON's types, None for what cannot be described."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple) and len(value) <= _LONGEST and all(isinstance(one, _PLAIN) for one in value):
        return list(value)
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value) if isinstance(value, torch.dtype | torch.Size) else None


def describe_data(data: Any, hashed: bool) -> dict[str, Any]:
    """Return what identifies the data; their content only if `hashed` (there are checkpoints) and it is in memory."""
    if not hashed:
        return {}
    if isinstance(data, Dataset):
        return {"name": data.name, "examples": len(data), "sha256": data.fingerprint()}
    if isinstance(data, Sequence):
        return {"name": type(data).__name__, "batches": len(data), "sha256": _hash_batches(data)}
    parts = {str(number): _sized(part) for number, part in enumerate(parts_of(data))}
    known = any("sha256" in part for part in parts.values())
    return {"name": type(data).__name__, "parts": parts, "content": "compared" if known else "not compared"}


def _sized(part: object) -> dict[str, Any]:
    """Return the description of a part of a source of batches: its settings, and its length if it has one."""
    # Plain numbers of a user's own source may be counters; those of torch's classes are settings.
    found: dict[str, Any] = {"class": f"{type(part).__module__}.{type(part).__qualname__}"}
    for name in ("batch_size", "drop_last", "replacement", "num_samples", "num_workers"):
        value = getattr(part, name, None)
        if value is not None and isinstance(value, _PLAIN):
            found[name] = value
    with suppress(TypeError):
        found["length"] = len(part)  # type: ignore[arg-type]
    tensors = getattr(part, "tensors", None)  # a TensorDataset
    if isinstance(tensors, tuple) and all(isinstance(one, Tensor) for one in tensors):
        found["sha256"] = _hash_batches([tensors])
    return found


def _hash_batches(batches: Sequence[Any]) -> str:
    digest = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{tuple(value.shape)} {value.dtype}".encode())
            if value.numel():
                digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            for name in sorted(value):
                take(value[name])
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for one in value:
                take(one)
        elif hasattr(value, "inputs"):
            take([value.inputs, value.targets])

    for batch in batches:
        take(batch)
    return digest.hexdigest()


def describe_groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return the settings of an optimiser's groups as it was built, before any schedule changed them."""
    return [
        {name: _plain(value) for name, value in sorted(group.items()) if name != "params"}
        for group in optimizer.param_groups
    ]


def first_difference(before: Any, now: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Return the first difference of two descriptions: the path, the former value and the current one."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys((*before, *now)):
            if name not in before or name not in now:
                return f"{path}{name}", before.get(name, "absent"), now.get(name, "absent")
            found = first_difference(before[name], now[name], f"{path}{name}.")
            if found is not None:
                return found
        return None
    return None if before == now else (path.rstrip("."), before, now)
