"""Diehl and Cook's network with 100 neurons: the network as published, theta's step scaled to the number of neurons."""

from __future__ import annotations

from threegen.figures.spike_timing import Recipe
from threegen.registry.spike_timing import suited_theta_plus

RECIPE = Recipe(
    neurons=100,
    variant="grouped",
    readout="vote",
    kind="triplet",
    epochs=1,
    last_rate=1.0,
    labelled=10_000,
    images=40_000,
    options={"theta_plus": suited_theta_plus(100)},
)

FIGURE = RECIPE.figure(
    "diehl-cook-paper-100",
    82.9,
    differs="theta's step is .05 mV x N / 400, for N neurons; groups of 16 neurons share a delay; 40,000 images",
    chosen="The published constants are those of the authors' script for 400 neurons; with all of them 100 neurons "
    "reach about 64 per cent on 10,000 training images held out, with theta's step alone scaled 83.5. The length was "
    "chosen there too",
    read="The test split is read once per seed; a form with a smaller sum of the weights had been tested before: 84.35",
    seeds=(0, 1, 2, 3, 4),
)
