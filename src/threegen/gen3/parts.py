"""Declarations of parts of a spiking net, so that tracing, counting and explaining support user-defined parts.

    class Twice(nn.Module):                      # write your own neuron, encoder, read-out or layer
        part = "neurons" # its kind: treated as a whole, time first

        def forward(self, currents, state=None): ...
        def cost(self, use):                     # optional: without it the functions inside are counted
            spikes, _ = use.output
            return Cost(self.part, {"threshold": spikes.numel()}, spikes, signal="spikes", states=1)

`part = "neurons"` promises (input [T, B, ...], state) -> (spikes [T, B, ...], state), `part = "encoder"` promises
values [B, ...] to spikes [T, B, ...]. Any other word only names the row of the cost report. `cost` is valid for the
methods of the class that defines it: if a sub-class replaces one of them, it is not used, and the functions inside are
counted.
Shapes: T time steps, B examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.errors import ConfigError

NEURONS, ENCODER = "neurons", "encoder"
# Methods that may be replaced without affecting the cost: they are not run for an answer.
_HARMLESS = frozenset({"extra_repr", "cost", "part", "train", "chances"})


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a part: its inputs, its result, and the kind of signal of each input tensor.

    `signals` are "values", "spikes" (0 or 1) or "counts" (summed or averaged spikes), one for each tensor of `inputs`.
    """

    inputs: tuple[Any, ...]
    output: Any
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call, over the whole batch and all time steps: one row of the cost report.

    `kind` names the row; `operations` are those of `tg.cost.OPERATIONS`; `output` is the part's result (its shape and
    type are the row's) and `signal` its kind of signal. `fed_by` is the signal that arrives, by default that of the
    first input. `spikes` [T, B, ...] are those sent (or their numbers [T, B], with `sent` in all), for the memory of
    the busiest step. `states` is the number of values that each neuron stores; if `takes_input`, the summed input is
    part of them and is not stored twice. `shape` replaces the shape of the output for one sample and step.
    """

    kind: str
    operations: Mapping[str, int]
    output: Tensor
    signal: str = "values"
    fed_by: str | None = None
    spikes: Tensor | None = None
    sent: int | None = None
    states: int = 0
    takes_input: bool = False
    shape: tuple[int, ...] | None = None


@runtime_checkable
class Priced(Protocol):
    """A part that declares the cost of a call."""

    part: str

    def cost(self, use: Use) -> Cost | Sequence[Cost]:
        """Return the rows of the cost report for one call; with none, the output has the signal of the first input."""


def nonzero(x: Tensor) -> int:
    """Return how many elements of `x` are not zero; raises `ConfigError` if it has no data."""
    if x.is_meta:
        raise ConfigError(
            "the number of spikes depends on data, and a model on the device meta has none; move it first"
        )
    return int(torch.count_nonzero(x))


def is_neuron(module: nn.Module) -> bool:
    """Return whether a module is a layer of spiking neurons: (input [T, B, ...], state) to (spikes, state)."""
    return getattr(module, "part", None) == NEURONS


def is_encoder(module: nn.Module) -> bool:
    """Return whether a module turns values [B, ...] into spikes [T, B, ...]."""
    return getattr(module, "part", None) == ENCODER


def is_whole(module: nn.Module) -> bool:
    """Return whether a trace treats a module as a whole."""
    return is_neuron(module) or is_encoder(module)


def is_priced(module: nn.Module) -> bool:
    """Return whether a module declares its cost, and no method that the declaration covers has been replaced."""
    kind: Any = type(module)
    return _speaks_for(kind) and "forward" not in vars(module) and isinstance(module, Priced)


@cache
def _speaks_for(kind: type) -> bool:
    """Return whether every method is that of the class that defines `cost`, or of one above it."""
    for place, one in enumerate(kind.__mro__):
        if "cost" in vars(one):
            above = (base for base in kind.__mro__[place:] if base.__module__ != nn.Module.__module__)
            known = {"forward"}.union(*(vars(base) for base in above))
            replaced = {name for base in kind.__mro__[:place] for name in vars(base) if not name.startswith("__")}
            return not (replaced & known) - _HARMLESS
    return False
