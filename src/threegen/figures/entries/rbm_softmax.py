"""Softmax on the hidden units of an RBM that never saw a label."""

from __future__ import annotations

from functools import partial

from threegen.figures.reproduce import Figure, full_plan_error

FIGURE = Figure(
    name="rbm-softmax",
    paper="Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 14 (2002), "
    "for the rule; no paper gives a figure for this net",
    published=None,
    unit="per cent test error",
    better="lower",
    make=partial(full_plan_error, "rbm-softmax"),
    seeds=(0, 1, 2, 3, 4),
    differs="nothing is published to differ from; a linear softmax on the pixels has about 7.5",
    note="500 hidden units, 20 epochs of CD-1 on the images alone, then 20 of the softmax layer on the hidden "
    "probabilities. The test split is read once per seed, by the last weights.",
)
