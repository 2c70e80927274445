"""A net with maximum pooling, biases and normalisation, converted as Rueckauer et al. 2017 do."""

from __future__ import annotations

from threegen.figures.pooled_and_residual import rueckauer_accuracy
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="conversion-rueckauer-2017",
    paper="Rueckauer, Lungu, Hu, Pfeiffer and Liu, Conversion of continuous-valued deep networks to efficient "
    "event-driven networks for image classification, Frontiers in Neuroscience 11:682 (2017)",
    published=99.44,
    unit="per cent test accuracy",
    better="higher",
    make=rueckauer_accuracy,
    differs="the structure of the net in the paper is not known to us: ours is 16C5-BN-MP2-32C5-BN-MP2-128-10; "
    "our own training",
    seeds=(0, 1, 2),
    note="The method of the paper: thresholds by the 99.9th percentile of each layer, biases, normalisation "
    "folded, reset by subtraction, potentials from zero, maximum pooling by the highest count, analog "
    "images, 64 steps. The net is trained on all 60,000 images, each slightly moved, sheared and scaled, "
    "as that of conversion-t4, with settings that were chosen for that one. The test split is read once a"
    " seed.",
)
