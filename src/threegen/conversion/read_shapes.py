"""Reading of calls that only rearrange values: reshapes, permutations, padding, resizing, concatenation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from threegen.conversion.reading import Reading, argument
from threegen.conversion.refusals import refuse
from threegen.gen3.wires import build_wire
from threegen.tracing.trace import BATCH, Node


def _reshape(reading: Reading, node: Node) -> None:
    if node.output[0] != BATCH:
        raise refuse(node.label, node.name, "it joins the examples of a batch with another axis")
    if reading.source(node).shape == node.shape:
        reading.places[node.number] = reading.source(node).number
        return
    reading.wire(node, "reshape", {"shape": list(node.shape)})


def _permute(reading: Reading, node: Node) -> None:
    before = reading.source(node)
    # Axes of different lengths show where each axis goes.
    lengths = [BATCH, *(place + 3 for place in range(len(before.shape)))]
    given = [torch.empty(lengths), *node.args[1:]] if node.slot == 0 else []
    if not given:
        raise refuse(node.label, node.name)
    made = list(node.func(*given, **node.kwargs).shape)
    axes = [lengths.index(one) for one in made]
    if axes[0] != 0:
        raise refuse(node.label, node.name, "it moves the examples of a batch to another axis")
    reading.wire(node, "permute", {"axes": axes}, [before.shape[one - 1] for one in axes[1:]])


def _pad(reading: Reading, node: Node) -> None:
    amounts = [int(one) for one in argument(node, 1, "pad")]
    mode, value = argument(node, 2, "mode", "constant"), argument(node, 3, "value", 0.0)
    if len(amounts) // 2 > len(reading.source(node).shape):
        raise refuse(node.label, node.name, "it adds examples to the batch")
    reading.wire(node, "pad", {"amounts": amounts, "mode": mode, "value": float(value or 0.0)})


def _resize(reading: Reading, node: Node) -> None:
    options = {
        "size": list(node.shape[1:]),
        "mode": argument(node, 3, "mode", "nearest"),
        "align_corners": argument(node, 4, "align_corners"),
        "antialias": bool(argument(node, 6, "antialias", False)),
    }
    reading.wire(node, "resize", options)


def _concatenate(reading: Reading, node: Node) -> None:
    tensors = argument(node, 0, "tensors")
    axis = int(argument(node, 1, "dim", 0)) % len(node.output)
    if axis == 0 or not isinstance(tensors, list | tuple) or not all(isinstance(one, Tensor) for one in tensors):
        raise refuse(node.label, node.name, "it joins the examples of a batch")
    if len(node.inputs) != len(tensors):
        raise refuse(node.label, node.name, "it takes one signal twice, or a constant")
    places = [reading.places[one] for one in node.inputs]
    options = {"axis": axis}
    reading.add(node, "concatenate", places, node.shape, options, build_wire("concatenate", options))


READERS: dict[str, Callable[[Reading, Node], None]] = {
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"), _reshape),
    **dict.fromkeys(("permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "t"), _permute),
    "pad": _pad,
    **dict.fromkeys(("interpolate", "upsample"), _resize),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
}
