"""STBP on the convolutional net 15C5-P2-40C5-P2-300-10 of Wu et al. 2018, on MNIST with Bernoulli spikes."""

from __future__ import annotations

from functools import partial

from threegen.recipes.reproduce import Figure, full_plan_accuracy

FIGURE = Figure(
    name="stbp-conv",
    paper="Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018)",
    published=99.42,
    unit="per cent test accuracy",
    better="higher",
    make=partial(full_plan_accuracy, "spiking-conv"),
    note="T = 8 steps, 15 epochs, Bernoulli spikes, cross-entropy of the summed potentials: the full plan of "
    "spiking-conv. Loss, read-out and rate were compared on a holdout in a short trial; the test is read once a seed.",
)
