"""threegen: one PyTorch package for the three generations of neural networks.

import threegen as tg

data = tg.load_data("mnist")
model = tg.MLP([784, 512, 10])
tg.fit(model, tg.Backprop("cross_entropy"), data.train, optimizer="adam", epochs=3)
print(tg.evaluate(model, data.test))

The names used most are here; everything public is in tg.models, tg.rules, tg.neurons, tg.encoders, tg.datasets,
tg.training, tg.explanations, tg.cost, tg.conversion, tg.registry, tg.testing, tg.studies and tg.errors.
"""

from __future__ import annotations

import importlib
from typing import Any

from threegen import names as _names

__version__ = "0.1.0"

_HOMES = _names.flat_homes()  # the table of public names is in names.py

__all__ = ["__version__", *sorted((*_HOMES, *_names.NAMESPACES))]


def __getattr__(name: str) -> Any:
    if name in _names.NAMESPACES:
        return importlib.import_module(f"threegen.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'threegen' has no attribute {name!r}")
    value = _names.load_name(_HOMES[name], name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
