"""A convolutional net with maximum pooling converted to spikes: 8 time steps."""

from __future__ import annotations

from threegen.figures.pooled_and_residual import max_pool_accuracy
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="conversion-max-pool",
    paper="the net 16C5-BN-MP2-32C5-BN-MP2-128-10; nobody has published this figure",
    published=None,
    unit="per cent test accuracy",
    better="higher",
    make=max_pool_accuracy,
    differs="nothing is published to differ from",
    seeds=(0, 1, 2),
    note="Default method, analog input, read out by the summed input of the last layer. The first maximum is "
    "taken before the neurons, the second by the gate of highest counts. The net is trained on all 60,000"
    " images, each slightly moved, sheared and scaled, as that of conversion-t4, with settings that were "
    "chosen for that one. The test split is read once per seed.",
)
