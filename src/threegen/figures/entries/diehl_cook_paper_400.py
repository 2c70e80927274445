"""Diehl and Cook's network with 400 neurons: the network as published, with the deviations that `differs` names."""

from __future__ import annotations

from threegen.figures.spike_timing import Recipe

RECIPE = Recipe(
    neurons=400,
    variant="grouped",
    readout="vote",
    kind="triplet",
    epochs=1,
    last_rate=1.0,
    labelled=10_000,
    images=20_000,
)

FIGURE = RECIPE.figure(
    "diehl-cook-paper-400",
    87.0,
    differs="groups of 16 neurons share a delay; 20,000 images, fewer than the paper's passes",
    chosen="The length was chosen on 10,000 training images held out; the paper makes more passes",
    seeds=(0, 1, 2, 3, 4),
)
