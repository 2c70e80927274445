"""A small residual net converted to spikes: 8 time steps."""

from __future__ import annotations

from threegen.figures.pooled_and_residual import residual_accuracy
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="conversion-residual",
    paper="a net of two residual blocks, 1.7 million multiply-accumulates; nobody has published this figure",
    published=None,
    unit="per cent test accuracy",
    better="higher",
    make=residual_accuracy,
    differs="nothing is published to differ from",
    seeds=(0, 1, 2),
    note="Default method, analog input, read out by the summed input of the last layer; shortcuts have scales "
    "of their own. The net is trained on all 60,000 images, each slightly moved, sheared and scaled, as "
    "that of conversion-t4, with settings that were chosen for that one. The test split is read once a "
    "seed.",
)
