"""The directly trained spiking net on events, one of the workflows of the study `ann-against-snn`."""

from __future__ import annotations

from threegen.figures.reproduce import Figure
from threegen.figures.workflows import snn_accuracy

FIGURE = Figure(
    name="ann-against-snn-n-mnist",
    paper="Deng et al., Rethinking the performance comparison between SNNs and ANNs, Neural Networks 121:294 (2020), "
    "whose table is not known to us",
    published=None,
    unit="per cent accuracy on real recordings",
    better="higher",
    make=lambda seed, progress: snn_accuracy("n-mnist", seed, progress),
    seeds=(0, 1, 2, 3, 4),
    differs="34x34x2-800-10 trained on 10,000 simulated recordings; the paper's structures and figures are not known",
    note="10 binary frames of 30 ms, 5 epochs of Adam, squared error of the rates; tested on the 1,000 real "
    "recordings, whose digits are not among those of training. Settings were fixed before the first test on real "
    "recordings. The whole table: threegen study ann-against-snn --data n-mnist.",
)
