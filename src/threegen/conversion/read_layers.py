"""How the calls of layers are read: products, normalisation, pooling, rectifiers, sums with constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from threegen.conversion.graph import MAX, RELU, filled
from threegen.conversion.reading import Reading, argument, each_dimension
from threegen.conversion.refusals import refuse
from threegen.gen3.wires import build_wire
from threegen.tracing.trace import Node


def _weight(node: Node, place: int, name: str) -> Tensor | None:
    found = argument(node, place, name)
    return found if isinstance(found, Tensor) else None


def _convolution(reading: Reading, node: Node) -> None:
    weight, bias = _weight(node, 1, "weight"), _weight(node, 2, "bias")
    if weight is None or node.slot not in (0, None) or len(node.inputs) != 1:
        raise refuse(node.label, node.name, "its weights depend on the input")
    kernel, padding = list(weight.shape[2:]), argument(node, 4, "padding", 0)
    groups = int(argument(node, 6, "groups", 1))
    options = {
        "inputs": weight.shape[1] * groups,
        "outputs": weight.shape[0],
        "kernel": kernel,
        "stride": each_dimension(argument(node, 3, "stride", 1), len(kernel)),
        "padding": padding if isinstance(padding, str) else each_dimension(padding, len(kernel)),
        "dilation": each_dimension(argument(node, 5, "dilation", 1), len(kernel)),
        "groups": groups,
        "bias": bias is not None,
    }
    before = reading.source(node)
    if len(before.shape) != len(kernel) + 1:
        raise refuse(node.label, node.name, f"it takes an example of shape {list(before.shape)} without a batch axis")
    module = filled("convolution", options, weight, bias)
    reading.add(node, "convolution", (before.number,), node.shape, options, module)


def _linear(reading: Reading, node: Node) -> None:
    weight, bias = _weight(node, 1, "weight"), _weight(node, 2, "bias")
    _product(reading, node, weight, bias)


def _matrices(reading: Reading, node: Node) -> None:
    other = _weight(node, 1, "other") if node.name != "addmm" else _weight(node, 2, "mat2")
    slot = 1 if node.name == "addmm" else 0
    if node.slot != slot or other is None or other.dim() != 2:
        raise refuse(node.label, node.name, "it multiplies two signals with each other; only sums can be converted")
    _product(reading, node, other.t(), _weight(node, 0, "input") if node.name == "addmm" else None)


def _product(reading: Reading, node: Node, weight: Tensor | None, bias: Tensor | None) -> None:
    before = reading.source(node)
    if weight is None or len(before.shape) != 1:
        raise refuse(
            node.label, node.name, f"it takes vectors [B, D], here it gets [B, {', '.join(map(str, before.shape))}]"
        )
    options = {"inputs": weight.shape[1], "outputs": weight.shape[0], "bias": bias is not None}
    module = filled("linear", options, weight, bias)
    reading.add(node, "linear", (before.number,), node.shape, options, module)


def _batch_norm(reading: Reading, node: Node) -> None:
    mean, variance = _weight(node, 1, "running_mean"), _weight(node, 2, "running_var")
    if mean is None or variance is None:
        raise refuse(node.label, node.name, "it has no running statistics, so its answers depend on the batch")
    weight, bias = _weight(node, 3, "weight"), _weight(node, 4, "bias")
    scale = (variance.detach() + float(argument(node, 7, "eps", 1e-5))).rsqrt()
    if weight is not None:
        scale = scale * weight.detach()
    shift = -mean.detach() * scale
    if bias is not None:
        shift = shift + bias.detach()
    places = [1] * (len(reading.source(node).shape) - 1)
    reading.affine(node, scale.view(-1, *places), shift.view(-1, *places))


def _relu(reading: Reading, node: Node) -> None:
    low, high = _limits(node)
    if low != 0.0 or not high > 0.0:
        raise refuse(node.label, node.name, f"it clips values to {low:g}..{high:g}; a rate cannot be below 0")
    before = reading.source(node)
    op = reading.add(node, RELU, (before.number,), before.shape)
    if math.isfinite(high):
        op.ceiling = torch.tensor(high)


def _limits(node: Node) -> tuple[float, float]:
    """Return the smallest and the largest value that a rectifier lets through."""
    if node.name == "relu":
        return 0.0, math.inf
    if node.name == "relu6":
        return 0.0, 6.0
    if node.name == "threshold":
        threshold, value = (argument(node, place, name) for place, name in ((1, "threshold"), (2, "value")))
        return (0.0 if threshold == value == 0 else math.nan), math.inf
    if node.name == "hardtanh":
        return float(argument(node, 1, "min_val", -1.0)), float(argument(node, 2, "max_val", 1.0))
    low, high = argument(node, 1, "min"), None if node.name == "clamp_min" else argument(node, 2, "max")
    if node.name == "maximum":
        low = argument(node, 1, "other")
    if isinstance(low, Tensor):
        low = low.item() if low.numel() == 1 else math.nan
    if isinstance(high, Tensor):
        high = high.item() if high.numel() == 1 else math.nan
    return (-math.inf if low is None else float(low)), (math.inf if high is None else float(high))


def _windows(node: Node, dimensions: int) -> tuple[list[int], list[int], list[int]]:
    kernel = each_dimension(argument(node, 1, "kernel_size"), dimensions)
    stride = argument(node, 2, "stride")
    steps = kernel if stride is None or stride == [] else each_dimension(stride, dimensions)
    return kernel, steps, each_dimension(argument(node, 3, "padding", 0), dimensions)


def _max_pool(reading: Reading, node: Node) -> None:
    before = reading.source(node)
    dimensions = len(before.shape) - 1
    if any(one != 1 for one in each_dimension(argument(node, 4, "dilation", 1), dimensions)):
        raise refuse(node.label, node.name, "its windows have holes (dilation)")
    kernel, stride, padding = _windows(node, dimensions)
    ceil = bool(argument(node, 5, "ceil_mode", False))
    options = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil}
    reading.add(node, MAX, (before.number,), node.shape, options)


def _average_pool(reading: Reading, node: Node) -> None:
    before = reading.source(node)
    dimensions = len(before.shape) - 1
    kernel, stride, padding = _windows(node, dimensions)
    ceil, counts = bool(argument(node, 4, "ceil_mode", False)), bool(argument(node, 5, "count_include_pad", True))
    regular = all(
        made == (given + 2 * pad - size) // step + 1
        for made, given, pad, size, step in zip(node.shape[1:], before.shape[1:], padding, kernel, stride, strict=True)
    )
    divisor = argument(node, 6, "divisor_override")
    if regular and (counts or not any(padding)):
        options = {"kernel": kernel, "stride": stride, "padding": padding}
        _averaged(reading, node, "sum-pool", options, float(divisor or math.prod(kernel)))
    elif divisor:
        raise refuse(node.label, node.name, "it has its own divisor and windows that are cut off at the border")
    else:
        own: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
        reading.wire(node, "average", {**own, "ceil": ceil, "padding_counts": counts})


def _adaptive(reading: Reading, node: Node) -> None:
    before = reading.source(node)
    given, made = before.shape[1:], node.shape[1:]
    even = all(one % other == 0 for one, other in zip(given, made, strict=True))
    kernel = [one // other for one, other in zip(given, made, strict=True)]
    none = [0] * len(kernel)
    if "max" in node.name:
        if not even:
            raise refuse(node.label, node.name, f"its windows differ in size: {list(given)} to {list(made)}")
        options = {"kernel": kernel, "stride": kernel, "padding": none, "ceil": False}
        reading.add(node, MAX, (before.number,), node.shape, options)
    elif even:
        options = {"kernel": kernel, "stride": kernel, "padding": none}
        _averaged(reading, node, "sum-pool", options, float(math.prod(kernel)))
    else:
        reading.wire(node, "average", {"size": list(made)})


def _mean(reading: Reading, node: Node) -> None:
    before = reading.source(node)
    given = argument(node, 1, "dim")
    axes = list(range(len(before.shape) + 1)) if given is None else [given] if isinstance(given, int) else list(given)
    axes = [one % (len(before.shape) + 1) for one in axes]
    if 0 in axes:
        raise refuse(node.label, node.name, "it concatenates the examples of a batch")
    size = math.prod(before.shape[one - 1] for one in axes) if node.name == "mean" else 1
    options = {"axes": axes, "keep": bool(argument(node, 2, "keepdim", False))}
    _averaged(reading, node, "sum-over", options, float(size))


def _averaged(reading: Reading, node: Node, kind: str, options: dict[str, Any], size: float) -> None:
    """Append a sum, and the division that makes it an average."""
    made = reading.wire(node, kind, options)
    if size == 1.0:
        return
    node_shape = [1] * len(made.shape)
    joined = _Behind(node, made.number)
    reading.places[joined.inputs[0]] = made.number
    reading.affine(joined, torch.full(node_shape, 1 / size), None)  # type: ignore[arg-type]
    reading.places[node.number] = reading.places[joined.number]


class _Behind:
    """A call that was not traced: it follows operation `number` and has the name of `node`."""

    def __init__(self, node: Node, number: int) -> None:
        self.number, self.inputs, self.label, self.name = node.number, (-2 - number,), node.label, node.name


def _constants(reading: Reading, node: Node) -> None:
    """Read a sum, difference, product or quotient of a signal and a constant, or a sum of two signals."""
    if len(node.inputs) == 2 and node.name in ("add", "sub"):
        if argument(node, 2, "alpha", 1) != 1:
            raise refuse(node.label, node.name, "it scales one of its summands (alpha)")
        _sum(reading, node)
        return
    before = reading.source(node)
    values = [*node.args[:2], *(node.kwargs[name] for name in ("other",) if name in node.kwargs)]
    if len(values) < 2:
        raise refuse(node.label, node.name)
    first = node.slot == 0
    other = values[1] if first else values[0]
    if node.slot is None:  # x + x: the same tensor twice
        if node.name != "add":
            raise refuse(node.label, node.name)
        reading.affine(node, torch.full([1] * len(before.shape), 2.0), None)
        return
    constant = _per_example(reading, node, other, before.shape)
    if node.name in ("rsub", "rdiv", "rtruediv"):
        first = not first
    if node.name in ("add", "radd"):
        reading.affine(node, None, constant)
    elif node.name in ("sub", "rsub"):
        minus = torch.full_like(constant, -1.0)
        reading.affine(node, None if first else minus, -constant if first else constant)
    elif node.name in ("mul", "rmul"):
        reading.affine(node, constant, None)
    elif first:
        reading.affine(node, 1 / constant, None)
    else:
        raise refuse(node.label, node.name, "it divides by a signal")


def _per_example(reading: Reading, node: Node, other: Any, shape: tuple[int, ...]) -> Tensor:
    """Return a constant in the shape that one example is combined with."""
    constant = torch.as_tensor(other, dtype=torch.get_default_dtype())
    if constant.dim() > len(shape):
        if constant.shape[0] != 1:
            raise refuse(node.label, node.name, "it takes a constant with its own batch axis")
        constant = constant[0]
    return constant.reshape([1] * (len(shape) - constant.dim()) + list(constant.shape))


def _sum(reading: Reading, node: Node) -> None:
    places = [reading.places[one] for one in node.inputs]
    shapes = [reading.graph.ops[one].shape for one in places]
    if shapes[0] != shapes[1]:
        raise refuse(node.label, node.name, f"it broadcasts a signal: {list(shapes[0])} and {list(shapes[1])}")
    if node.name == "sub":
        if not isinstance(node.args[0], Tensor):
            raise refuse(node.label, node.name)
        negative = _Behind(node, places[1])
        reading.places[negative.inputs[0]] = places[1]
        reading.affine(negative, torch.full([1] * len(shapes[1]), -1.0), None)  # type: ignore[arg-type]
        places[1] = reading.places[negative.number]
    reading.add(node, "add", places, shapes[0], {}, build_wire("add", {}))


def _negative(reading: Reading, node: Node) -> None:
    reading.affine(node, torch.full([1] * len(reading.source(node).shape), -1.0), None)


_PLANES = (1, 2, 3)
READERS: dict[str, Callable[[Reading, Node], None]] = {
    **dict.fromkeys([f"conv{n}d" for n in _PLANES], _convolution),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "addmm"), _matrices),
    "batch_norm": _batch_norm,
    **dict.fromkeys(("relu", "relu6", "threshold", "hardtanh", "clamp", "clamp_min", "clip", "maximum"), _relu),
    **{f"max_pool{n}d{more}": _max_pool for n in _PLANES for more in ("", "_with_indices")},
    **{f"avg_pool{n}d": _average_pool for n in _PLANES},
    **{f"adaptive_avg_pool{n}d": _adaptive for n in _PLANES},
    **{f"adaptive_max_pool{n}d{more}": _adaptive for n in _PLANES for more in ("", "_with_indices")},
    **dict.fromkeys(("mean", "sum"), _mean),
    **dict.fromkeys(("add", "radd", "sub", "rsub", "mul", "rmul", "div", "true_divide", "truediv"), _constants),
    "neg": _negative,
}
