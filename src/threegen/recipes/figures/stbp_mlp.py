"""STBP on the fully connected net 784-800-10 of Wu et al. 2018, on MNIST with Bernoulli spikes."""

from __future__ import annotations

from functools import partial

from threegen.recipes.reproduce import Figure, full_plan_accuracy

FIGURE = Figure(
    name="stbp-mlp",
    paper="Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018)",
    published=98.89,
    unit="per cent test accuracy",
    better="higher",
    make=partial(full_plan_accuracy, "spiking-mlp"),
    note="T = 8 steps, 20 epochs, Bernoulli spikes, squared error of the rates: the full plan of spiking-mlp, chosen "
    "on a holdout of the training images. The test split is read once a seed, by the last weights.",
)
