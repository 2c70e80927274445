"""Nets that are just an `nn.Sequential` of torch's own layers, run as plain function calls.

The operations of such a net do not depend on the data, and in eval mode it draws nothing. So it can be run without its
modules: modes, `requires_grad` and generators need not be changed and restored, and dropout is left out. For one small
image that saves a third of the time; the arithmetic is the same. The list of steps is built for each run, so that
changes of layers and weights take effect. With a layer of another type, a hook or a custom `forward`, the list is None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.machine.torch_private import has_hooks, have_all_hooks, own_modules

Step = tuple[nn.Module, Callable[[Any, Tensor], Tensor]]


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _normalise(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0.0, layer.eps)


def _as_it_is(layer: nn.Module, x: Tensor) -> Tensor:
    moved: Tensor = layer.forward(x)
    return moved


# None: no operation in eval mode. Rectifiers are called out of place, even if the layer is in place.
_STEPS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor] | None] = {
    nn.Conv2d: _convolve,
    nn.Linear: lambda layer, x: F.linear(x, layer.weight, layer.bias),
    nn.BatchNorm1d: _normalise,
    nn.BatchNorm2d: _normalise,
    nn.ReLU: lambda layer, x: torch.relu(x),
    nn.Tanh: _as_it_is,
    nn.Sigmoid: _as_it_is,
    nn.GELU: _as_it_is,
    nn.Softplus: _as_it_is,
    nn.MaxPool2d: _as_it_is,
    nn.AvgPool2d: _as_it_is,
    nn.AdaptiveAvgPool2d: _as_it_is,
    nn.Flatten: _as_it_is,
    nn.Identity: None,
    nn.Dropout: None,
    nn.Dropout2d: None,
}


def straight_steps(model: nn.Module) -> list[Step] | None:
    """Return the layers of a sequential net, each with its function in eval mode; None for any other net."""
    if type(model) is not nn.Sequential or have_all_hooks():
        return None
    steps: list[Step] = []
    return steps if _gather(model, steps) else None


def _gather(net: nn.Sequential, steps: list[Step]) -> bool:
    if has_hooks(net):
        return False
    for layer in own_modules(net).values():
        if isinstance(layer, nn.Sequential) and type(layer) is nn.Sequential:
            if not _gather(layer, steps):
                return False
            continue
        if layer is None or type(layer) not in _STEPS or has_hooks(layer):
            return False
        run = _STEPS[type(layer)]
        if (run is _convolve and layer.padding_mode != "zeros") or (run is _normalise and layer.running_mean is None):
            return False
        steps.append((layer, run or _nothing))
    return True


def _nothing(layer: nn.Module, x: Tensor) -> Tensor:
    return x


def run_steps(steps: list[Step], x: Tensor) -> Tensor:
    """Return the result of the steps applied to `x`, one after the other."""
    for layer, run in steps:
        x = run(layer, x)
    return x


def split_at(steps: list[Step], layer: nn.Module | None) -> tuple[list[Step], list[Step]] | None:
    """Return the steps up to and with `layer`, and those after it; None if it does not occur exactly once."""
    places = [place for place, (one, _) in enumerate(steps) if one is layer]
    return (steps[: places[0] + 1], steps[places[0] + 1 :]) if len(places) == 1 else None
