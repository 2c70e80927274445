"""Find the sample axis and the time axis of an input.

Torch's recurrent layers and attention take time first unless they say `batch_first`, and spiking neurons take it first
always; operations before them cannot be inspected. So it is tried: the input is made twice as long along one axis, then
along the other, and the layers with a time axis show which of their axes has grown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from threegen.errors import ConfigError, ShapeError, ThreegenError
from threegen.gen3.parts import is_neuron
from threegen.randomness import make_generator
from threegen.tracing.inputs import Inputs, answer, each, samples_in, tensors_of
from threegen.tracing.untouched import untouched

MOST = 8  # samples, or steps, of the trial


@dataclass(frozen=True, slots=True)
class Axes:
    """The axis of the samples, 0 or 1, and the axis of time in the input, or None if it has none."""

    batch: int = 0
    time: int | None = None


def find_axes(model: nn.Module, x: Inputs, time: int | None = None) -> Axes:
    """Return the `Axes` of inputs like `x`; `time` is the time axis given by the user.

    Raises `ConfigError` if it cannot be determined and `time` is not given, `ShapeError` for a single sequence.
    """
    samples_in("the search for the axis of time", x)
    first = tensors_of(x)[0]
    if time is not None:
        if isinstance(time, bool) or not isinstance(time, int) or not 0 <= time < first.dim():
            raise ConfigError(f"time must be an axis of the input {list(first.shape)}, 0..{first.dim() - 1}: {time!r}")
        if first.dim() < 2:
            raise ShapeError(f"an input with an axis of time is [B, T, ...] or [T, B, ...], got {list(first.shape)}")
        return Axes(1 if time == 0 else 0, time)
    layers = [module for module in model.modules() if _axes_of(module) is not None]
    if not layers:
        return Axes()
    trial = each(x, lambda one: one[:MOST] if len(one) > 4 * MOST else one)
    before = _watched(model, layers, trial)
    if before is None:  # a model of a fixed number of steps
        trial, before = x, _watched(model, layers, x)
    if before is None:
        return Axes()  # the model fails: its error is reported in the actual run
    if any(seen.alone for seen in before.values()):
        raise ShapeError(
            f"{type(model).__name__} reads {list(first.shape)} as one sequence without samples; use x.unsqueeze(...) "
            "to add an axis for samples"
        )
    if first.dim() < 2 or not before:
        return Axes()
    grown = [_grown(before, _watched(model, layers, each(trial, _longer(axis)))) for axis in (0, 1)]
    if grown[0] == "samples" != grown[1]:
        return Axes(0, 1 if grown[1] == "time" else None)
    if grown[1] == "samples" != grown[0]:
        return Axes(1, 0 if grown[0] == "time" else None)
    met = {(seen.samples, seen.time if seen.time > 1 else seen.calls) for seen in before.values()}
    if grown[0] == grown[1] and len(met) == 1:  # no axis grew alone: use the lengths themselves, if they differ
        lengths = met.pop()
        sizes = tuple(tensors_of(trial)[0].shape[:2])
        if lengths[0] != lengths[1] and sizes in (lengths, lengths[::-1]):
            return Axes(0, 1) if sizes == lengths else Axes(1, 0)
    raise ConfigError(
        f"the time axis and the sample axis of {list(first.shape)} cannot be determined from {type(model).__name__}; "
        f"give time=0 for [T, B, ...] or time=1 for [B, T, ...]"
    )


@dataclass(slots=True)
class _Seen:
    """The lengths of the sample axis and the time axis at a layer's first call, and the number of its calls."""

    samples: int
    time: int
    calls: int = 1
    alone: bool = False  # one sequence without a sample axis


def _axes_of(module: nn.Module) -> tuple[int, int | None] | None:
    """Return the (samples, time) axes of a layer's input, None for time if it takes one step; None if they are
    unknown."""
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return (0, 1) if module.batch_first else (1, 0)
    if isinstance(module, nn.RNNCellBase):
        return 0, None
    return (1, 0) if is_neuron(module) else None


def _watched(model: nn.Module, layers: list[nn.Module], x: Inputs) -> dict[nn.Module, _Seen] | None:
    """Return the axis lengths that the layers saw for `x`, or None if the model cannot take it."""
    found: dict[nn.Module, _Seen] = {}

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = (*args, *kwargs.values())[0]
        if isinstance(given, nn.utils.rnn.PackedSequence):
            sizes = given.batch_sizes
            seen = _Seen(int(sizes[0]), len(sizes))
        elif not isinstance(given, Tensor):
            return
        elif isinstance(module, nn.RNNCellBase):
            seen = _Seen(len(given), 1, alone=given.dim() == 1)
        else:
            samples, time = _axes_of(module) or (0, 1)
            alone = given.dim() == 2 and not is_neuron(module)
            seen = _Seen(given.shape[samples] if given.dim() > samples else 1, given.shape[time or 0], alone=alone)
        if module in found:
            found[module].calls += 1
        else:
            found[module] = seen

    hooks = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in layers]
    try:
        with untouched(model), torch.no_grad():
            answer(model, x, make_generator("axes"))
    except (ThreegenError, RuntimeError, ValueError, IndexError, TypeError):
        return None
    finally:
        for one in hooks:
            one.remove()
    return found


def _longer(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda one: torch.cat([one, one], axis) if one.dim() > axis else one


def _grown(before: dict[nn.Module, _Seen], after: dict[nn.Module, _Seen] | None) -> str | None:
    """Return "samples" or "time", whichever the layers found longer, or None."""
    for layer, old in before.items():
        new = (after or {}).get(layer)
        if new is None:
            continue
        if new.samples == 2 * old.samples and new.time == old.time:
            return "samples"
        if new.time == 2 * old.time or new.calls == 2 * old.calls:
            return "time"
    return None
