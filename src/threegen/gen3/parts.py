"""What a part of a spiking net says of itself, so that tracing, counting and explaining know parts never seen before.

    class Twice(nn.Module):                      # write your own neuron, encoder, read-out or layer
        part = "neurons"                         # its kind: seen as a whole, time first

        def forward(self, currents, state=None): ...
        def cost(self, use):                     # optional: without it the functions inside are counted
            spikes, _ = use.output
            return Cost(self.part, {"threshold": spikes.numel()}, spikes, signal="spikes", states=1)

`part = "neurons"` promises (input [T, B, ...], state) -> (spikes [T, B, ...], state), `part = "encoder"` promises
values [B, ...] to spikes [T, B, ...]. Any other word only names the row of the bill. `cost` speaks for the methods of
the class that defines it: where a sub-class replaces one, it is not asked, and the functions inside are counted.
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
# What may be replaced without a word about the cost: it is not run for an answer.
_HARMLESS = frozenset({"extra_repr", "cost", "part", "train", "chances"})


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a part: its inputs, what it returned, and what each input tensor carries.

    `signals` are "values", "spikes" (0 or 1) or "counts" (summed or averaged spikes), one for each tensor of `inputs`.
    """

    inputs: tuple[Any, ...]
    output: Any
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call cost, over the whole batch and all time steps: one row of the bill.

    `kind` names the row; `operations` are those of `tg.cost.OPERATIONS`; `output` is the tensor that the part made
    (its shape and type are the row's) and `signal` what it carries. `fed_by` is the signal that arrives, by default
    that of the first input. `spikes` [T, B, ...] are those sent (or their numbers [T, B], with `sent` in all), for the
    memory of the busiest step. `states` is how
    many values each neuron keeps; where `takes_input`, the summed input is part of them and is not stored twice.
    `shape` replaces the shape of the output for one sample and step.
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
    """A part that says what a call of it costs."""

    part: str

    def cost(self, use: Use) -> Cost | Sequence[Cost]:
        """Return the rows of the bill for one call; with none, the output carries what the first input does."""


def nonzero(x: Tensor) -> int:
    """Return how many elements of `x` are not zero; raises `ConfigError` if it has no data."""
    if x.is_meta:
        raise ConfigError("how many spikes arrive depends on data, a model on the device meta has none; move it first")
    return int(torch.count_nonzero(x))


def is_neuron(module: nn.Module) -> bool:
    """Return whether a module is a layer of spiking neurons: (input [T, B, ...], state) to (spikes, state)."""
    return getattr(module, "part", None) == NEURONS


def is_encoder(module: nn.Module) -> bool:
    """Return whether a module turns values [B, ...] into spikes [T, B, ...]."""
    return getattr(module, "part", None) == ENCODER


def is_whole(module: nn.Module) -> bool:
    """Return whether a trace sees a module as a whole, never its inside."""
    return is_neuron(module) or is_encoder(module)


def is_priced(module: nn.Module) -> bool:
    """Return whether a module says what it costs, and nothing that it speaks of has been replaced since."""
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
