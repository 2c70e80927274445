"""The states of all random number generators, as named tensors for a checkpoint.

Global generators: torch's (each GPU's too), numpy's and Python's, which the user's augmentations may draw from.
Generators of the user's data: attributes of a DataLoader, its samplers (nested ones too) and its data set.
"""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random
_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_DEEPEST = 6  # the maximum nesting of samplers, data sets and wrappers that is searched


def process_generators() -> dict[str, Tensor]:
    """Return the states of the process's own generators: torch's, numpy's and Python's."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states |= {f"cuda{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    states["numpy"] = _packed(np.random.get_state(legacy=False))  # noqa: NPY002  # the user's code draws from it
    states["python"] = _packed(random.getstate())
    return states


def set_process_generators(states: Mapping[str, Tensor]) -> None:
    """Set the process's generators to what `process_generators` returned; absent GPUs are left out."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            if f"cuda{number}" in states:
                torch.cuda.set_rng_state(states[f"cuda{number}"], number)
    np.random.set_state(_unpacked(states["numpy"]))  # noqa: NPY002
    random.setstate(_python_state(_unpacked(states["python"])))


def generator_state(generator: Generator) -> Tensor:
    """Return the state of a generator of any kind."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return _packed(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return _packed(generator.get_state(legacy=False))
    return _packed(generator.getstate())


def set_generator_state(generator: Generator, state: Tensor) -> None:
    """Set a generator to what `generator_state` returned."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _unpacked(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(_unpacked(state))
    else:
        generator.setstate(_python_state(_unpacked(state)))


def own_generators(source: object) -> list[Generator]:
    """Return the generators of a source of batches and of its parts, each once, in a fixed order."""
    found: list[Generator] = []
    for part in parts_of(source):
        for value in _attributes(part).values():
            if isinstance(value, _KINDS) and not any(value is other for other in found):
                found.append(value)
    return found


def parts_of(source: object) -> list[object]:
    """Return a source of batches, its samplers, its data set and the objects that these wrap, each once."""
    found: list[object] = []

    def walk(part: object, depth: int) -> None:
        if depth > _DEEPEST or any(part is other for other in found) or not _is_part(part):
            return
        found.append(part)
        for value in _attributes(part).values():
            for inner in value if isinstance(value, list | tuple) and len(value) <= 64 else (value,):
                walk(inner, depth + 1)

    walk(source, 0)
    return found


def announce_epoch(source: object, epoch: int) -> None:
    """Call `set_epoch(epoch)` of every sampler and data set that has it, as distributed samplers require."""
    for part in parts_of(source):
        method: Callable[[int], Any] | None = getattr(part, "set_epoch", None)
        if callable(method):
            method(epoch)


def _is_part(value: object) -> bool:
    """Return whether `value` is something that may hold generators: an object with attributes, no tensor, no module."""
    if isinstance(value, (Tensor, torch.nn.Module, np.ndarray, type, ModuleType, *_KINDS)):
        return False
    return hasattr(value, "__dict__") and not inspect.isroutine(value)


def _attributes(part: object) -> dict[str, Any]:
    return dict(sorted(vars(part).items())) if hasattr(part, "__dict__") else {}


def _packed(state: Any) -> Tensor:
    text = json.dumps(_plain(state)).encode()
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def _unpacked(state: Tensor) -> Any:
    return json.loads(bytes(state.tolist()))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value


def _python_state(state: Sequence[Any]) -> tuple[Any, ...]:
    return (state[0], tuple(state[1]), state[2])


def counting_parts(source: object) -> Iterator[tuple[str, Any]]:
    """Yield each plain number that a source of batches keeps in an attribute, with its name."""
    for number, part in enumerate(parts_of(source)):
        if type(part).__module__.startswith("torch."):
            continue
        for name, value in _attributes(part).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{number}.{type(part).__name__}.{name}", value
