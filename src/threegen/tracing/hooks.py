"""Whether calling a module does more than its `forward`: hooks of its own, hooks of all modules."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules import module as _hooks_of_all


def has_hooks(layer: nn.Module) -> bool:
    """Return whether a module has hooks, or a `forward` that was put over that of its class."""
    return hooks_among(layer.__dict__)


def hooks_among(attributes: dict[str, Any]) -> bool:
    """As `has_hooks`, for the `__dict__` of a module."""
    return bool(
        attributes["_forward_hooks"]
        or attributes["_forward_pre_hooks"]
        or attributes["_backward_hooks"]
        or attributes["_backward_pre_hooks"]
        or "forward" in attributes
    )


def have_all_hooks() -> bool:
    """Return whether there are hooks that every module calls."""
    return bool(_hooks_of_all._has_any_global_hook())  # type: ignore[no-untyped-call]
