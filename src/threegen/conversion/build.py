"""Build a `SpikingGraph` from a graph and a scale for each layer: every scale is folded into a weight.

A signal represents `scale * spikes + offset`. Forward from the spikes, scales and offsets are carried along
symbolically, through pooling, reshapes and concatenations, to the next weights, which absorb them; backward from the
neurons, the division by the threshold is carried to the last weights before them. So spikes remain 0 or 1, sums of them
remain whole numbers, and all thresholds are 1. A sum of signals of different scales becomes a sum of products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.conversion.fold import per_channel
from threegen.conversion.graph import INPUT, LINEAR, MAX, RELU, SOURCES, Graph, Op, linear_map
from threegen.gen3.spiking_graph import GraphLayer, SpikingGraph, Wire

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Scale:
    """How a layer codes activations: its `threshold` and the value of one spike (`amplitude`), both in the network's
    units.

    `start` is the initial potential as a share of the threshold. All are [C].
    """

    threshold: Tensor
    amplitude: Tensor
    start: Tensor


@dataclass(frozen=True)
class _Term:
    """A signal and what it represents: `scale * signal`, `scale` of the shape of one example."""

    wire: int  # a signal's number, or that of an earlier wire (-1 the first)
    scale: Tensor


@dataclass
class _Program:
    """The wires of one layer under construction."""

    graph: Graph
    signals: Mapping[int, tuple[int, Tensor]]  # source -> number of its signal, amplitude of one example's shape
    wires: list[Wire] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
    known: dict[int, tuple[list[_Term], Tensor]] = field(default_factory=dict)

    def add(self, kind: str, takes: tuple[int, ...], options: dict[str, Any], weights: Weights | None = None) -> int:
        """Append a wire; return the number by which later wires take it."""
        self.wires.append(Wire(kind, takes, dict(options)))
        self.weights.append(weights or {})
        return -len(self.wires)

    # -- forward: from the spikes to the next weights ------------------------------------------------------------------
    def terms(self, number: int) -> tuple[list[_Term], Tensor]:
        """Return operation `number` as a sum of scaled signals, and its offset [shape of one example]."""
        if number not in self.known:
            self.known[number] = self._terms(self.graph.ops[number])
        return self.known[number]

    def _terms(self, op: Op) -> tuple[list[_Term], Tensor]:
        if op.kind in SOURCES:
            signal, amplitude = self.signals[op.number]
            return [_Term(signal, amplitude)], torch.zeros(op.shape)
        if op.kind in LINEAR:
            return [_Term(self.product(op, None), torch.ones(op.shape))], torch.zeros(op.shape)
        if op.kind in ("scale", "shift"):
            terms, offset = self.terms(op.takes[0])
            values = cast(Tensor, (cast(Any, op.module).weight if op.kind == "scale" else cast(Any, op.module).bias))
            values = values.detach()
            if op.kind == "shift":
                return terms, offset + values
            return [_Term(one.wire, one.scale * values) for one in terms], offset * values
        if op.kind == "add":
            parts = [self.terms(one) for one in op.takes]
            return self._merged([one for terms, _ in parts for one in terms]), sum((one for _, one in parts), _ZERO)
        if op.kind == "concatenate":
            parts = [self.terms(one) for one in op.takes]
            single = [
                terms[0] if len(terms) == 1 else _Term(self.plain(terms), torch.ones_like(terms[0].scale))
                for terms, _ in parts
            ]
            wire = self.add(op.kind, tuple(one.wire for one in single), op.options)
            axis = op.options["axis"] - 1
            offset = torch.cat([one for _, one in parts], axis)
            return [_Term(wire, torch.cat([one.scale for one in single], axis))], offset
        terms, offset = self.terms(op.takes[0])
        return [self._moved(op, one) for one in terms], _run(op, offset)

    def _moved(self, op: Op, term: _Term) -> _Term:
        """Carry a scale through an operation that moves or sums values."""
        if op.kind == "pad":  # whatever stands at the border is in the offset
            return _Term(self.add(op.kind, (term.wire,), {**op.options, "value": 0.0}), _padded(op, term.scale))
        if op.kind in ("sum-pool", "sum-over", "average", "resize", "constant-max"):
            ones = _run(op, torch.ones_like(term.scale))
            scale = _run(op, term.scale) / ones.where(ones != 0, 1.0)
            spread = _run(op, term.scale.square()) / ones.where(ones != 0, 1.0) - scale.square()
            uniform = op.kind == "constant-max" or bool((spread.abs() <= 1e-6 * scale.square() + 1e-12).all())
            if uniform and per_channel(term.scale) is not None:
                return _Term(self.add(op.kind, (term.wire,), op.options), scale)
        else:  # reshape, permute
            return _Term(self.add(op.kind, (term.wire,), op.options), _run(op, term.scale))
        wire = self.add(op.kind, (self.plain([term]),), op.options)
        return _Term(wire, torch.ones(op.shape))

    def _merged(self, terms: list[_Term]) -> list[_Term]:
        """Add up the signals that have the same scale."""
        groups: list[list[_Term]] = []
        for one in terms:
            home = next((group for group in groups if torch.equal(group[0].scale, one.scale)), None)
            groups.append([one]) if home is None else home.append(one)
        return [
            group[0]
            if len(group) == 1
            else _Term(self.add("add", tuple(one.wire for one in group), {}), group[0].scale)
            for group in groups
        ]

    def plain(self, terms: list[_Term], gain: Tensor | None = None) -> int:
        """Return the wire that holds the sum of `terms` (times `gain`), each scaled by its own weights."""
        wires = []
        for one in terms:
            scale = one.scale if gain is None else one.scale * gain
            if bool((scale == 1).all()):
                wires.append(one.wire)
                continue
            flat = per_channel(scale)
            shape = list(scale.shape) if flat is None else [len(scale), *[1] * (scale.dim() - 1)]
            weight = scale if flat is None else flat.view(shape)
            wires.append(self.add("scale", (one.wire,), {"shape": shape}, {"weight": weight}))
        return wires[0] if len(wires) == 1 else self.add("add", tuple(wires), {})

    def product(self, op: Op, gain: Tensor | None) -> int:
        """Return the wire that holds the output of a linear part, times `gain` [C of its outputs]."""
        module, inside = cast(Any, op.module), op.takes[0]
        terms, offset = self.terms(inside)
        total, options = module.weight.detach(), dict(op.options)
        bias = torch.zeros(len(total)) if module.bias is None else module.bias.detach()
        places = linear_map(op.kind, module, offset[None])[0] if bool((offset != 0).any()) else None
        shift: Tensor | None = None
        if places is not None:  # the contribution of the offsets is a bias if it is the same everywhere
            flat = per_channel(places)
            if flat is None:
                middle = places.reshape(len(places), -1)
                if bool(((middle - middle[:, :1]).abs() <= 1e-6 * middle.abs().amax()).all()):
                    flat = middle.mean(1)
            bias, shift = (bias, places) if flat is None else (bias + flat, None)
        factor = torch.ones(len(total)) if gain is None else gain
        rows = factor.view(-1, *[1] * (total.dim() - 1))
        wires = []
        for number, one in enumerate(terms):
            weight, source = self._scaled_inputs(op, total, one)
            own = number == 0 and bool((bias != 0).any())
            weights = {"weight": weight * rows} | ({"bias": bias * factor} if own else {})
            wires.append(self.add(op.kind, (source,), {**options, "bias": own}, weights))
        wire = wires[0] if len(wires) == 1 else self.add("add", tuple(wires), {})
        if shift is None:
            return wire
        full = shift * factor.view(-1, *[1] * (shift.dim() - 1))
        return self.add("shift", (wire,), {"shape": list(full.shape)}, {"bias": full})

    def _scaled_inputs(self, op: Op, weight: Tensor, term: _Term) -> tuple[Tensor, int]:
        """Return the weights that absorb the scale of `term`, and the wire that they are for."""
        if op.kind == "linear":
            return weight * term.scale, term.wire
        flat = per_channel(term.scale)
        if flat is None:  # a scale that varies over positions cannot be folded into shared weights
            return weight, self.plain([term])
        groups = int(op.options.get("groups", 1))
        inputs = flat.view(groups, 1, -1).expand(groups, len(weight) // groups, -1).reshape(len(weight), -1)
        return weight * inputs.view(*inputs.shape, *[1] * (weight.dim() - 2)), term.wire

    # -- backward: from the neurons to the last weights ----------------------------------------------------------------
    def gained(self, number: int, gain: Tensor) -> int:
        """Return the wire that holds the result of operation `number` times `gain` [shape of one example]."""
        op = self.graph.ops[number]
        if op.kind in LINEAR and (flat := per_channel(gain)) is not None:
            return self.product(op, flat)
        if op.kind == "add":
            return self.add("add", tuple(self.gained(one, gain) for one in op.takes), {})
        if op.kind == "reshape":
            inner = gain.reshape(self.graph.ops[op.takes[0]].shape)
            return self.add(op.kind, (self.gained(op.takes[0], inner),), op.options)
        if op.kind in ("sum-pool", "average", "constant-max") and (flat := per_channel(gain)) is not None:
            shape = self.graph.ops[op.takes[0]].shape
            inner = flat.view(-1, *[1] * (len(shape) - 1)).expand(shape)
            return self.add(op.kind, (self.gained(op.takes[0], inner),), op.options)
        if op.kind == "scale":
            return self.gained(op.takes[0], gain * cast(Any, op.module).weight.detach())
        if op.kind == "shift":
            full = cast(Any, op.module).bias.detach() * gain
            wire = self.gained(op.takes[0], gain)
            return self.add("shift", (wire,), {"shape": list(full.shape)}, {"bias": full})
        terms, offset = self.terms(number)
        wire = self.plain(terms, gain)
        if not bool((offset != 0).any()):
            return wire
        full = offset * gain
        return self.add("shift", (wire,), {"shape": list(full.shape)}, {"bias": full})


_ZERO = torch.zeros(())


def _run(op: Op, values: Tensor) -> Tensor:
    return op.run([values[None]])[0]


def _padded(op: Op, scale: Tensor) -> Tensor:
    """Return the scale of a padded signal: where zeros are put, that of their channel if it has a single one."""
    if op.options["mode"] != "constant":
        return _run(op, scale)
    amounts, flat = list(op.options["amounts"]), per_channel(scale)
    if flat is None:
        return F.pad(scale, amounts, value=1.0)
    channels = amounts[2 * (len(op.shape) - 1) :] or [0, 0]
    return spread(F.pad(flat, channels, value=1.0), op.shape)


def spread(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return one number per channel [C], repeated at every position of one example."""
    return values.view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()


