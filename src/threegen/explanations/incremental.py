"""Exact occlusion at a fraction of the work: for each window only the values that it changes are recomputed.

A window changes a box of the image; a convolution or a pooling turns a changed box into a somewhat larger one, whose
input is cut out of the unoccluded activations with the changed box pasted in. Elementwise functions and normalisation
in eval mode are applied to the box only. The first linear layer adds W times the *change* to its unoccluded output.
Later operations run in full. The arithmetic is that of the whole net, except for the order of sums.

All boxes of a chunk have the same size; near the border they are moved inward, which recomputes a little more.
Shapes: P positions, C channels, H and W of a layer, h and w of a box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.tracing.trace import SOFTMAX, Node, Trace

_POINTWISE = """
relu relu6 leaky_relu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid sigmoid tanh softplus threshold
dropout dropout2d alpha_dropout feature_alpha_dropout batch_norm
"""
POINTWISE = frozenset(_POINTWISE.split())
_FLATTEN = frozenset({"flatten", "view", "reshape"})
_DENSE = frozenset({"linear", "softmax", "log_softmax", "adaptive_avg_pool2d", "adaptive_max_pool2d"})
_WINDOWED = frozenset({"conv2d", "max_pool2d", "avg_pool2d"})
_ROW_COST = 8.0  # a product with a slice of the weights costs as much as this many full ones (call overhead and memory)


@dataclass(slots=True)
class Stage:
    """One operation: how to run it on a batch and, if it has windows, their geometry by axis (row, column)."""

    run: Callable[[Tensor], Tensor]
    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    unpadded: Callable[[Tensor], Tensor] | None = None
    outside: float = 0.0


@dataclass(slots=True)
class Boxes:
    """The values changed by the windows at one layer: [P, C, h, w], and the top left corners [P]."""

    values: Tensor
    top: Tensor
    left: Tensor


@dataclass(slots=True)
class Plan:
    """The operations on planes, then the linear layer behind them (or None), then the rest."""

    planes: list[Stage]
    weight: Tensor | None
    bias: Tensor | None
    rest: list[Stage]

    def full(self, x: Tensor) -> Tensor:
        """Return the scores of a batch, every operation run in full."""
        for stage in self.planes:
            x = stage.run(x)
        if self.weight is not None:
            x = F.linear(x.flatten(1), self.weight, self.bias)
        for stage in self.rest:
            x = stage.run(x)
        return x


def make_plan(trace: Trace, x: Tensor, ending: frozenset[str] = SOFTMAX) -> Plan | None:
    """Return the plan of a net that is one chain of known operations, or None for any other.

    `ending` names the functions at the end of the net before which the scores are taken.
    """
    chain = trace.chain
    if chain is None or x.dim() != 4 or trace.steps != 1:
        return None
    stages: list[tuple[Node, Stage]] = []
    for node in chain:
        if node.name in ending and node is trace.final(ending):
            break  # scores are taken before it; only reshapes and a logarithm can follow
        stage = _stage(node)
        if stage is None:
            return None
        stages.append((node, stage))
    plan = Plan([], None, None, [])
    for place, (node, stage) in enumerate(stages):
        if node.name in _WINDOWED | POINTWISE and plan.weight is None and not plan.rest and len(node.output) == 4:
            plan.planes.append(stage)
        elif plan.weight is None and node.name == "linear" and place and stages[place - 1][0].name in _FLATTEN:
            plan.rest.clear()
            plan.weight, plan.bias = _argument(node, 1, "weight", None), _argument(node, 2, "bias", None)
        else:
            plan.rest.append(stage)
    if plan.weight is not None:
        flattened = next(p for p, (node, _) in enumerate(stages) if node.name in _FLATTEN)
        if flattened != len(plan.planes):
            return None  # an operation between the planes and the linear layer works on all positions at once
    return plan if any(stage.kernel for stage in plan.planes) else None


def _argument(node: Node, place: int, name: str, default: Any) -> Any:
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[place] if place < len(node.args) else default


def _pair(value: Any) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    return (pair[0], pair[0]) if len(pair) == 1 else (pair[0], pair[1])


def _stage(node: Node) -> Stage | None:
    """Return how to run a node on any batch, or None if that is not known."""
    if node.slot is None or (node.slot != 0):
        return None
    if node.name in _FLATTEN:
        whole = len(node.output) == 2 and node.shape == (math.prod(node.shape),)
        return Stage(lambda x: x.flatten(1)) if whole else None
    if node.name == "conv2d":
        return _convolution(node)
    if node.name in ("max_pool2d", "avg_pool2d"):
        return _pooling(node)
    if node.name == "batch_norm" and _argument(node, 1, "running_mean", None) is None:
        return None  # it would use the statistics of the batch
    if node.name in POINTWISE | _DENSE:
        func, args, kwargs = node.func, tuple(node.args[1:]), dict(node.kwargs)
        return Stage(lambda x: func(x, *args, **kwargs))
    return None


def _convolution(node: Node) -> Stage | None:
    weight, bias = _argument(node, 1, "weight", None), _argument(node, 2, "bias", None)
    stride, dilation = _pair(_argument(node, 3, "stride", 1)), _pair(_argument(node, 5, "dilation", 1))
    padding, groups = _argument(node, 4, "padding", 0), _argument(node, 6, "groups", 1)
    if isinstance(padding, str) or not isinstance(weight, Tensor):
        if padding != "valid":
            return None
        padding = 0
    pads = _pair(padding)
    return Stage(
        lambda x: F.conv2d(x, weight, bias, stride, pads, dilation, groups),
        (weight.shape[2], weight.shape[3]),
        stride,
        pads,
        dilation,
        lambda x: F.conv2d(x, weight, bias, stride, 0, dilation, groups),
    )


def _pooling(node: Node) -> Stage | None:
    most = node.name == "max_pool2d"
    kernel = _pair(_argument(node, 1, "kernel_size", 1))
    given = _argument(node, 2, "stride", None)
    stride = kernel if given is None or given == [] else _pair(given)
    pads = _pair(_argument(node, 3, "padding", 0))
    if most:
        plain = _pair(_argument(node, 4, "dilation", 1)) == (1, 1) and not _argument(node, 5, "ceil_mode", False)
        plain = plain and not _argument(node, 6, "return_indices", False)
        run: Callable[..., Tensor] = F.max_pool2d
    else:
        plain = pads == (0, 0) and not _argument(node, 4, "ceil_mode", False)
        plain = plain and _argument(node, 6, "divisor_override", None) is None
        run = F.avg_pool2d
    if not plain:
        return None
    return Stage(
        lambda x: run(x, kernel, stride, pads),
        kernel,
        stride,
        pads,
        unpadded=lambda x: run(x, kernel, stride),
        outside=-math.inf if most else 0.0,
    )


class Incremental:
    """The activations of one unoccluded image [1, C, H, W], ready for any windows."""

    def __init__(self, plan: Plan, image: Tensor) -> None:
        self.plan = plan
        self.inputs = [image[0]]
        for stage in plan.planes:
            self.inputs.append(stage.run(self.inputs[-1][None].clone())[0])
        planes = self.inputs[-1]
        self.sliced: Tensor | None = None
        self.answer: Tensor | None = None
        if plan.weight is not None:
            self.answer = F.linear(planes.flatten()[None], plan.weight, plan.bias)
            # [H, W, C, units]: the weights of neighbouring columns are contiguous
            self.sliced = plan.weight.view(-1, *planes.shape).permute(2, 3, 1, 0).contiguous()
        self.padded = [_padded(values, stage) for values, stage in zip(self.inputs, plan.planes, strict=False)]

    def scores(self, windows: Sequence[tuple[int, int, int, int]], fill: float) -> Tensor:
        """Return the scores [P, K] with `fill` in each window (top, bottom, left, right), bounds within the image."""
        boxes = self._first(windows, fill)
        for number, stage in enumerate(self.plan.planes):
            if stage.kernel is None:
                boxes.values = stage.run(boxes.values)
            else:
                boxes = self._through(stage, number, boxes)
        out = self._linear(boxes)
        for stage in self.plan.rest:
            out = stage.run(out)
        return out

    def _first(self, windows: Sequence[tuple[int, int, int, int]], fill: float) -> Boxes:
        image = self.inputs[0]
        edges = torch.tensor(windows)
        tall, wide = int((edges[:, 1] - edges[:, 0]).max()), int((edges[:, 3] - edges[:, 2]).max())
        top = edges[:, 0].clamp(max=image.shape[1] - tall)
        left = edges[:, 2].clamp(max=image.shape[2] - wide)
        whole = (edges[:, 1] - edges[:, 0] == tall) & (edges[:, 3] - edges[:, 2] == wide)
        values = image.new_full((len(windows), len(image), tall, wide), fill)
        for place in (~whole).nonzero()[:, 0].tolist():  # windows clipped at the border
            y, x = int(top[place]), int(left[place])
            up, down, near, far = windows[place]
            values[place] = image[:, y : y + tall, x : x + wide]
            values[place, :, up - y : down - y, near - x : far - x] = fill
        return Boxes(values, top, left)

    def _through(self, stage: Stage, number: int, boxes: Boxes) -> Boxes:
        """Apply a convolution or a pooling to the boxes."""
        base, size = self.padded[number], self.inputs[number + 1].shape[1:]
        top, tall, high = _reach(stage, 0, boxes.top, boxes.values.shape[2], size[0])
        left, wide, broad = _reach(stage, 1, boxes.left, boxes.values.shape[3], size[1])
        rows, columns = top * stage.stride[0], left * stage.stride[1]
        # [rows, columns, C, high, broad], a view; the selected parts are copied
        patches = base.unfold(1, high, 1).unfold(2, broad, 1).permute(1, 2, 0, 3, 4)[rows, columns]
        _paste(patches, boxes.values, boxes.top + stage.padding[0] - rows, boxes.left + stage.padding[1] - columns)
        run = stage.unpadded or stage.run
        return Boxes(run(patches)[:, :, :tall, :wide], top, left)

    def _linear(self, boxes: Boxes) -> Tensor:
        """Return the output of the first linear layer, or the planes themselves if there is none."""
        base, sliced = self.inputs[-1], self.sliced
        count, channels, tall, wide = boxes.values.shape
        if self.plan.weight is None or sliced is None or self.answer is None:
            return self._pasted(boxes)
        places = torch.stack([boxes.top, boxes.left], 1)
        distinct, group = torch.unique(places, dim=0, return_inverse=True)
        work = (count + _ROW_COST * len(distinct)) * tall * wide
        if work >= count * base.shape[1] * base.shape[2]:
            return F.linear(self._pasted(boxes).flatten(1), self.plan.weight, self.plan.bias)
        out = self.answer.repeat(count, 1)
        order = group.argsort()
        bounds = torch.bincount(group, minlength=len(distinct)).cumsum(0).tolist()
        values = boxes.values.permute(0, 2, 3, 1)
        start = 0
        for (y, x), stop in zip(distinct.tolist(), bounds, strict=True):
            members = order[start:stop]
            start = stop
            change = values[members] - base[:, y : y + tall, x : x + wide].permute(1, 2, 0)
            total = out[members]
            for row in range(tall):
                weights = sliced[y + row, x : x + wide].reshape(wide * channels, -1)
                total.addmm_(change[:, row].reshape(len(members), -1), weights)
            out[members] = total
        return out

    def _pasted(self, boxes: Boxes) -> Tensor:
        """Return the whole planes [P, C, H, W] with the boxes in their places."""
        whole = self.inputs[-1].repeat(len(boxes.values), 1, 1, 1)
        _paste(whole, boxes.values, boxes.top, boxes.left)
        return whole


def _padded(values: Tensor, stage: Stage) -> Tensor:
    rows, columns = stage.padding
    return F.pad(values, (columns, columns, rows, rows), value=stage.outside) if rows or columns else values


def _reach(stage: Stage, axis: int, start: Tensor, length: int, size: int) -> tuple[Tensor, int, int]:
    """Return the start of the outputs that a box changes [P], their number, and the size of the input they need."""
    step, pad = stage.stride[axis], stage.padding[axis]
    span = ((stage.kernel or (1, 1))[axis] - 1) * stage.dilation[axis]
    first = torch.div(start + pad - span + step - 1, step, rounding_mode="floor").clamp(0, size - 1)
    last = torch.div(start + length - 1 + pad, step, rounding_mode="floor").clamp(0, size - 1)
    count = min(int((last - first).max()) + 1, size)
    return first.clamp(max=size - count), count, (count - 1) * step + span + 1


def _paste(whole: Tensor, boxes: Tensor, top: Tensor, left: Tensor) -> None:
    """Write boxes [P, C, h, w] into `whole` [P, C, H, W] at corners that may be outside; such boxes are clipped."""
    (height, width), (tall, wide) = whole.shape[2:], boxes.shape[2:]
    places, group = torch.unique(torch.stack([top, left], 1), dim=0, return_inverse=True)
    for number, (y, x) in enumerate(places.tolist()):
        up, near = max(y, 0), max(x, 0)
        down, far = min(y + tall, height), min(x + wide, width)
        if up >= down or near >= far:
            continue
        members = slice(None) if len(places) == 1 else (group == number).nonzero()[:, 0]
        whole[members, :, up:down, near:far] = boxes[members, :, up - y : down - y, near - x : far - x]
