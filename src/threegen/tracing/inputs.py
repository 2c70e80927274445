"""Inputs of a model: one tensor, several in a tuple, or several by name, each with the samples along one axis."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from threegen.errors import ConfigError, DataError, ShapeError
from threegen.tracing.untouched import takes_generator

Inputs = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


def tensors_of(x: Inputs) -> list[Tensor]:
    """Return the tensors of an input in the model's order."""
    if isinstance(x, Tensor):
        return [x]
    return list(x.values()) if isinstance(x, Mapping) else list(x)


def each(x: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """Return an input with every tensor changed."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, Mapping):
        return {name: change(one) for name, one in x.items()}
    return tuple(change(one) for one in x)


def require_inputs(owner: str, model: nn.Module, x: Any) -> int:
    """Return how many inputs there are after checking that they are tensors that `model` can be called with.

    Raises `ShapeError` for objects that are not tensors, `DataError` for none, `ConfigError` if `forward` takes another
    number.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{owner} takes a torch.nn.Module, got {type(model).__name__}")
    several = isinstance(x, tuple | Mapping)
    given = tensors_of(x) if several else [x]
    for one in given:
        if not isinstance(one, Tensor):
            raise ShapeError(
                f"{owner} expects a tensor, a tuple of tensors or a dictionary of them, got "
                f"{'a ' + type(one).__name__ + ' among them' if several else type(one).__name__}; "
                "use torch.as_tensor(...)"
            )
    if not given:
        raise DataError(f"{owner} needs at least one input, got an empty {type(x).__name__}")
    if any(not name or not isinstance(name, str) for name in (x if isinstance(x, Mapping) else ())):
        raise ConfigError(f"{owner} takes inputs by the names of forward's arguments, got {list(x)!r}")
    try:
        accepted = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return len(given)
    named: dict[str, Any] = dict(x) if isinstance(x, Mapping) else {}
    if takes_generator(model):
        named["generator"] = None  # passed by name, never an input
    try:
        accepted.bind(*(() if isinstance(x, Mapping) else given), **named)
    except TypeError:
        needed = [
            one.name
            for one in accepted.parameters.values()
            if one.name != "generator"
            and one.default is one.empty
            and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        got = f"inputs named {', '.join(x)}" if isinstance(x, Mapping) else f"{len(given)}"
        raise ConfigError(
            f"{type(model).__name__}.forward takes {len(needed)} input{'s' * (len(needed) != 1)} "
            f"({', '.join(needed)}), {owner} got {got}; give count and summary a tuple with a tensor for each, "
            "and wrap the model in a module of one input for explanations"
        ) from None
    return len(given)


def samples_in(owner: str, x: Inputs, axis: int = 0) -> int:
    """Return the number of samples along `axis`; raises `DataError` for none, `ShapeError` if inputs differ."""
    lengths = {one.shape[axis] if one.dim() > axis else 0 for one in tensors_of(x)}
    if len(lengths) > 1:
        shapes = ", ".join(str(list(one.shape)) for one in tensors_of(x))
        raise ShapeError(f"{owner} needs the same number of samples in every input, got the shapes {shapes}")
    if lengths == {0}:
        raise DataError(f"{owner} needs at least one sample, got none")
    return lengths.pop()


def parts_of(x: Inputs, size: int, axis: int = 0) -> Iterator[Inputs]:
    """Yield the samples in parts of `size`."""
    for start in range(0, samples_in("parts", x, axis), size):
        yield each(x, lambda one, start=start: one.narrow(axis, start, min(size, one.shape[axis] - start)))  # type: ignore[misc]


def on_device_of(model: nn.Module, x: Inputs) -> Inputs:
    """Return the input, as tensors without data if the model has none (`device="meta"`)."""
    weights = list(model.parameters())
    if weights and all(one.is_meta for one in weights):
        return each(x, lambda one: one.to("meta"))
    if any(one.is_meta for one in tensors_of(x)):
        raise DataError(
            f"the input is on the device meta and has no data, {type(model).__name__} is not; move one to the other"
        )
    return x


def answer(model: nn.Module, x: Inputs, generator: torch.Generator | None = None) -> Any:
    """Return the model's result for `x`, passing `generator` if the model's `forward` takes one."""
    given: dict[str, Any] = dict(x) if isinstance(x, Mapping) else {}
    if takes_generator(model):
        given["generator"] = generator
    return model(*(() if isinstance(x, Mapping) else tensors_of(x)), **given)


def answered(owner: str, model: nn.Module, x: Inputs, generator: torch.Generator | None = None) -> Any:
    """As `answer`; a failure inside the model because of its input becomes a `ShapeError` that says what it got."""
    try:
        return answer(model, x, generator)
    except (RuntimeError, IndexError) as problem:
        if isinstance(problem, ShapeError | DataError | ConfigError):
            raise
        if any(one.is_meta for one in tensors_of(x)):
            raise ConfigError(
                f"{owner}: the computation of {type(model).__name__} depends on data, and on the device meta there is "
                f"none; "
                f"give it a model with data ({str(problem).splitlines()[0]})"
            ) from problem
        shapes = ", ".join(f"{list(one.shape)} of {str(one.dtype).removeprefix('torch.')}" for one in tensors_of(x))
        whole = any(not one.is_floating_point() for one in tensors_of(x))
        advice = "; use x.float() / 255 if these are pixels" if whole else ""
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ShapeError(f"{type(model).__name__} cannot take {shapes} ({owner}): {reason}{advice}") from problem
