"""The parts between two layers of spiking neurons in a `SpikingGraph`: modules of [B, ...] without state.

Each has a kind, by which a plan names it, and options of plain values, from which it can be rebuilt:

    build_wire("conv2d", {"inputs": 1, "outputs": 16, "kernel": [5, 5], "bias": True})

Shapes: B examples (in the net time and examples are one axis, [T * B, ...]), C channels first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice
from threegen.errors import ConfigError
from threegen.gen3.parts import Cost, Use, nonzero

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
AVERAGES: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MAXIMA: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class Reshape(nn.Module):
    """Give every example another shape, its values in the same order."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, *shape]."""
        return x.reshape(len(x), *self.shape)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"shape={list(self.shape)}"


class Permute(nn.Module):
    """Put the axes of every example in another order; `axes` counts the batch as axis 0, which stays first."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same values, axes permuted."""
        return x.permute(self.axes)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"axes={list(self.axes)}"


class Pad(nn.Module):
    """Pad the last axes as `torch.nn.functional.pad` does."""

    def __init__(self, amounts: Sequence[int], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__()
        self.amounts, self.mode, self.value = tuple(amounts), mode, value

    def forward(self, x: Tensor) -> Tensor:
        """Return the padded values."""
        return F.pad(x, self.amounts, self.mode, self.value if self.mode == "constant" else None)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"amounts={list(self.amounts)}, mode={self.mode}, value={self.value:g}"


class Resize(nn.Module):
    """Interpolate planes to a size, as `torch.nn.functional.interpolate` does."""

    def __init__(self, size: Sequence[int], mode: str, align_corners: bool | None, antialias: bool) -> None:
        super().__init__()
        self.size, self.mode = tuple(size), mode
        self.align_corners, self.antialias = align_corners, antialias

    def forward(self, x: Tensor) -> Tensor:
        """Return planes of the new size."""
        return F.interpolate(x, self.size, mode=self.mode, align_corners=self.align_corners, antialias=self.antialias)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"size={list(self.size)}, mode={self.mode}"


class SumPool(nn.Module):
    """Count the spikes under a window that moves over the planes: an average pooling that does not divide."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = tuple(kernel), tuple(stride), tuple(padding)

    def forward(self, x: Tensor) -> Tensor:
        """Return the counts, whole numbers if `x` is 0 or 1."""
        if len(self.kernel) == 1:  # one dimension has no divisor_override, so it is pooled as planes of width 1
            (kernel,), (stride,), (padding,) = self.kernel, self.stride, self.padding
            planes = F.avg_pool2d(x.unsqueeze(-1), (kernel, 1), (stride, 1), (padding, 0), divisor_override=1)
            return planes.squeeze(-1)
        return AVERAGES[len(self.kernel)](x, self.kernel, self.stride, self.padding, divisor_override=1)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"kernel={list(self.kernel)}, stride={list(self.stride)}, padding={list(self.padding)}"


class SumOver(nn.Module):
    """Sum over axes of every example; `axes` counts the batch as axis 0."""

    def __init__(self, axes: Sequence[int], keep: bool = False) -> None:
        super().__init__()
        self.axes, self.keep = tuple(axes), keep

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums."""
        return x.sum(self.axes, keepdim=self.keep)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"axes={list(self.axes)}"


class ConstantMax(nn.Module):
    """Maximum pooling of values that are the same at every step, before the first neurons."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], ceil: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding, self.ceil = tuple(kernel), tuple(stride), tuple(padding), ceil

    def forward(self, x: Tensor) -> Tensor:
        """Return the largest value under each window."""
        return MAXIMA[len(self.kernel)](x, self.kernel, self.stride, self.padding, ceil_mode=self.ceil)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"kernel={list(self.kernel)}, stride={list(self.stride)}"


class Average(nn.Module):
    """Average pooling over windows with different numbers of values: at the borders, or adaptive ones."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = dict(options)

    def forward(self, x: Tensor) -> Tensor:
        """Return the averages."""
        own = self.options
        if "size" in own:
            kinds = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
            return kinds[len(own["size"])](x, own["size"])
        given = (own["kernel"], own["stride"], own["padding"], own["ceil"], own["padding_counts"])
        return AVERAGES[len(own["kernel"])](x, *given)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items())


