"""Nodes of a trace whose results are planes: features over one, two or three axes of space."""

from __future__ import annotations

import math

from threegen.gen3.parts import is_neuron
from threegen.tracing.trace import INPUT, MOVES, RECTIFIERS, Node, Trace

_CONVOLUTIONS = frozenset(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))
_FOLLOW = RECTIFIERS | {"batch_norm", "group_norm", "instance_norm"}


def is_planes(node: Node) -> bool:
    """Return whether a node's result is planes of more than one place."""
    return 2 <= len(node.shape) <= 4 and math.prod(node.shape[1:]) > 1


def last_planes(trace: Trace) -> Node | None:
    """Return the node of the last convolution, or of the normalisation, relu or neurons right behind it, or None.

    Without a convolution it is the last node with planes over two axes.
    """
    makers = [node for node in trace.nodes if node.name in _CONVOLUTIONS and is_planes(node)]
    if not makers:
        last = trace.last_spatial()
        return None if last is None or last.number == INPUT or last.name in MOVES else last
    found = node = makers[-1]
    while True:
        users = [one for one in trace.nodes if node.number in one.inputs]
        if len(users) != 1 or users[0].shape != node.shape:
            return found
        node = users[0]
        if node.name not in MOVES and node.name not in _FOLLOW and not is_neuron(node.module):
            return found
        found = found if node.name in MOVES else node
