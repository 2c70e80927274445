"""The weight updates of Diehl and Cook's network: kernels for one spike, and the normalisation.

Only the columns of neurons that fired in this presentation are changed; see `Plasticity` for the rules. The plain
versions are in `network.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.functional.diehl_cook.constants import (
    BETA,
    ETA_POST,
    ETA_PRE,
    EXPONENT,
    EXPONENTIAL,
    KIND,
    LARGEST,
    NORM,
    PAIR,
    SYMMETRIC,
    TARGET,
    TRIPLET,
    ZERO,
)
from threegen.machine.compiler import serial

Array = np.ndarray[Any, Any]

LAST_POST, FIRED = 3, 5  # rows of `Cell.whole`
LAST_PRE, LIT = 0, 1  # rows of `Cell.ends`


@serial
def potentiate(net: Any, cell: Any, j: int, t: int) -> None:
    """Neuron j fires at step t: its weights change by the traces of its inputs, before its own traces are set."""
    k, kind, weight, tables, ends = net.k, net.n[KIND], net.weight, net.tables, cell.ends
    zero, largest, eta, target = k[ZERO], k[LARGEST], k[ETA_POST], k[TARGET]
    if kind <= PAIR:  # triplet or pair
        if kind == TRIPLET:
            if cell.whole[LAST_POST, j] < 0:
                return
            eta *= tables[2, t - cell.whole[LAST_POST, j]]
        for place in range(cell.marks[LIT]):
            i = ends[LIT, place]
            if ends[LAST_PRE, i] >= 0:
                w = weight[i, j] + eta * tables[0, t - ends[LAST_PRE, i]]
                weight[i, j] = w if w < largest else largest
        return
    for i in range(len(weight)):
        x = tables[0, t - ends[LAST_PRE, i]] if ends[LAST_PRE, i] >= 0 else zero
        w = weight[i, j]
        if kind == EXPONENTIAL:
            w += eta * (x * np.exp(-k[BETA] * w) - target * np.exp(-k[BETA] * (largest - w)))
        else:
            w += eta * (x - target) * (largest - w) ** k[EXPONENT]
        weight[i, j] = min(max(w, zero), largest)


@serial
def depress(
    weight: Array, k: Array, kind: int, tables: Array, whole: Array, fired: int, ends: Array, i: int, t: int
) -> None:
    """Input i fires at step t: its weights decrease by the traces of the `fired` neurons that have fired."""
    ends[LAST_PRE, i] = t
    if kind > PAIR and kind != SYMMETRIC:
        return
    zero, eta = k[ZERO], k[ETA_PRE]
    for place in range(fired):
        j = whole[FIRED, place]
        w = weight[i, j]
        change = eta * tables[1, t - whole[LAST_POST, j]]
        if kind == SYMMETRIC:
            change *= w ** k[EXPONENT]
        w -= change
        weight[i, j] = w if w > zero else zero


@serial
def normalise_columns(net: Any, columns: Array, sums: Array) -> None:
    """Scale the weights of the neurons `columns` so that each neuron's sum is the norm; `sums` is a buffer for them."""
    weight = net.weight
    sums[: len(columns)] = 0.0
    for i in range(len(weight)):
        for place in range(len(columns)):
            sums[place] += weight[i, columns[place]]
    for place in range(len(columns)):
        sums[place] = net.k[NORM] / sums[place] if sums[place] > 0.0 else 1.0
    for i in range(len(weight)):
        for place in range(len(columns)):
            weight[i, columns[place]] *= sums[place]


@serial
def normalise(net: Any, sums: Array) -> None:
    """Scale the weights of all neurons; `sums` [N] receives their sums."""
    weight = net.weight
    sums[:] = 0.0
    for i in range(len(weight)):
        for j in range(len(sums)):
            sums[j] += weight[i, j]
    for j in range(len(sums)):
        sums[j] = net.k[NORM] / sums[j] if sums[j] > 0.0 else 1.0
    for i in range(len(weight)):
        for j in range(len(sums)):
            weight[i, j] *= sums[j]
