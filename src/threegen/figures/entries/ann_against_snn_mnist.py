"""The directly trained spiking net on images, one of the workflows of the study `ann-against-snn`."""

from __future__ import annotations

from threegen.figures.reproduce import Figure
from threegen.figures.workflows import snn_accuracy

FIGURE = Figure(
    name="ann-against-snn-mnist",
    paper="Deng et al., Rethinking the performance comparison between SNNs and ANNs, Neural Networks 121:294 (2020), "
    "whose table is not known to us",
    published=None,
    unit="per cent accuracy",
    better="higher",
    make=lambda seed, progress: snn_accuracy("mnist", seed, progress),
    differs="784-800-10 on the first 20,000 training images; the paper's structures and figures are not known to us",
    seeds=(0, 1, 2, 3, 4),
    note="The SNN with Bernoulli input, T = 10, 5 epochs of Adam, squared error of the rates. The rate of the ANN was "
    "chosen on 10,000 training images held out. The whole table: threegen study ann-against-snn.",
)
