"""The convolutional net of Diehl et al. 2015, converted as in their paper."""

from __future__ import annotations

from threegen.figures.pooled_and_residual import diehl_accuracy
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="conversion-diehl-2015",
    paper="Diehl, Neil, Binas, Cook, Liu and Pfeiffer, Fast-classifying, high-accuracy spiking deep networks "
    "through weight and threshold balancing, IJCNN 2015",
    published=99.1,
    unit="per cent test accuracy",
    better="higher",
    make=diehl_accuracy,
    differs="our own training (Adam, 20 epochs, one cycle); 100 steps; the paper is known to us from secondary sources",
    seeds=(0, 1, 2),
    note="12C5-AP2-64C5-AP2-10, relu, no biases, dropout of a half before the last layer; images as Bernoulli "
    "spikes, one threshold per layer by the largest activation on 423 training images (data-based "
    "normalisation; memory would not hold the signals of more images over 100 steps), potentials from zero, "
    "reset to zero, read out by the number of spikes, ties by the summed input. The test split is read once per seed.",
)
