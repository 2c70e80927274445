"""threegen: one PyTorch package for the three generations of neural networks."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

# Public name -> the module that holds it. Loaded on first use, so that `import threegen` costs little.
_PUBLIC: dict[str, str] = {}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604  # the table is the one list of public names


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'threegen' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
