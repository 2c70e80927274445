"""Mozafari's net of 2019 by the rule of the published script."""

from __future__ import annotations

from threegen.figures.mozafari import PAPER, Recipe
from threegen.figures.reproduce import Figure

RECIPE = Recipe("mozafari-2019", passes=(2, 4, 680))

FIGURE = Figure(
    name="mozafari-2019",
    paper=PAPER,
    published=97.2,
    unit="per cent test accuracy",
    better="higher",
    make=RECIPE.accuracy,
    seeds=(0, 1, 2),
    differs="trains on 50,000 images; the weights of S3 are chosen on the other 10,000 training images, looked at "
    "every 10 passes (the script keeps the pass that does best on the test set)",
    note="The net and constants of the authors' SpykeTorch script, whose users report 96.4 to 96.6 per cent. The test "
    "split is read by the chosen weights. For seed 0 it had been read before by a run with 650 passes: by the chosen "
    "weights (96.26), by those of the last pass (96.29) and by a linear softmax on the same bits (97.74). Minutes are "
    "of one thread of a shared machine, idle time included.",
)