def build(
    graph: Graph,
    scales: Mapping[int, Scale],
    *,
    steps: int,
    encoder: nn.Module | str,
    readout: str,
    reset: str,
    input_scale: float = 1.0,
) -> SpikingGraph:
    """Return the spiking net of `graph` with the `scales` of its rectifiers (and of the output, read out by rate).

    `input_scale` is the value that one spike of the encoder represents.
    """
    layers: list[GraphLayer] = []
    weights: list[list[Weights]] = []
    first = graph.ops[next(iter(graph.ops))]
    signals = {first.number: (0, torch.full(first.shape, input_scale))}
    for op in graph.rectifiers():
        (before,) = op.takes
        if op.kind == MAX:
            signal, amplitude = signals[before]
            layers.append(GraphLayer(op.name, "max", dict(op.options), takes=signal))
            weights.append([])
            signals[op.number] = (len(layers), op.run([amplitude[None]])[0])
            continue
        scale = scales[op.number]
        layer, own = _layer(graph, op.name, before, signals, spread(1 / scale.threshold, op.shape), reset, op.channels)
        if op.rate is not None:
            layer = replace(layer, neurons="lif", options={"channels": op.channels, **asdict(op.rate.times)})
        layers.append(layer)
        weights.append(own)
        signals[op.number] = (len(layers), spread(scale.amplitude, op.shape))
    name, classes = graph.ops[graph.output].name or "output", graph.ops[graph.output].shape
    by_rate = readout == "rate"
    gain = 1 / scales[graph.output].threshold if by_rate else torch.full(classes, 1 / steps)
    layer, own = _layer(graph, name, graph.output, signals, gain, reset if by_rate else "", classes[0])
    net = SpikingGraph([*layers, layer], shape=first.shape, steps=steps, encoder=encoder, readout=readout)
    _fill(net, [*weights, own], [scales.get(op.number) for op in graph.rectifiers()] + [scales.get(graph.output)])
    return net.eval()