class Scale(nn.Module):
    """Multiply each channel (or each value) by a weight: the value of one spike on a path without other weights.

    It is the shortcut of Hu et al., "Spiking deep residual networks" (2018), whose scale is that of its two ends. A
    spike costs one addition.
    """

    part = "scaling"

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, ...] with each value times its weight."""
        return x * self.weight

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: an addition a spike; a multiplication a value otherwise."""
        spiking = use.signals[0] == "spikes"
        work = {"ac": nonzero(use.inputs[0])} if spiking else {"mul": use.output.numel()}
        return Cost(self.part, work, use.output, shape=tuple(use.output.shape[1:]))


class Shift(nn.Module):
    """Add a constant to each value: a bias that differs between positions."""

    part = "bias"

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, ...] with each value plus its constant."""
        return x + self.bias

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: an addition a value."""
        return Cost(self.part, {"add": use.output.numel()}, use.output, shape=tuple(use.output.shape[1:]))


class Add(nn.Module):
    """The sum of several signals of one shape."""

    part = "sum"

    def forward(self, *signals: Tensor) -> Tensor:
        """Return the sum."""
        total = signals[0]
        for one in signals[1:]:
            total = total + one
        return total

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: an addition a spike where spikes or their numbers are added, else one per value."""
        shape = tuple(use.output.shape[1:])
        if all(one in ("spikes", "counts") for one in use.signals):
            work = {"ac": sum(int(one.sum()) for one in use.inputs)}
            return Cost(self.part, work, use.output, "counts", shape=shape)
        return Cost(self.part, {"add": (len(use.inputs) - 1) * use.output.numel()}, use.output, shape=shape)


class Concatenate(nn.Module):
    """Concatenate several signals along an axis; `axis` counts the batch as axis 0."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *signals: Tensor) -> Tensor:
        """Return them as one."""
        return torch.cat(signals, self.axis)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"axis={self.axis}"


def _linear(inputs: int, outputs: int, bias: bool) -> nn.Module:
    return cast(nn.Module, nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias))  # type: ignore[no-untyped-call]


def _convolution(
    inputs: int,
    outputs: int,
    kernel: Sequence[int],
    bias: bool,
    stride: Sequence[int] = (),
    padding: Sequence[int] | str = (),
    dilation: Sequence[int] = (),
    groups: int = 1,
) -> nn.Module:
    plain = [1] * len(kernel)
    options = {
        "kernel_size": tuple(kernel),
        "stride": tuple(stride or plain),
        "padding": padding if isinstance(padding, str) else tuple(padding or [0] * len(kernel)),
        "dilation": tuple(dilation or plain),
        "groups": groups,
        "bias": bias,
    }
    kind = CONVOLUTIONS[len(kernel)]
    return cast(nn.Module, nn.utils.skip_init(kind, inputs, outputs, **options))  # type: ignore[no-untyped-call]


WIRES: dict[str, Callable[..., nn.Module]] = {
    "linear": _linear,
    "convolution": _convolution,
    "sum-pool": SumPool,
    "average": lambda **options: Average(options),
    "constant-max": ConstantMax,
    "sum-over": SumOver,
    "reshape": Reshape,
    "permute": Permute,
    "pad": Pad,
    "resize": Resize,
    "scale": Scale,
    "shift": Shift,
    "add": Add,
    "concatenate": Concatenate,
}


def build_wire(kind: str, options: Mapping[str, Any]) -> nn.Module:
    """Return the module of a `kind` of WIRES with its options; weights are not filled. Raises `ConfigError`."""
    maker = WIRES[require_choice("wire", kind, WIRES)]
    try:
        return maker(**options)
    except (TypeError, KeyError, ValueError) as problem:
        raise ConfigError(f"a wire {kind!r} cannot be built from the options {dict(options)}: {problem}") from problem


def window(kernel: Sequence[int]) -> int:
    """Return the number of elements in a window."""
    return math.prod(kernel)
