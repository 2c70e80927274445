"""Diehl and Cook's network with 400 neurons: the network as published, its deviations named."""

from __future__ import annotations

from threegen.recipes.diehl_cook import PAPER, Recipe
from threegen.recipes.reproduce import Figure

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

FIGURE = Figure(
    name="diehl-cook-paper-400",
    paper=PAPER,
    published=87.0,
    unit="per cent test accuracy",
    better="higher",
    make=RECIPE.accuracy,
    seeds=(0,),
    note="The paper's net: inhibitory layer, delays (shared by 16 neurons each), 350 + 150 ms at 0.5 ms, the retry, "
    "its triplet rule at constant rates and its vote. Deviations besides: a third of a pass (20,000 images) in "
    "a shuffled order, 10,000 training images label the neurons. Chosen on 10,000 training images held out. "
    "The test split is read once a seed.",
)
