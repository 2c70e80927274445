"""The network to be converted as a graph of few kinds of operations, which can be run on batches.

It is read from a trace of the model (`read`), so the way in which the model was written does not matter. Every value
has the shape of one example; examples are the first axis.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.functional.spiking.exact_refractory import LeakyConstants
from threegen.gen3.wires import MAXIMA, build_wire

INPUT, RELU, MAX = "input", "relu", "max"
LINEAR = ("linear", "convolution")
SOURCES = (INPUT, RELU, MAX)  # spikes represent their outputs


@dataclass(frozen=True)
class SoftRate:
    """A smooth rate of leaky neurons (`SoftLIF`) as activation: their time constants `times`, in time steps.

    `worth` is the activation that one spike represents: activations are `worth` times spikes per step. `curve` computes
    them.
    """

    times: LeakyConstants
    worth: float
    curve: Callable[[Tensor], Tensor]


@dataclass(slots=True)
class Op:
    """One operation: a `kind` of `gen3.wires`, or "input", "relu", "max"; the numbers of the operations it `takes`.

    `module` computes it (not for the input); `shape` is that of its result for one example; `name` is its name in the
    model. A relu may have a `ceiling`: min(max(0, z), ceiling); `levels` are those of a stepped one. With `rate` it is
    not a relu, but the smooth rate of leaky neurons, and becomes such neurons.
    """

    number: int
    kind: str
    takes: tuple[int, ...]
    shape: tuple[int, ...]
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    module: nn.Module | None = None
    ceiling: Tensor | None = None
    levels: int | None = None
    rate: SoftRate | None = None

    @property
    def channels(self) -> int:
        """The number of channels: the first axis of one example."""
        return self.shape[0]

    def run(self, values: Sequence[Tensor]) -> Tensor:
        """Return the result for `values` [B, ...], one for each of `takes`."""
        if self.kind == RELU:
            return self.rectify(values[0])
        if self.kind == MAX:
            own = self.options
            return MAXIMA[len(own["kernel"])](
                values[0], own["kernel"], own["stride"], own["padding"], ceil_mode=own["ceil"]
            )
        result: Tensor = cast(nn.Module, self.module)(*values)
        return result

    def rectify(self, z: Tensor) -> Tensor:
        """Return the output of the rectifier for `z`."""
        if self.rate is not None:
            return self.rate.curve(z)
        y = z.relu()
        if self.ceiling is None:
            return y
        if self.levels is None:
            return torch.minimum(y, self.ceiling)
        step = self.ceiling / self.levels
        return (z / step + 0.5).floor().clamp(0, self.levels) * step


@dataclass(slots=True)
class Graph:
    """Operations in an order in which they can be run; `output` is the number of the one that computes the scores.

    `notes` are sentences for the user about what was read.
    """

    ops: dict[int, Op]
    output: int
    shape: tuple[int, ...]
    notes: list[str] = field(default_factory=list)

    def users(self, number: int) -> list[Op]:
        """Return the operations that take the result of operation `number`."""
        return [one for one in self.ops.values() if number in one.takes]

    def rectifiers(self) -> list[Op]:
        """Return the operations that become layers of spiking neurons, in order."""
        return [one for one in self.ops.values() if one.kind in (RELU, MAX)]

    def behind(self, number: int) -> list[int]:
        """Return the operations between the nearest sources and `number`, in order, sources left out."""
        found: set[int] = set()
        waiting = [number]
        while waiting:
            one = waiting.pop()
            if one in found or self.ops[one].kind in SOURCES:
                continue
            found.add(one)
            waiting += self.ops[one].takes
        return [one for one in self.ops if one in found]

    def sources(self, number: int) -> list[int]:
        """Return the nearest sources that the result of `number` depends on."""
        if self.ops[number].kind in SOURCES:
            return [number]
        inside = self.behind(number)
        taken = {one for inner in inside for one in self.ops[inner].takes}
        return [one for one in self.ops if one in taken and self.ops[one].kind in SOURCES]

    def constant(self, number: int) -> bool:
        """Return whether a value is the same at every step if the input is: nothing before it spikes."""
        return all(self.ops[one].kind == INPUT for one in self.sources(number))

    def evaluate(self, number: int, values: Mapping[int, Tensor]) -> Tensor:
        """Return the result of operation `number` from the `values` [B, ...] of the sources that it depends on."""
        made = dict(values)
        for inner in self.behind(number):
            made[inner] = self.ops[inner].run([made[one] for one in self.ops[inner].takes])
        return made[number]

    def run(self, x: Tensor) -> Tensor:
        """Return the scores [B, K] of `x`."""
        return self.run_all(x, (self.output,))[self.output]

    def run_all(self, x: Tensor, wanted: Iterable[int]) -> dict[int, Tensor]:
        """Return the results of the `wanted` operations for `x` [B, ...]."""
        keep = set(wanted)
        made: dict[int, Tensor] = {}
        last = {one: op.number for op in self.ops.values() for one in op.takes}
        for op in self.ops.values():
            made[op.number] = x if op.kind == INPUT else op.run([made[one] for one in op.takes])
            for one in op.takes:
                if last[one] == op.number and one not in keep:
                    made.pop(one, None)
        return {one: made[one] for one in keep}

    def copied(self) -> Graph:
        """Return a graph with its own copy of the weights."""
        ops = {
            number: Op(
                op.number,
                op.kind,
                op.takes,
                op.shape,
                op.name,
                dict(op.options),
                copy.deepcopy(op.module),
                op.ceiling,
                op.levels,
                op.rate,
            )
            for number, op in self.ops.items()
        }
        return Graph(ops, self.output, self.shape, list(self.notes))

    def without(self, number: int) -> None:
        """Remove an operation of one input: the operations that took its result take its input."""
        (before,) = self.ops[number].takes
        for one in self.ops.values():
            one.takes = tuple(before if taken == number else taken for taken in one.takes)
        if self.output == number:
            self.output = before
        del self.ops[number]

    def fresh(self) -> int:
        """Return an unused operation number."""
        return max(self.ops) + 1


def filled(kind: str, options: Mapping[str, Any], weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a wire with its weights filled, detached from those of the model."""
    module = build_wire(kind, {**options, "bias": bias is not None} if kind in LINEAR else options)
    with torch.no_grad():
        module.weight = nn.Parameter(weight.detach().clone())
        if bias is not None:
            module.bias = nn.Parameter(bias.detach().clone())
    return module


def linear_map(kind: str, module: Any, values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the output of a linear or convolutional part for `values`, without its bias, with another weight if
    given."""
    own = module.weight if weight is None else weight
    if kind == "linear":
        return F.linear(values, own)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[own.dim() - 2]
    return convolve(values, own, None, module.stride, module.padding, module.dilation, module.groups)
