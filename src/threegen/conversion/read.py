"""Read a model into a `Graph`: every call of its trace is looked up by the function's name, not by a layer's class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from threegen.conversion import read_layers, read_shapes
from threegen.conversion.graph import INPUT, RELU, Graph, Op, SoftRate
from threegen.conversion.reading import Reading
from threegen.conversion.refusals import refuse
from threegen.errors import ConfigError
from threegen.functional.spiking.exact_refractory import LeakyConstants
from threegen.gen3.networks import SpikingNet
from threegen.gen3.parts import is_neuron
from threegen.tracing.trace import Node, Trace, trace_model
from threegen.tracing.untouched import untouched

AGREES = 1e-3  # the largest difference from the model, relative to the largest score
SAME = frozenset(
    (
        *("contiguous", "clone", "detach", "float", "to", "type_as", "requires_grad", "identity", "positive"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    )
)
READERS: dict[str, Callable[[Reading, Node], None]] = {**read_layers.READERS, **read_shapes.READERS}


def read(model: nn.Module, x: Tensor) -> Graph:
    """Return the graph of `model`, read from its forward pass on the first of `x` [N, ...].

    Raises `ConfigError` that names the first part that cannot become spikes, `ConfigError` if the graph does not
    compute what the model computes, and what the model raises.
    """
    if isinstance(model, SpikingNet) or any(is_neuron(one) for one in model.modules()):
        raise ConfigError(f"{type(model).__name__} is already a spiking net; convert takes an artificial one")
    trace = trace_model(model, x[:1])
    if len(trace.outputs) != 1:
        raise ConfigError(
            f"{type(model).__name__} returns {len(trace.outputs)} results, convert needs only the scores; "
            "wrap it in a module that returns only the scores"
        )
    graph = _graph(model, trace, tuple(x.shape[1:]))
    with untouched(model), torch.no_grad():
        expected, found = model(x), graph.run(x)
    if graph.notes and "softmax" in graph.notes[0]:
        expected, found = expected.argmax(1), found.argmax(1)  # the scores before it have the same order
    if expected.shape != found.shape or not _close(expected, found):
        raise ConfigError(
            f"what convert read of {type(model).__name__} gives other answers than the model: its computation depends "
            f"on its data, is random, or happens outside torch; convert a plain form of it"
        )
    return graph


def _close(expected: Tensor, found: Tensor) -> bool:
    if not expected.is_floating_point():
        return bool((expected == found).float().mean() > 1 - AGREES)
    return bool((expected - found).abs().max() <= AGREES * expected.abs().max().clamp(min=1e-6))


def _graph(model: nn.Module, trace: Trace, shape: tuple[int, ...]) -> Graph:
    ops = {0: Op(0, INPUT, (), shape, "input")}
    reading = Reading(Graph(ops, 0, shape), {-1: 0})
    end = trace.final()
    skipped = set() if end is None else _from(trace, end)
    if end is not None:
        reading.graph.notes.append(f"the {end.name} at the end is left out: it changes no answer")
    stepped = _stepped(model, trace)
    attention = {path for path, one in model.named_modules() if isinstance(one, nn.MultiheadAttention)}
    for node in trace.nodes:
        if node.path in attention:
            raise refuse(node.path, "multi_head_attention_forward")
        if node.number in skipped or (node.name in SAME and len(node.inputs) == 1):
            reading.places[node.number] = reading.places[node.inputs[0]]
        elif node.number in stepped:
            _rectifier(reading, node, stepped[node.number])
        elif node.name in READERS:
            READERS[node.name](reading, node)
        else:
            raise refuse(node.label, node.name)
    reading.graph.output = reading.places[trace.output]
    if len(reading.graph.ops[reading.graph.output].shape) != 1:
        shown = [0, *reading.graph.ops[reading.graph.output].shape]
        raise ConfigError(f"convert needs scores [B, classes], the model returns [B, {', '.join(map(str, shown[1:]))}]")
    return reading.graph


def _from(trace: Trace, end: Node) -> set[int]:
    """Return the numbers of the softmax that ends the model and of what follows it."""
    return {node.number for node in trace.nodes if node.number >= end.number}


def _stepped(model: nn.Module, trace: Trace) -> dict[int, Any]:
    """Return the module of each node that is inside a rectifier that declares itself as one."""
    told = ("spike_levels", "spike_rate")
    modules = {path: one for path, one in model.named_modules() if any(hasattr(one, name) for name in told)}
    return {node.number: modules[node.path] for node in trace.nodes if node.path in modules}


def _rectifier(reading: Reading, node: Node, module: Any) -> None:
    """Read all calls inside one module that declares what it is (`spike_levels`, `spike_rate`) as one operation."""
    before = node.inputs[0]
    place = reading.places[before]
    if (module, node.visit) in reading.whole:
        reading.places[node.number] = reading.whole[module, node.visit]
        return
    op = reading.add(node, RELU, (place,), reading.graph.ops[place].shape)
    if hasattr(module, "spike_rate"):
        times, worth, curve = module.spike_rate()
        op.rate = SoftRate(LeakyConstants(*times), worth, curve)
    else:
        ceiling, op.levels = module.spike_levels()
        op.ceiling = ceiling.detach().clone()
    reading.whole[module, node.visit] = op.number