def _layer(
    graph: Graph,
    name: str,
    before: int,
    signals: Mapping[int, tuple[int, Tensor]],
    gain: Tensor,
    reset: str,
    channels: int,
) -> tuple[GraphLayer, list[Weights]]:
    program = _Program(graph, signals)
    end = program.gained(before, gain)
    if end >= 0:  # a signal goes to neurons unchanged
        return GraphLayer(name, *_neurons(reset, channels), takes=end), []
    if end != -len(program.wires):  # the summed input must be the result of the last wire
        program.add("reshape", (end,), {"shape": list(graph.ops[before].shape)})
    return GraphLayer(name, *_neurons(reset, channels), wires=tuple(program.wires)), program.weights


def _neurons(reset: str, channels: int) -> tuple[str, dict[str, Any]]:
    return ("if", {"channels": channels, "reset": reset}) if reset else ("sum", {})


def _fill(net: SpikingGraph, weights: list[list[Weights]], scales: list[Scale | None]) -> None:
    """Write the weights and the initial potentials into the net."""
    with torch.no_grad():
        for synapse, neuron, own, scale in zip(net.synapses, net.neurons, weights, scales, strict=True):
            for part, values in zip(cast(Any, synapse).parts, own, strict=True):
                for name, value in values.items():
                    getattr(part, name).copy_(value)
            if scale is not None and hasattr(neuron, "initial"):
                cast(Any, neuron).initial.copy_(scale.start)


__all__ = ["INPUT", "RELU", "Scale", "build", "spread"]
