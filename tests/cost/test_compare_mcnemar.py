"""McNemar's exact test and Holm's correction against scipy and against binomials by hand."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import pytest
import torch

from threegen.cost.mcnemar import compare_pairs, holm, mcnemar
from threegen.errors import ConfigError, ShapeError

scipy_stats = pytest.importorskip("scipy.stats")  # comes with scikit-learn, an oracle of the tests


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 5, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (5, 1, 2 * (1 + 6) / 64),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
    ],
)
def test_by_hand(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == p


@pytest.mark.parametrize("pair", [*itertools.product((0, 1, 7, 40), (0, 2, 40, 55)), (480, 520), (4_000, 4_300)])
def test_is_the_two_sided_binomial_test(pair: tuple[int, int]) -> None:
    if sum(pair):
        assert mcnemar(*pair) == pytest.approx(scipy_stats.binomtest(pair[0], sum(pair), 0.5).pvalue, rel=1e-9)


def test_a_tail_far_out_is_exact() -> None:
    exact = Fraction(2 * sum(comb(1000, k) for k in range(101)), 2**1000)
    assert mcnemar(100, 900) == float(exact)
    assert mcnemar(0, 3000) == 0.0  # below what a float holds


def test_holm_by_hand() -> None:
    # In order 1: 4 x .005 = .02; 2: 3 x .01 = .03; 3: 2 x .03 = .06; 4: 1 x .04 = .04, raised to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_of_three() -> None:
    right = {
        "a": torch.tensor([True, True, True, False, True]),
        "b": torch.tensor([True, False, True, False, False]),
        "c": torch.tensor([False, False, True, True, True]),
    }
    found = {(pair.first, pair.second): pair for pair in compare_pairs(right)}
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    pair = found["a", "c"]  # example 2 and 4 both; 0 and 1 only a; 3 only c
    assert (pair.both, pair.only_first, pair.only_second, pair.neither) == (2, 2, 1, 0)
    assert pair.p == 1.0
    assert found["a", "b"].p == 0.5  # two against none: 2 x 1/4
    assert found["a", "b"].adjusted == 1.0


def test_what_cannot_be_tested() -> None:
    with pytest.raises(ConfigError, match="only_first must be a whole number of at least 0, got -1"):
        mcnemar(-1, 3)
    with pytest.raises(ShapeError, match="same examples"):
        compare_pairs({"a": torch.ones(3, dtype=torch.bool), "b": torch.ones(4, dtype=torch.bool)})
