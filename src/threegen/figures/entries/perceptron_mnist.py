"""Rosenblatt's perceptron on MNIST, one unit per class, compared with the linear classifier of LeCun et al. 1998."""

from __future__ import annotations

from functools import partial

from threegen.figures.reproduce import Figure, full_plan_error

FIGURE = Figure(
    name="perceptron-mnist",
    paper="a linear classifier, LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998); the rule is "
    "Rosenblatt's (1958)",
    published=12.0,
    unit="per cent test error",
    better="lower",
    make=partial(full_plan_error, "perceptron"),
    differs="the perceptron rule with averaged weights (Freund and Schapire 1999); the paper does not name its rule",
    seeds=(0, 1, 2, 3, 4),
    note="10 passes, one example at a time; the answer is that of the mean of the weights after every example. "
    "The test split is read once per seed, by the last weights.",
)
