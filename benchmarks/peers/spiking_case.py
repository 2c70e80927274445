"""Shared by all sides of `spiking_training.py`: the spikes, the weights, the expected results, and the timing.

`SPIKING_CASE` names a file with `spikes` [T, B, ...] as bytes, `targets` [B, 10], `weight0`, `bias0` and so on, and of
the plain loop `counts` [B, 10] (spikes of the last layer) and the gradients `by_weight0`, `by_bias0`, and so on.
Weights are multiples of 2^-10 and biases odd multiples of 2^-11: sums of spikes are then exact in any order and no
potential equals the threshold exactly, so that all spikes must be equal. Needs only numpy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

LARGEST_ERROR = 1e-4  # of a gradient, relative to its length: sums of floats in another order
CASE = "SPIKING_CASE"

Array = np.ndarray[Any, Any]


def load_case() -> dict[str, Array]:
    """Return the arrays of the case."""
    with np.load(os.environ[CASE]) as file:
        return {name: file[name] for name in file.files}


def in_layers(case: dict[str, Array], name: str) -> list[Array]:
    """Return `weight0`, `weight1`, ... (or another name) as a list."""
    return [case[f"{name}{number}"] for number in range(sum(key.startswith("weight") for key in case))]


def refuse_unequal(case: dict[str, Array], rates: Array, by_weight: Sequence[Array], by_bias: Sequence[Array]) -> None:
    """End the process unless the rates [B, 10] and the gradients are those of the case."""
    counts = np.rint(np.asarray(rates, np.float64) * len(case["spikes"]))
    wrong = int((counts != case["counts"]).sum())
    if wrong or not case["counts"].any():
        raise SystemExit(f"the spikes differ: {wrong} of {counts.size} counts, {int(case['counts'].sum())} spikes")
    for name, found in (("by_weight", by_weight), ("by_bias", by_bias)):
        for number, (ours, expected) in enumerate(zip(found, in_layers(case, name), strict=True)):
            error = float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))
            if not error < LARGEST_ERROR:
                raise SystemExit(f"the gradient {name}{number} is off by {error:.2e} of its length")


def best(work: Callable[[], object], quick: bool) -> float:
    """Return the milliseconds of the fastest of some calls, after two untimed calls."""
    times = []
    for number in range(updates(quick) + 2):
        begun = time.perf_counter()
        work()
        if number >= 2:
            times.append(time.perf_counter() - begun)
    return 1e3 * min(times)


def updates(quick: bool) -> int:
    """Return how many updates are timed; the fastest is used."""
    return 5 if quick else 20
