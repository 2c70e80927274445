"""Second derivatives passed down a network unit by unit: the diagonal Gauss-Newton approximation.

    a_i = sum_j w_ij x_j    h(x_j) = sum_i w_ij^2 h(a_i)       h(w_ij) = x_j^2 h(a_i)     h stands for d2E / d.^2
    x = f(a)                h(a) = f'(a)^2 h(x)

Terms with f'' are left out, and so are all second derivatives between two different units; for a shared weight, h is
the sum over its uses. LeCun et al., Proceedings of the IEEE 86 (1998), appendix C, eq. 26-31.

Inside `passing_curvature()` every torch function with a differentiable argument computes its usual result, but its
backward pass carries h instead of the gradient: it uses the squares of weights, inputs and slopes. So
`torch.autograd.grad(top, parameters, h_top)` returns the h of every parameter there, for any model composed of the
functions below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from threegen.errors import ConfigError

_BILINEAR_NAMES = "linear conv1d conv2d conv3d mul rmul imul matmul mm div truediv"
_POINTWISE_NAMES = "tanh sigmoid relu leaky_relu softplus elu gelu silu square exp neg"
_SELECTION_NAMES = """
add radd iadd max_pool1d max_pool2d max_pool3d view reshape flatten unflatten permute transpose t contiguous pad cat
stack index_select index_copy getitem get set squeeze unsqueeze expand expand_as clone sum to detach
"""
_BILINEAR = frozenset(_BILINEAR_NAMES.split())  # linear in each of their first two arguments
_POINTWISE = frozenset(_POINTWISE_NAMES.split())
_SELECTIONS = frozenset(_SELECTION_NAMES.split())  # their derivatives are 0 or 1, so the usual backward pass is right


class _Square(torch.autograd.Function):
    """x squared, whose backward pass passes h on unchanged: h already belongs to x."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values * values

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> Tensor:
        return h


class _Carried(torch.autograd.Function):
    """The true value of a function, with the backward pass of `carrier`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, carrier: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[None, Tensor]:
        return None, h


class passing_curvature(TorchFunctionMode):
    """Inside this block backward passes carry second derivatives; see above.

    Raises `ConfigError` if the model calls a function through which curvature cannot be passed.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute `func`, with the backward pass of curvature if an argument is differentiable."""
        given = dict(kwargs or {})
        name = str(getattr(func, "__name__", func)).strip("_")
        if name in _BILINEAR and "weight" in given:
            args = (*args[:1], given.pop("weight"), *args[1:])
        if name in _SELECTIONS or not torch.is_grad_enabled() or not _moving(args, given):
            return func(*args, **given)
        if name in ("sub", "rsub"):
            return _carry(func, args, given, torch.add(*args[:2]))
        if name in _BILINEAR and not (name in ("div", "truediv") and _moving(args[1:], {})):
            return _carry(func, args, given, func(*(_squared(x) for x in args[:2]), *args[2:], **given))
        if name in ("avg_pool1d", "avg_pool2d", "avg_pool3d"):
            return _carry(func, args, given, func(*args, **given) * _window_weight(func, args, given))
        if name in _POINTWISE:
            return _carry(func, args, given, args[0] * _slope(func, args, given).square())
        out = func(*args, **given)
        if _moving([out], {}):
            raise ConfigError(f"curvature cannot be passed through {name!r}; train this model by Backprop")
        return out


def _moving(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether any argument is a differentiable tensor."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in (*args, *kwargs.values()))


def _carry(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], carrier: Tensor) -> Tensor:
    with torch.no_grad():
        value = func(*args, **kwargs)
    carried: Tensor = _Carried.apply(value, carrier)  # type: ignore[no-untyped-call]
    return carried


def _squared(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Square.apply(value)  # type: ignore[no-untyped-call]
    return value * value


def _window_weight(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """Return the factor with which one element enters an average: the result for a single 1 among zeros."""
    with torch.no_grad():
        impulse = torch.zeros_like(args[0])
        impulse.flatten(2)[..., 0] = 1.0
        return float(func(impulse, *args[1:], **kwargs).amax())


def _slope(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """Return f'(a) of an elementwise function at its first argument."""
    with torch.enable_grad():
        at = args[0].detach().requires_grad_()
        slope: Tensor = torch.autograd.grad(func(at, *args[1:], **kwargs).sum(), at)[0]
    return slope
