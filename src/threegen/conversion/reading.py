"""What the readers of a trace share: the graph under construction, and the place of each traced value in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from threegen.conversion.graph import Graph, Op, filled
from threegen.conversion.refusals import refuse
from threegen.gen3.wires import build_wire
from threegen.tracing.trace import Node


@dataclass(slots=True)
class Reading:
    """The graph so far; `places` map each traced node to the operation that computes its value."""

    graph: Graph
    places: dict[int, int]
    whole: dict[tuple[Any, int], int] = field(default_factory=dict)

    def source(self, node: Node) -> Op:
        """Return the operation whose result is the data of `node`; raises `ConfigError` if there are several."""
        if len(node.inputs) != 1:
            raise refuse(node.label, node.name)
        return self.graph.ops[self.places[node.inputs[0]]]

    def add(
        self,
        node: Node,
        kind: str,
        takes: Sequence[int],
        shape: Sequence[int],
        options: dict[str, Any] | None = None,
        module: nn.Module | None = None,
    ) -> Op:
        """Append an operation; its result is that of `node`."""
        number = self.graph.fresh()
        op = Op(number, kind, tuple(takes), tuple(shape), node.label or node.name, options or {}, module)
        self.graph.ops[number] = op
        self.places[node.number] = number
        return op

    def wire(self, node: Node, kind: str, options: dict[str, Any], shape: Sequence[int] | None = None) -> Op:
        """Append a part without weights after the data of `node`."""
        before = self.source(node)
        return self.add(node, kind, (before.number,), shape or node.shape, options, build_wire(kind, options))

    def affine(self, node: Node, weight: Tensor | None, bias: Tensor | None) -> None:
        """Append a scale and a shift of each value; both have the shape of one example, or one that broadcasts to
        it."""
        before = self.source(node)
        self.places[node.number] = before.number
        for kind, values in (("scale", weight), ("shift", bias)):
            if values is None:
                continue
            full = values.detach().expand(before.shape).contiguous()
            options = {"shape": list(before.shape)}
            module = build_wire(kind, options)
            getattr(module, "weight" if kind == "scale" else "bias").data = full.clone()
            before = self.add(node, kind, (before.number,), before.shape, options, module)


def argument(node: Node, place: int, name: str, default: Any = None) -> Any:
    """Return an argument of a traced call, by its name or its position."""
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[place] if place < len(node.args) else default


def each_dimension(value: Any, dimensions: int) -> list[int]:
    """Return one whole number per dimension: 2 becomes [2, 2]."""
    listed = [int(value)] * dimensions if isinstance(value, int) else [int(one) for one in value]
    return listed * dimensions if len(listed) == 1 else listed


__all__ = ["Reading", "argument", "each_dimension", "filled"]
