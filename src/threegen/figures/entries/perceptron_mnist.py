"""Rosenblatt's perceptron on MNIST, one unit a class, beside the linear classifier of LeCun et al. 1998."""

from __future__ import annotations

from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate


def train_perceptron(seed: int, progress: bool = False) -> float:
    """Train the registry's perceptron by its full plan on all 60,000 images; return the test error in per cent."""
    data = load_data("mnist")
    run = train_run("perceptron", data, mode="full", seed=seed, progress=progress)
    return 100 - 100 * evaluate(run.model, data.test, seed=seed).accuracy


FIGURE = Figure(
    name="perceptron-mnist",
    paper="a linear classifier, LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998); the rule is "
    "Rosenblatt's (1958)",
    published=12.0,
    unit="per cent test error",
    better="lower",
    make=train_perceptron,
    differs="the perceptron rule with averaged weights (Freund and Schapire 1999); the paper does not name its rule",
    seeds=(0, 1, 2, 3, 4),
    note="10 passes, one example at a time; the answer is that of the mean of the weights after every example. "
    "The test split is read once a seed, by the last weights.",
)
