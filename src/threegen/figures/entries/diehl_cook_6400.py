"""Diehl and Cook's network with 6,400 neurons: our best variant."""

from __future__ import annotations

from threegen.figures.spike_timing import Recipe

RECIPE = Recipe(
    neurons=6400,
    variant="faster",
    readout="likelihood",
    kind="pair",
    epochs=1,
    last_rate=0.1,
    labelled=20_000,
    options={"theta_plus": 0.2, "eta_post": 0.1, "eta_pre": 0.001},
)

FIGURE = RECIPE.figure(
    "diehl-cook-6400",
    95.0,
    chosen="Rates and theta's step were chosen on 10,000 training images held out, at 1,600 neurons and 15,000 images; "
    "nothing was chosen at 6,400",
    read="The test split is read once for these settings; an earlier reading, with other ones, gave 78.77 %.",
    seeds=(0, 1, 2, 3, 4),
)
