"""McNemar's exact test: do two classifiers that answered the same examples differ in accuracy?

Only the examples that exactly one of the two answers correctly count. If both are equally accurate, each of these n
examples is equally likely to be correct in either, so the smaller number is binomial with n draws and a probability of
1/2 (McNemar, Psychometrika 12:153, 1947; the exact form, not the approximation by chi-squared).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.errors import ShapeError

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Pair:
    """Two models on the same examples: the numbers that both, only the first, only the second and neither got right.

    `p` is the two-sided p-value of McNemar's exact test, `adjusted` the same after Holm's correction for the number of
    pairs that were tested together.
    """

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    p: float
    adjusted: float

    @property
    def significant(self) -> bool:
        """Whether the accuracies differ at the level of 5 %, all tests together."""
        return self.adjusted < SIGNIFICANT

    def as_dict(self) -> dict[str, Any]:
        """Return the pair as plain data for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "both": self.both,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "neither": self.neither,
            "p": self.p,
            "p_holm": self.adjusted,
            "significant": self.significant,
        }


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_first: how many examples only the first classifier got right.
        only_second: how many examples only the second classifier got right.

    Raises `ConfigError` for a negative number.

    >>> mcnemar(1, 5)  # 2 * (1 + 6) / 2**6
    0.21875
    """
    fewer = min(require_whole("only_first", only_first, least=0), require_whole("only_second", only_second, least=0))
    trials = only_first + only_second
    tail, term = 0, 1
    for k in range(fewer + 1):  # integers, so that only the last division rounds
        tail += term
        term = term * (trials - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << trials))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being tested together (Holm, Scandinavian Journal of Statistics 6:65, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda one: values[one])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def compare_pairs(right: Mapping[str, Tensor]) -> tuple[Pair, ...]:
    """Test every pair of models; `right[name]` [N] says which of the same N examples that model got right.

    Raises `ShapeError` if the models did not answer equally many examples.
    """
    lengths = {name: len(one) for name, one in right.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"the models must have answered the same examples, got {lengths}")
    found = []
    for first, second in itertools.combinations(right, 2):
        table = torch.bincount(2 * right[first].long() + right[second].long(), minlength=4).tolist()
        found.append((first, second, table))
    values = [mcnemar(table[2], table[1]) for _, _, table in found]
    return tuple(
        Pair(first, second, table[3], table[2], table[1], table[0], p, adjusted)
        for (first, second, table), p, adjusted in zip(found, values, holm(values), strict=True)
    )
