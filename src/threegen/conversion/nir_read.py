"""Read NIR files as spiking nets of the package: its own files exactly, those of others by NIR's equations.

    fixed   a product, a convolution, a pooling: between layers of neurons, applied at every step
    spike   LIF, IF, CubaLIF, or an integrator with a threshold and a feedback (reset by subtraction)
    end     LI or I before the output: a read-out of the summed input

NIR's equations become steps by forward Euler (`nir_neurons`). A file contains neither the length of a step nor the
encoder and the read-out of a net; the attribute `left_out` of the net says what was assumed, and what the writer of the
file may have left out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import require_number
from threegen.conversion.nir_build import net_of
from threegen.conversion.nir_file import DT, FlatGraph, plain_metadata, read_graph
from threegen.conversion.nir_neurons import euler, exact, finite, neuron_of, told_by
from threegen.conversion.nir_parts import module_of
from threegen.conversion.nir_stages import Add, Stage
from threegen.errors import DataError
from threegen.gen3.networks import SpikingNet

SPIKING, INTEGRATORS = ("LIF", "IF", "CubaLIF"), ("LI", "I")


def import_nir(
    file: str | os.PathLike[str],
    *,
    dt: float | None = None,
    steps: int | None = None,
    encoder: nn.Module | str | None = None,
    readout: str | nn.Module | None = None,
    strict: bool = True,
) -> SpikingNet:
    """Return the spiking net of a NIR file; its attribute `left_out` says what the file does not contain.

    `dt` is the time step in seconds that the file was made for; None takes the one in the file's metadata, else 1e-4,
    that of snnTorch and SpikingJelly. `steps`, `encoder` and `readout` are those of `SpikingMLP`; None takes the
    metadata's, else 10, "direct" and "rate". `strict` neurons fire above their threshold, as NIR defines it; with
    `strict=False` they also fire at it, as in SpikingJelly and this package.

    Raises `DataError` for a damaged file or one with nodes that the package has no layer for, `ConfigError` for
    impossible options, `MissingExtraError` without `pip install "threegen[nir]"`.

        >>> import threegen as tg
        >>> net = tg.SpikingMLP([20, 30, 5], steps=6, generator=torch.Generator().manual_seed(0))
        >>> _ = tg.export_nir(net, "/tmp/net.nir")
        >>> tg.import_nir("/tmp/net.nir")
        SpikingMLP(
          sizes=[20, 30, 5], steps=6
        ...
    """
    return read_nir(file, str(file), dt=dt, steps=steps, encoder=encoder, readout=readout, strict=strict)


def read_nir(
    source: str | os.PathLike[str] | BinaryIO,
    name: str,
    *,
    dt: float | None = None,
    steps: int | None = None,
    encoder: nn.Module | str | None = None,
    readout: str | nn.Module | None = None,
    strict: bool = True,
) -> SpikingNet:
    """Like `import_nir`, also for an open file, which messages call `name`."""
    if dt is not None:
        require_number("dt", dt, above=0.0)
    graph = read_graph(source, name)
    try:
        reader = _Reader(graph, dt, strict)
        stages = reader.stages()
        given = {"steps": steps, "encoder": encoder, "readout": readout}
        return net_of(stages, reader.shape, graph.metadata, given, reader.end, reader.left_out)
    except DataError as problem:
        raise DataError(f"{name}: {problem}") from problem


@dataclass(slots=True)
class _Layer:
    """A layer of neurons in the file: the node that sends its spikes, and the one that its input reaches."""

    sends: str
    takes: str
    feedback: str | None = None
    recurrent: list[str] = field(default_factory=list)


class _Reader:
    """Divides one graph into stages."""

    def __init__(self, graph: FlatGraph, dt: float | None, strict: bool) -> None:
        self.graph, self.strict = graph, strict
        self.left_out: list[str] = []
        told = graph.metadata.get("dt")
        named = isinstance(told, float) and np.isfinite(told) and told > 0
        self.dt = float(told) if dt is None and isinstance(told, float) and named else DT if dt is None else dt
        if dt is None and not named:
            self.left_out.append(
                f"time step: the file names none; {DT:g} s was assumed, that of snnTorch and SpikingJelly"
            )
        self.own = graph.metadata.get("producer") == "threegen"
        self.way_in, self.way_out = graph.only("Input"), graph.only("Output")
        self.kind = self._kind()
        self.end: float | None = None  # the decay of the integrator that the file ends with
        self.shape = self._shape()

    def _kind(self) -> torch.dtype:
        """Return the type of the weights: float64 if the file's are, else float32."""
        for node in self.graph.nodes.values():
            weight = getattr(node, "weight", None)
            if weight is not None:
                return torch.float64 if np.asarray(weight).dtype == np.float64 else torch.float32
        return torch.float32

    def _shape(self) -> tuple[int, ...]:
        """Return the shape of one input, without a batch axis that a writer may have left in it."""
        given = finite(self.way_in, "a shape", self.graph.nodes[self.way_in].input_type["input"]).astype(np.int64)
        shape = tuple(int(one) for one in given.flat)
        if not shape or min(shape) < 1 or np.prod(given.astype(float)) > 2**31:
            raise DataError(f"the input has the invalid shape {list(shape)}")
        axes = {"Affine": 1, "Linear": 1, "Conv1d": 2, "Conv2d": 3}
        wanted = [axes[self.graph.kind(one)] for one in self.graph.behind(self.way_in) if self.graph.kind(one) in axes]
        if wanted and len(shape) == wanted[0] + 1 and shape[0] == 1:
            self.left_out.append(f"shape: that of the input, {list(shape)}, has a batch axis, which NIR does not have")
            return shape[1:]
        return shape

    # -- the layers of neurons ---------------------------------------------------------------------------------------
    def layers(self) -> list[_Layer]:
        """Return the layers of neurons, each after those whose spikes it takes; raises `DataError` for cycles."""
        graph = self.graph
        found: dict[str, _Layer] = {}
        for name in graph.nodes:
            kind = graph.kind(name)
            if kind in SPIKING:
                found[name] = _Layer(name, name)
            elif kind == "Threshold":
                found[name] = self._subtracting(name)
            elif kind in INTEGRATORS and graph.behind(name) == [self.way_out]:
                found[name] = _Layer(name, name)
                self.end = self._remembers(name)
        for layer in found.values():
            for one in graph.before(layer.takes):
                weighs = graph.kind(one) in ("Affine", "Linear")
                if weighs and graph.before(one) == [layer.sends] and graph.behind(one) == [layer.takes]:
                    layer.recurrent.append(one)
            if len(layer.recurrent) > 1:
                raise DataError(f"{layer.sends} has {len(layer.recurrent)} sets of recurrent weights, expected one")
        if not found:
            raise DataError("the graph has no neurons")
        return self._sorted(list(found.values()))

    def _remembers(self, name: str) -> float:
        """Return the decay of the integrator that a file ends with."""
        node = self.graph.nodes[name]
        if not hasattr(node, "tau"):
            return 1.0
        tau = finite(name, "tau", node.tau)
        decay = 1.0 - self.dt / float(tau.flat[0])
        if float(np.ptp(tau)) > 0 or not 0 <= decay <= 1:
            raise DataError(f"{name} must have one time constant of at least {self.dt:g} s for all of its neurons")
        return decay

    def _subtracting(self, name: str) -> _Layer:
        """Return the layer whose spikes a Threshold sends: an integrator before it, a feedback to that behind it."""
        graph = self.graph
        before = graph.before(name)
        if len(before) != 1 or graph.kind(before[0]) not in INTEGRATORS:
            raise DataError(f"{name} (Threshold) must follow one integrator (LI or I), it follows {before}")
        scales = [one for one in graph.before(before[0]) if graph.kind(one) == "Scale" and graph.before(one) == [name]]
        if len(scales) != 1 or graph.behind(scales[0]) != before:
            raise DataError(
                f"{name} (Threshold) has no feedback to {before[0]}: this package has no neuron that never resets"
            )
        return _Layer(name, before[0], scales[0])

    def sources(self, layer: _Layer) -> list[str]:
        """Return the nodes whose results a layer takes, without its own feedback."""
        back = {layer.feedback, *layer.recurrent}
        return [one for one in self.graph.before(layer.takes) if one not in back]

    def _sorted(self, layers: list[_Layer]) -> list[_Layer]:
        """Return the layers sorted so that each follows those whose spikes it receives."""
        senders = {layer.sends: layer for layer in layers}
        needs = {layer.sends: self._reached(layer, senders) for layer in layers}
        order: list[_Layer] = []
        while needs:
            ready = [name for name, others in needs.items() if not others & needs.keys()]
            if not ready:
                raise DataError(f"the spikes of {', '.join(sorted(needs))} return to them through other layers")
            for name in ready:
                order.append(senders[name])
                del needs[name]
        ends = [layer for layer in order if self.way_out in self.graph.behind(layer.sends)]
        if len(ends) != 1 or self.graph.before(self.way_out) != [ends[0].sends]:
            raise DataError(
                f"{self.way_out} must follow one layer of neurons, it follows {self.graph.before(self.way_out)}"
            )
        return [*(layer for layer in order if layer is not ends[0]), ends[0]]

    def _reached(self, layer: _Layer, senders: dict[str, _Layer]) -> set[str]:
        found: set[str] = set()
        seen: set[str] = set()
        waiting = self.sources(layer)
        while waiting:
            name = waiting.pop()
            if name in senders:
                found.add(name)
            elif name not in seen:
                seen.add(name)
                waiting += self.graph.before(name)
        return found

    # -- what stands before them -------------------------------------------------------------------------------------
    def stages(self) -> list[Stage]:
        """Return the stages of the net."""
        shapes: dict[int, tuple[int, ...]] = {0: self.shape}
        numbers = {self.way_in: 0}
        stages = []
        for number, layer in enumerate(self.layers()):
            stage = Stage(nn.Identity())
            shape = self._parts(stage, layer, numbers, shapes)
            stage.neuron = self._neuron(layer, shape)
            stages.append(stage)
            numbers[layer.sends], shapes[number + 1] = number + 1, shape
        if not self.own:
            self._say_what_is_missing()
        return stages

    def _parts(
        self, stage: Stage, layer: _Layer, numbers: dict[str, int], shapes: dict[int, tuple[int, ...]]
    ) -> tuple[int, ...]:
        """Fill a stage with the parts before a layer; return the shape of its summed input."""
        made: dict[str, int] = dict(numbers)
        own = dict(shapes)

        def total(names: list[str], place: str, path: tuple[str, ...]) -> int:
            if not names:
                raise DataError(f"{place} has no input")
            values = [value(name, path) for name in names]
            if len(values) == 1:
                return values[0]
            if len({own[one] for one in values}) > 1:
                raise DataError(f"the inputs of {place} have different shapes: {[list(own[one]) for one in values]}")
            end = stage.append(Add(), *values)
            own[end] = own[values[0]]
            return end

        def value(name: str, path: tuple[str, ...]) -> int:
            if name in made:
                return made[name]
            if name in path:
                raise DataError(f"there is a cycle through {name} that contains no neuron")
            before = total(self.graph.before(name), name, (*path, name))
            module = module_of(name, self.graph.nodes[name], self.kind)
            end = stage.append(module, before)
            own[end] = _shape_after(name, module, own[before], self.kind)
            made[name] = end
            return end

        end = total(self.sources(layer), layer.takes, ())
        if end < 0 and end != -len(stage.parts):
            end = stage.append(Add(), end)  # made earlier for another path: passed on unchanged
            own[end] = own[stage.parts[-1].takes[0]]
        stage.end(end)
        return own[end]

    def _neuron(self, layer: _Layer, shape: tuple[int, ...]) -> nn.Module:
        """Return the neurons of a layer."""
        nodes, place = self.graph.nodes, layer.sends
        node = nodes[layer.takes]
        metadata = plain_metadata(node)
        if self.graph.kind(place) in INTEGRATORS:
            return told_by(place, metadata, shape)
        feedback = None if layer.feedback is None else finite(place, "a feedback", nodes[layer.feedback].scale)
        level = nodes[place].threshold if layer.feedback else node.v_threshold
        kind = np.float64 if self.kind == torch.float64 else np.float32
        found = euler(place, node, level, self.dt, strict=self.strict, kind=kind, feedback=feedback)
        recurrent = shape[0] if layer.recurrent else 0
        if recurrent and len(shape) != 1:
            raise DataError(f"{place} has recurrent weights, but its neurons are {list(shape)}, not a vector")
        neuron = neuron_of(place, exact(found, metadata), shape, metadata, recurrent)
        if recurrent:
            back = cast(nn.Linear, module_of(layer.recurrent[0], nodes[layer.recurrent[0]], self.kind))
            weight, bias = back.weight, cast(Tensor | None, back.bias)
            if tuple(weight.shape) != (recurrent, recurrent):
                raise DataError(f"{layer.recurrent[0]} must be [{recurrent}, {recurrent}], got {list(weight.shape)}")
            if bias is not None and bool((bias != 0).any()):
                raise DataError(f"{layer.recurrent[0]} has a bias; recurrent weights of this package have none")
            neuron.recurrent_weight = nn.Parameter(weight.detach())
        return neuron

    def _say_what_is_missing(self) -> None:
        kinds = {self.graph.kind(name) for name in self.graph.nodes}
        if kinds & set(SPIKING):
            self.left_out.append(
                "reset: NIR has a reset to v_reset only; a net with reset by subtraction (snnTorch's default) was "
                "either rejected or written as this one"
            )
        if self.strict:
            self.left_out.append("threshold: neurons fire above it, as NIR defines it (strict=False: also at it)")
        self.left_out.append("surrogate gradient, dropout: NIR cannot store what only training needs")


def _shape_after(name: str, module: nn.Module, before: tuple[int, ...], kind: torch.dtype) -> tuple[int, ...]:
    """Return the output shape of a module for input shape `before`; raises `DataError` if it cannot take it."""
    try:
        with torch.no_grad():
            return tuple(module(torch.zeros(1, *before, dtype=kind)).shape[1:])
    except (RuntimeError, ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError) as problem:
        reason = str(problem).splitlines()[0]
        raise DataError(f"{name} ({type(module).__name__}) cannot take {list(before)}: {reason}") from problem
