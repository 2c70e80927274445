"""Argument checks shared by all public functions: each raises an error of threegen's own, in one clear sentence."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

import numpy as np
import torch

from threegen.errors import ConfigError, DataError, NumericError, ShapeError


def require_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`; otherwise raise `ConfigError` with the nearest spelling."""
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    raise ConfigError(f"{name} is {value!r}; choose {', '.join(known)}{did_you_mean(value, known)}")


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` if one of `choices` is spelt nearly like `value`, else an empty text."""
    nearest = difflib.get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def require_number(
    name: str,
    value: float,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return `value` as a float if it is finite and within the bounds; otherwise raise `ConfigError`."""
    bounds = [
        text
        for bound, text in (
            (above, f"above {above}"),
            (least, f"at least {least}"),
            (below, f"below {below}"),
            (most, f"at most {most}"),
        )
        if bound is not None
    ]
    wanted = "a finite number" + (" " + " and ".join(bounds) if bounds else "")
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise ConfigError(f"{name} must be {wanted}, got {value!r}")
    if (
        (above is not None and value <= above)
        or (least is not None and value < least)
        or (below is not None and value >= below)
        or (most is not None and value > most)
    ):
        raise ConfigError(f"{name} must be {wanted}, got {value!r}")
    return float(value)


def require_whole(name: str, value: int, *, least: int = 1) -> int:
    """Return `value` as an int if it is a whole number (numpy's too) of at least `least`; else raise `ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def require_names(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return `names` as a tuple; raise `ConfigError` for a single text, a number or anything else that is no list."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise ConfigError(f"{name} must be a list of names, got {names!r}")
    return tuple(names)


def require_sizes(name: str, sizes: Iterable[int], *, least_length: int = 2) -> list[int]:
    """Return layer sizes as a list of positive whole numbers; otherwise raise `ConfigError`."""
    if isinstance(sizes, str | int) or not isinstance(sizes, Iterable):
        raise ConfigError(f"{name} must be a list of layer sizes such as [784, 512, 10], got {sizes!r}")
    listed = list(sizes)
    if len(listed) < least_length:
        raise ConfigError(f"{name} must list at least {least_length} layer sizes, got {listed!r}")
    for position, size in enumerate(listed):
        require_whole(f"{name}[{position}]", size)
    return listed


def require_finite(name: str, values: torch.Tensor) -> torch.Tensor:
    """Return `values` if none is NaN or infinite; otherwise raise `NumericError` naming the first."""
    if values.numel() == 0:
        return values
    if not values.is_complex():  # one pass without a mask: the smallest and the largest are NaN if any value is
        low, high = torch.aminmax(values.detach())
        if math.isfinite(low) and math.isfinite(high):
            return values
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return values
    bad = (~finite).nonzero()
    raise NumericError(
        f"{name} has {len(bad):,} non-finite values, first at {bad[0].tolist()}; clean the data before use"
    )


def require_unit_range(name: str, values: torch.Tensor, *, finite: bool = True) -> torch.Tensor:
    """Return `values` if all are in 0..1; otherwise raise `ConfigError` (pixels 0..255 are the usual cause).

    With `finite=False` NaN passes: for states that a model has drawn itself, whose own check names the cause. Values
    that cannot be read (on the device `meta`, while torch compiles or maps) pass too.
    """
    if values.numel() == 0 or values.is_meta or torch.compiler.is_compiling() or _bits_in_unit_range(values):
        return values
    try:
        low, high = (float(bound) for bound in torch.aminmax(values.detach()))
    except RuntimeError:  # inside torch.func.vmap there are no numbers
        return values
    if finite and not (math.isfinite(low) and math.isfinite(high)):
        require_finite(name, values)
    if low < 0.0 or high > 1.0:
        advice = "divide by 255" if low >= 0.0 and 1.0 < high <= 255.0 else "scale them to 0..1"
        raise ConfigError(f"{name} needs values in 0..1, got {low:g}..{high:g}; {advice}")
    return values


_BITS_OF_ONE = {torch.float32: (np.uint32, 0x3F800000), torch.float64: (np.uint64, 0x3FF0000000000000)}


def _bits_in_unit_range(values: torch.Tensor) -> bool:
    """Return True if all are in 0..1, judged by their bits: as unsigned numbers, 0..1 are all those up to that of 1.

    One integer maximum takes 3 microseconds for a batch of 100 x 784, `aminmax` takes 43. False decides nothing.
    """
    kind = _BITS_OF_ONE.get(values.dtype)
    if kind is None or not values.is_cpu or not values.is_contiguous() or type(values) is not torch.Tensor:
        return False
    try:
        bits = values.detach().numpy().view(kind[0])
    except RuntimeError:  # a tensor inside a transform of torch.func has no memory of its own
        return False
    return bool(bits.max() <= kind[1])


def needs_unit_range(model: object) -> bool:
    """Return whether a model takes only values in 0..1: it, or its first part, declares it by `needs_unit_range`."""
    own = getattr(model, "needs_unit_range", None)
    if own is not None:
        return bool(own)
    return any(needs_unit_range(part) for part in model.children()) if isinstance(model, torch.nn.Module) else False


def require_features(
    owner: str, inputs: torch.Tensor, features: int, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Return `inputs` as `[B, features]`, flattening images; otherwise raise `ShapeError` naming `owner`.

    With `weight` (the first layer's) given, inputs of another floating-point type are rejected too.
    """
    require_float(owner, inputs, weight)
    flat = inputs.flatten(1) if inputs.dim() > 2 else inputs
    if flat.dim() != 2 or flat.shape[1] != features:
        raise ShapeError(f"{owner} expects [B, {features}] or images of {features} pixels, got {list(inputs.shape)}")
    return flat


def require_images(
    owner: str, inputs: torch.Tensor, shape: tuple[int, ...], weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Return `inputs` if they are `[B, *shape]`; otherwise raise `ShapeError` naming `owner` (see above)."""
    require_float(owner, inputs, weight)
    if tuple(inputs.shape[1:]) != shape:
        advice = f"; use x.reshape(-1, {', '.join(map(str, shape))})" if _fits(inputs, shape) else ""
        raise ShapeError(f"{owner} expects [B, {', '.join(map(str, shape))}], got {list(inputs.shape)}{advice}")
    return inputs


def _fits(inputs: torch.Tensor, shape: tuple[int, ...]) -> bool:
    return inputs.dim() > 1 and math.prod(inputs.shape[1:]) == math.prod(shape)


def require_float(owner: str, inputs: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Return `inputs` if it is a floating-point tensor; otherwise raise `ShapeError` naming `owner`.

    With `weight` given, both must have the same type (except under autocast, which converts by itself) and device.
    """
    if not isinstance(inputs, torch.Tensor):
        raise ShapeError(f"{owner} expects a tensor, got {type(inputs).__name__}; use torch.as_tensor(...)")
    if not inputs.is_floating_point():
        raise ShapeError(f"{owner} expects floating-point values, got {inputs.dtype}; use x.float() / 255 for pixels")
    if weight is not None and inputs.dtype != weight.dtype and not torch.is_autocast_enabled(inputs.device.type):
        raise ShapeError(
            f"{owner} expects {weight.dtype}, the type of its weights, got {inputs.dtype}; "
            f"use x.to({weight.dtype}) or model.to({inputs.dtype})"
        )
    if weight is not None and inputs.device != weight.device:
        raise ShapeError(
            f"{owner} expects a tensor on {weight.device}, where its weights are, got one on {inputs.device}; "
            f"use x.to({str(weight.device)!r}) or model.to({str(inputs.device)!r})"
        )
    return inputs


def require_states(owner: str, what: str, states: torch.Tensor, size: int, weight: torch.Tensor) -> torch.Tensor:
    """Return `states` of units if they are `[..., size]` and of the type of `weight`; otherwise raise `ShapeError`."""
    require_float(owner, states, weight)
    if states.dim() == 0 or states.shape[-1] != size:
        raise ShapeError(f"{owner} expects {what} [..., {size}], got {list(states.shape)}")
    return states


def require_labels(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return `labels` if each is a whole number in 0..classes-1; otherwise raise `DataError` naming the first."""
    if not isinstance(labels, torch.Tensor):
        raise DataError(f"labels must be a tensor of whole numbers [B], got {type(labels).__name__}")
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.dim() != 1:
        raise DataError(f"labels must be whole numbers [B], got {labels.dtype} of shape {list(labels.shape)}")
    if labels.numel() == 0:
        return labels
    low, high = torch.aminmax(labels)
    if int(low) < 0 or int(high) >= classes:
        index = int(((labels < 0) | (labels >= classes)).nonzero()[0])
        raise DataError(f"label {int(labels[index])} at index {index} is outside 0..{classes - 1}")
    return labels
