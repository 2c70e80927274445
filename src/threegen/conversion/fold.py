"""Bring a graph into the form that is converted: batch normalisation folded into weights, maximum pooling moved.

    W' = g W / s     b' = g (b - mu) / s + beta                     (batch normalisation behind a linear part)
    max_j relu(z_j) = relu(max_j z_j) (so the pooling may be on either side)

If the summed input is the same at every step (analog input, first layer), its maximum is taken, before the neurons:
this is exact. Elsewhere the maximum of the spike counts is taken, after the neurons.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.conversion.graph import LINEAR, MAX, RELU, Graph, Op
from threegen.conversion.refusals import refuse
from threegen.gen3.wires import build_wire


def fold(graph: Graph, analog: bool) -> None:
    """Change `graph` in place; `analog` says that the input is the same at every step. Raises `ConfigError`."""
    _into_weights(graph)
    for number in [op.number for op in graph.ops.values() if op.kind == MAX]:
        _place(graph, number, analog)
    _into_weights(graph)  # a normalisation that followed a pooling may now follow its layer directly


def _into_weights(graph: Graph) -> None:
    """Fold every scale and shift directly after a linear part into its weights, if nothing else uses the part's
    result."""
    for number in list(graph.ops):
        op = graph.ops.get(number)
        if op is None or op.kind not in ("scale", "shift"):
            continue
        layer = graph.ops[op.takes[0]]
        if layer.kind not in LINEAR or len(graph.users(layer.number)) != 1:
            continue
        values = per_channel(_values(op))
        if values is None:
            continue
        _scale_outputs(layer, values) if op.kind == "scale" else _shift_outputs(layer, values)
        layer.name = layer.name or op.name
        graph.without(number)


def _values(op: Op) -> Tensor:
    module = cast(Any, op.module)
    return cast(Tensor, (module.weight if op.kind == "scale" else module.bias).detach())


def per_channel(values: Tensor) -> Tensor | None:
    """Return one number per channel if `values` [C, ...] are constant within each channel, else None."""
    flat = values.reshape(len(values), -1)
    return flat[:, 0].clone() if bool((flat == flat[:, :1]).all()) else None


def _scale_outputs(layer: Op, scale: Tensor) -> None:
    module = cast(Any, layer.module)
    with torch.no_grad():
        module.weight.mul_(scale.view(-1, *[1] * (module.weight.dim() - 1)))
        if module.bias is not None:
            module.bias.mul_(scale)


def _shift_outputs(layer: Op, shift: Tensor) -> None:
    module = cast(Any, layer.module)
    with torch.no_grad():
        if module.bias is None:
            module.bias = nn.Parameter(torch.zeros(len(module.weight), dtype=module.weight.dtype))
            layer.options["bias"] = True
        module.bias.add_(shift)


def _place(graph: Graph, number: int, analog: bool) -> None:
    """Put a maximum pooling before the neurons if that is exact, else directly after neurons."""
    pooling = graph.ops[number]
    before = graph.ops[pooling.takes[0]]
    if analog and graph.constant(pooling.takes[0]):
        _constant(graph, pooling)
    elif before.kind == RELU and analog and graph.constant(before.takes[0]) and len(graph.users(before.number)) == 1:
        _swap(graph, before, pooling)
        _constant(graph, pooling)
    elif before.kind not in (RELU, MAX):
        _behind_relu(graph, pooling)


def _constant(graph: Graph, pooling: Op) -> None:
    pooling.kind = "constant-max"
    pooling.module = build_wire("constant-max", pooling.options)


def _behind_relu(graph: Graph, pooling: Op) -> None:
    """Move the rectifier that follows a pooling (scales above zero and shifts between them) in front of it."""
    users = graph.users(pooling.number)
    while len(users) == 1 and users[0].kind in ("scale", "shift"):
        between = users[0]
        values = per_channel(_values(between))
        if values is None or (between.kind == "scale" and bool((values <= 0).any())):
            break
        before = graph.ops[pooling.takes[0]].shape
        full = values.view(-1, *[1] * (len(before) - 1)).expand(before).contiguous()
        between.options = {"shape": list(before)}
        between.module = build_wire(between.kind, between.options)
        getattr(between.module, "weight" if between.kind == "scale" else "bias").data = full.clone()
        _swap(graph, pooling, between)
        users = graph.users(pooling.number)
    if len(users) != 1 or users[0].kind != RELU:
        raise refuse(
            pooling.name,
            "max_pool",
            "it pools values that may be negative and change from step to step; put an nn.ReLU right before it, or "
            "use nn.AvgPool2d",
        )
    _swap(graph, pooling, users[0])


def _swap(graph: Graph, first: Op, second: Op) -> None:
    """Compute `second`, which takes the result of `first`, before it."""
    source = first.takes
    for one in graph.ops.values():
        if one is not second:
            one.takes = tuple(first.number if taken == second.number else taken for taken in one.takes)
    if graph.output == second.number:
        graph.output = first.number
    second.takes, first.takes = source, (second.number,)
    if second.kind == MAX:  # what is pooled first makes all later values smaller in number
        first.shape = second.shape
    else:
        second.shape = graph.ops[source[0]].shape
    order = list(graph.ops)
    early, late = order.index(first.number), order.index(second.number)
    order[early], order[late] = order[late], order[early]
    graph.ops = {number: graph.ops[number] for number in order}
