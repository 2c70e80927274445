"""Diehl and Cook's network with 100 neurons: the network as published, its deviations named."""

from __future__ import annotations

from threegen.figures.diehl_cook import Recipe

RECIPE = Recipe(
    neurons=100,
    variant="grouped",
    readout="vote",
    kind="triplet",
    epochs=1,
    last_rate=1.0,
    labelled=60_000,
    images=40_000,
    options={"theta_plus": 0.02, "norm": 0.064},
)

FIGURE = RECIPE.figure(
    "diehl-cook-paper-100",
    82.9,
    chosen="Theta's step, the sum of the weights and the length were chosen on 10,000 training images held out",
)
