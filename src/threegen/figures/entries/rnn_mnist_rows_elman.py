"""The rows of MNIST as a sequence of 28 steps, read by an Elman net."""

from __future__ import annotations

from threegen.figures.entries.rnn_mnist_rows import read_rows
from threegen.figures.reproduce import Figure


def train_elman(seed: int, progress: bool = False) -> float:
    """Return the Elman net's test accuracy in per cent."""
    return read_rows("rnn-rows", seed, progress)


FIGURE = Figure(
    name="rnn-mnist-rows-elman",
    paper="Elman, Finding structure in time, Cognitive Science 14 (1990), for the net; the rows of MNIST are an "
    "exercise of many courses, with this figure as its goal",
    published=97.0,
    unit="per cent test accuracy",
    better="higher",
    make=train_elman,
    seeds=(0, 1, 2, 3, 4),
    differs="no paper gives these settings: the figure is the goal of an exercise",
    note="128 units, 28 steps of 28 pixels. Rate and epochs were chosen on 10,000 training images held out. The test "
    "split is read once per seed, by the last weights.",
)
