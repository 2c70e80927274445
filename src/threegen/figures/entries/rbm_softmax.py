"""Softmax on the hidden units of an RBM that never saw a label."""

from __future__ import annotations

from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate


def train_rbm_softmax(seed: int, progress: bool = False) -> float:
    """Train the registry's rbm-softmax by its full plan on all 60,000 images; return the test error in per cent."""
    data = load_data("mnist")
    run = train_run("rbm-softmax", data, mode="full", seed=seed, progress=progress)
    return 100 - 100 * evaluate(run.model, data.test, seed=seed).accuracy


FIGURE = Figure(
    name="rbm-softmax",
    paper="Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 14 (2002), "
    "for the rule; no paper gives a figure for this net",
    published=None,
    unit="per cent test error",
    better="lower",
    make=train_rbm_softmax,
    differs="nothing is published to differ from; a linear softmax on the pixels has about 7.5",
    note="500 hidden units, 20 epochs of CD-1 on the images alone, then 20 of the softmax layer on the hidden "
    "probabilities. The test split is read once a seed, by the last weights.",
)
