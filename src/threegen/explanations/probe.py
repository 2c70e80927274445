"""A torch-function mode for one run of a model: modifies relu, records layers, skips a final softmax.

Because it acts on function calls, `nn.ReLU`, `F.relu`, `torch.relu`, `Tensor.relu`, `clamp(min=0)` and their in-place
forms are all covered, in modules used once or many times. Guided back-propagation: Springenberg et al., "Striving for
simplicity", ICLR workshop 2015. Deconvolution: Zeiler and Fergus, "Visualizing and understanding convolutional
networks", ECCV 2014.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from threegen.checks import require_choice
from threegen.tracing.trace import MOVES
from threegen.tracing.walk import plain_name, tensors_in

MODIFIERS = ("guided", "deconv")


def modifier_name(modifier: str | None) -> str | None:
    """Return "guided", "deconv" or None; "relu", the keras-vis name, means deconv. Raises `ConfigError`."""
    if modifier is None:
        return None
    return "deconv" if modifier == "relu" else require_choice("modifier", modifier, (*MODIFIERS, "relu"))


class _Rectify(torch.autograd.Function):
    """A rectifier that passes only positive gradients; guided also blocks them where the rectifier was inactive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, high: float, guided: bool) -> Tensor:
        if guided:
            ctx.save_for_backward(x > 0 if high == math.inf else (x > 0) & (x < high))
        return x.relu() if high == math.inf else x.clamp(0.0, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        passed = gradients[0].clamp(min=0)
        return passed.mul_(ctx.saved_tensors[0]) if ctx.saved_tensors else passed, None, None


def rectifier_bound(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float | None:
    """Return the upper bound (often infinite) if a call is a rectifier, that is a clamp from 0; None otherwise."""

    def given(position: int, key: str, default: Any) -> Any:
        return kwargs[key] if key in kwargs else args[position] if position < len(args) else default

    if name == "relu":
        return math.inf
    if name == "relu6":
        return 6.0
    if name == "threshold":
        return math.inf if given(1, "threshold", 1) == 0 and given(2, "value", 1) == 0 else None
    if name == "clamp_min":
        low, high = given(1, "min", None), math.inf
    elif name in ("clamp", "clip"):
        low, high = given(1, "min", None), given(2, "max", None)
        high = math.inf if high is None else high
    elif name == "hardtanh":
        low, high = given(1, "min_val", -1.0), given(2, "max_val", 1.0)
    else:
        return None
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    return float(high) if numbers and low == 0 else None


_IN_PLACE_POSITION = {"relu": 1, "relu6": 1, "threshold": 3, "hardtanh": 3}


def _works_in_place(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if str(getattr(func, "__name__", "")).endswith("_"):
        return True
    place = _IN_PLACE_POSITION.get(name)
    return bool(kwargs.get("inplace", place is not None and len(args) > place and args[place]))


class Probe(TorchFunctionMode):
    """The mode that is active while the model runs.

    `modifier` changes the backward pass of every rectifier; `modified` counts them. `functions` holds (name, nth) of
    calls whose first result is passed to `take`, which may return another tensor. `softmax` names the functions at the
    end of the model (softmax, or sigmoid) that `before_softmax` skips.
    """

    def __init__(
        self,
        modifier: str | None = None,
        functions: frozenset[tuple[str, int]] = frozenset(),
        take: Any = None,
        softmax: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.modifier, self.wanted, self.take, self.softmax = modifier, functions, take, softmax
        self.names = frozenset(name for name, _ in functions)
        self.counts: Counter[str] = Counter()
        self.modified = 0
        self.origins: Any = WeakIdKeyDictionary()  # result of a softmax, and of reshapes after it -> the scores

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run `func`, or its modified form."""
        given = kwargs or {}
        name = plain_name(func)
        out = self._modified(func, name, args, given) if self.modifier else None
        if out is None:
            out = func(*args, **given)
        if self.softmax:
            self._follow(func, name, args, given, out)
        if name in self.names:
            number = self.counts[name]
            self.counts[name] += 1
            if (name, number) in self.wanted:
                return self._taken(out, _works_in_place(func, name, args, given))
        return out

    def _taken(self, out: Any, in_place: bool) -> Any:
        if in_place:  # the model may continue with the tensor that it passed in, not with the result
            return out.copy_(self.take(out.clone()))
        if isinstance(out, Tensor):
            return self.take(out)
        return type(out)((self.take(out[0]), *out[1:]))

    def _modified(self, func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        high = rectifier_bound(name, args, kwargs)
        x = args[0] if args else kwargs.get("input")
        if high is None or not isinstance(x, Tensor) or not x.requires_grad or not torch.is_grad_enabled():
            return None
        out: Tensor = _Rectify.apply(x, high, self.modifier == "guided")  # type: ignore[no-untyped-call]
        self.modified += 1
        return x.copy_(out) if _works_in_place(func, name, args, kwargs) else out

    def _follow(self, func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        if not isinstance(out, Tensor):
            return
        sources = tensors_in(args, kwargs)
        if name in self.softmax and sources:
            self.origins[out] = sources[0]
        elif sources and sources[0] in self.origins:
            origin = self.origins[sources[0]]
            if name == "log":
                self.origins[out] = origin
            elif name in MOVES and args and args[0] is sources[0]:
                self.origins[out] = func(origin, *args[1:], **kwargs)

    def before_softmax(self, out: Tensor) -> Tensor:
        """Return the scores that `out` was made from by a final softmax, or `out` itself."""
        origin = self.origins.get(out)
        return out if origin is None else origin
