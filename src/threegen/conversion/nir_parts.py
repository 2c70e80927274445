"""Modules without state as NIR nodes, and back: products, convolutions, pooling, shapes, factors.

NIR has no batch axis, no maximum pooling and no normalisation. Its average pooling counts the padding, and its sums and
averages do not round the output size up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.conversion.nir_file import Node
from threegen.conversion.nir_neurons import finite
from threegen.conversion.nir_stages import Times
from threegen.errors import ConfigError, DataError

ADVICE = {
    "MaxPool": "NIR has no maximum pooling; use average pooling",
    "ReLU": "NIR has no activation functions between neurons",
    "LayerNorm": "NIR has no normalisation; batch normalisation can be folded into weights",
    "GroupNorm": "NIR has no normalisation; batch normalisation can be folded into weights",
    "NeuNorm": "NIR has no auxiliary neurons that follow the mean of all channels",
}


def node_of(
    nir: Any, module: nn.Module, before: tuple[int, ...], after: tuple[int, ...], kind: Any
) -> tuple[str, Node]:
    """Return the name and the node of a module that maps shape `before` to `after`; raises `ConfigError`."""
    if isinstance(module, nn.Linear):
        return _product(nir, module, before, kind)
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return _convolution(nir, module, before, kind)
    if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return _pooling(nir, module, before, after)
    if isinstance(module, nn.Flatten):
        first, last = (one - 1 if one > 0 else one for one in (module.start_dim, module.end_dim))
        if module.start_dim == 0:
            raise ConfigError("nn.Flatten(0) would flatten the batch axis too; use nn.Flatten()")
        return "flatten", nir.Flatten(np.array(before), start_dim=first, end_dim=last)
    if isinstance(module, Times):
        factor = cast(Tensor, module.factor).detach().cpu().numpy()
        return "scale", nir.Scale(scale=np.array(np.broadcast_to(factor, before), kind))
    name = type(module).__name__
    reason = next((text for part, text in ADVICE.items() if part in name), f"NIR has no node for {name}")
    raise ConfigError(f"{name} cannot be written as NIR: {reason}")


def _array(values: Tensor, kind: Any) -> Any:
    return values.detach().cpu().numpy().astype(kind)


def _product(nir: Any, module: nn.Linear, before: tuple[int, ...], kind: Any) -> tuple[str, Node]:
    if len(before) != 1:
        raise ConfigError(f"NIR's products take vectors, this one takes {list(before)}; put nn.Flatten() before it")
    weight = _array(module.weight, kind)
    bias = cast(Tensor | None, module.bias)
    if bias is None:
        return "linear", nir.Linear(weight=weight)
    return "affine", nir.Affine(weight=weight, bias=_array(bias, kind))


def _convolution(nir: Any, module: nn.Conv1d | nn.Conv2d, before: tuple[int, ...], kind: Any) -> tuple[str, Node]:
    if module.padding_mode != "zeros":
        raise ConfigError(f"NIR pads with zeros, this convolution with {module.padding_mode!r}")
    if len(set(module.kernel_size)) > 1:
        raise ConfigError(f"nir 1.0 knows square kernels only, this one is {list(module.kernel_size)}")
    weight = _array(module.weight, kind)
    bias = np.zeros(len(weight), kind) if module.bias is None else _array(module.bias, kind)
    one = isinstance(module, nn.Conv1d)

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return value
        return int(value[0]) if one else tuple(int(part) for part in value)

    node = (nir.Conv1d if one else nir.Conv2d)(
        input_shape=before[1] if one else tuple(before[1:]),
        weight=weight,
        stride=plain(module.stride),
        padding=plain(module.padding),
        dilation=plain(module.dilation),
        groups=module.groups,
        bias=bias,
    )
    return "conv", node


def _pooling(
    nir: Any, module: nn.AvgPool2d | nn.AdaptiveAvgPool2d, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[str, Node]:
    if isinstance(module, nn.AdaptiveAvgPool2d):
        if any(one % other for one, other in zip(before[1:], after[1:], strict=True)):
            raise ConfigError(
                f"AdaptiveAvgPool2d of {list(before[1:])} to {list(after[1:])} has windows of different sizes; NIR's "
                f"all have the same size"
            )
        kernel = [one // other for one, other in zip(before[1:], after[1:], strict=True)]
        stride, padding, summed = kernel, [0, 0], False
    else:
        kernel, stride, padding = (_pair(one) for one in (module.kernel_size, module.stride, module.padding))
        divisor = module.divisor_override
        summed = divisor == 1
        odd = [
            (module.ceil_mode, "ceil_mode"),
            (any(padding) and not module.count_include_pad and divisor is None, "count_include_pad=False"),
            (divisor not in (None, 1, kernel[0] * kernel[1]), "divisor of its own"),
        ]
        for wrong, name in odd:
            if wrong:
                raise ConfigError(f"NIR's average pooling has no {name}")
    made = (nir.SumPool2d if summed else nir.AvgPool2d)(
        kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding)
    )
    return "pool", made


def _pair(value: Any) -> list[int]:
    both = [int(one) for one in value] if isinstance(value, Sequence | np.ndarray) else [int(value)]
    return both * 2 if len(both) == 1 else both


def module_of(name: str, node: Node, kind: torch.dtype) -> nn.Module:
    """Return the module of a node of a file; raises `DataError` for a damaged or unknown one."""
    what = type(node).__name__
    try:
        if what in ("Linear", "Affine"):
            return _linear(name, node, kind)
        if what in ("Conv1d", "Conv2d"):
            return _convolution_of(name, node, kind)
        if what in ("AvgPool2d", "SumPool2d"):
            kernel, stride, padding = (_pair(one) for one in (node.kernel_size, node.stride, node.padding))
            divisor = 1 if what == "SumPool2d" else None
            return nn.AvgPool2d(
                (kernel[0], kernel[1]), (stride[0], stride[1]), (padding[0], padding[1]), divisor_override=divisor
            )
        if what == "Flatten":
            first, last = int(node.start_dim), int(node.end_dim)
            return nn.Flatten(first + 1 if first >= 0 else first, last + 1 if last >= 0 else last)
        if what == "Scale":
            return Times(torch.as_tensor(finite(name, "scale", node.scale)).to(kind))
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError) as problem:
        if isinstance(problem, DataError):
            raise
        raise DataError(f"{name} ({what}) is damaged: {problem}") from problem
    raise DataError(f"{name} is a {what}, which cannot be read; the known kinds are {KNOWN}")


KNOWN = "Affine Linear Scale Conv1d Conv2d AvgPool2d SumPool2d Flatten LIF CubaLIF IF LI I Threshold"


def _linear(name: str, node: Node, kind: torch.dtype) -> nn.Linear:
    weight = finite(name, "weight", node.weight)
    if weight.ndim != 2:
        raise DataError(f"{name} has a weight of {weight.ndim} axes, expected [outputs, inputs]")
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=hasattr(node, "bias"))  # type: ignore[no-untyped-call]
    _fill(name, layer, node, weight, kind)
    return layer


def _convolution_of(name: str, node: Node, kind: torch.dtype) -> nn.Module:
    weight, groups = finite(name, "weight", node.weight), int(node.groups)
    axes = 1 if type(node).__name__ == "Conv1d" else 2
    if weight.ndim != axes + 2:
        raise DataError(f"{name} has a weight of {weight.ndim} axes, expected {axes + 2}")
    padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding

    def plain(value: Any) -> Any:
        return tuple(_pair(value))[:axes] if axes == 1 or not isinstance(value, int) else int(value)

    layer = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv1d if axes == 1 else nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=plain(node.stride),
        padding=padding if isinstance(padding, str) else plain(padding),
        dilation=plain(node.dilation),
        groups=groups,
    )
    _fill(name, layer, node, weight, kind)
    return cast(nn.Module, layer)


def _fill(name: str, layer: Any, node: Node, weight: Any, kind: torch.dtype) -> None:
    layer.weight = nn.Parameter(torch.as_tensor(weight).to(kind))
    if layer.bias is None:
        return
    bias = finite(name, "bias", node.bias)
    if bias.shape != weight.shape[:1]:
        raise DataError(f"{name} has a bias of shape {list(bias.shape)} for {len(weight)} outputs")
    layer.bias = nn.Parameter(torch.as_tensor(bias).to(kind))
