"""When compiled kernels may replace methods: only if every replaced method is the library's own.

Sub-classes that override a method, methods replaced on an instance, hooks of any kind and modules unknown to the
kernels use the plain version, which calls everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cache
from typing import Any, cast

from torch import nn

from threegen.machine.torch_private import has_hooks, have_all_hooks


def replaced_method(module: nn.Module, names: Iterable[str]) -> str | None:
    """Return the first of the methods `names` of `module` that is not the library's own, or None."""
    own = vars(module)
    return next((name for name in names if name in own or not _is_ours(cast(Hashable, type(module)), name)), None)


@cache
def _is_ours(kind: Any, name: str) -> bool:
    """Return whether the class that defines `name`, in Python's method resolution order, is of this package."""
    definer = next((one for one in kind.__mro__ if name in vars(one)), None)
    return definer is None or definer.__module__.partition(".")[0] == __name__.partition(".")[0]


def is_watched(module: nn.Module) -> bool:
    """Return whether calling a module does more than the `forward` of its class: hooks, or an overridden `forward`."""
    return has_hooks(module)


def all_are_watched() -> bool:
    """Return whether there are hooks that every module calls."""
    return have_all_hooks()
