"""Diehl and Cook's network with 400 neurons: our best variant."""

from __future__ import annotations

from threegen.figures.spike_timing import Recipe

RECIPE = Recipe(
    neurons=400,
    variant="faster",
    readout="likelihood",
    kind="pair",
    epochs=1,
    last_rate=0.1,
    labelled=10_000,
)

FIGURE = RECIPE.figure("diehl-cook-400", 87.0, chosen="Chosen on 10,000 training images held out, at 400 neurons")
