"""A convolutional net trained for one time step and converted: every neuron spikes once or not at all."""

from __future__ import annotations

from threegen.figures.one_step import one_step_accuracy
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="conversion-one-step",
    paper="the net 16C5-BN-AP2-32C5-BN-AP2-128-10, rectifiers of one step after Bu et al., ICLR 2022; nobody has "
    "published this figure",
    published=None,
    unit="per cent test accuracy",
    better="higher",
    make=one_step_accuracy,
    differs="nothing is published to differ from; trained for one step, by the answers of the network it starts from",
    note="The network of conversion-t1, trained for 12 further epochs with rectifiers of one level, on its own earlier "
    "scores (temperature 2, weight 4) and the labels, with a small penalty for spikes; a spike is 0 or 1, one "
    "step. "
    "Penalty and epochs were chosen on a holdout; the test split is read once per seed.",
)
