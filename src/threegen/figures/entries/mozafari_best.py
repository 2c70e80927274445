"""Mozafari's net of 2019 whose last layer sees all of C2 and learns from wrong and doubtful answers."""

from __future__ import annotations

from threegen.figures.mozafari import PAPER, Recipe
from threegen.figures.reproduce import Figure
from threegen.registry.deep_reward import WHOLE_VIEW, doubtful_reward, falling_rates

RECIPE = Recipe(
    "mozafari-best",
    passes=(1, 1, 10),
    options=WHOLE_VIEW,
    reward=lambda model: doubtful_reward(model.classes),
    schedule=falling_rates(10),
    batch_sizes=(500, 500, 2000),
    all_images=True,
)

FIGURE = Figure(
    name="mozafari-best",
    paper=PAPER,
    published=97.2,
    unit="per cent test accuracy",
    better="higher",
    make=RECIPE.accuracy,
    seeds=(0, 1, 2, 3, 4),
    differs="S3's maps see all of C2 (5 x 5 places, its edge included) from one position and have weights in 0..1; S3 "
    "learns at full rates, lowered in steps, from wrong answers, which are tried again up to five times, and from "
    "right ones that lead by less than 12, whose strongest rival of another class is punished; inputs that do not fire "
    "are not weakened; 1, 1 and 10 passes, not 2, 4 and 680",
    note="Reward alone: right or wrong, no labels, no gradient. Settings were chosen on 10,000 held-out training "
    "images, which S1 and S2 had also seen. For the figure a new net was trained on all 60,000 images; the weights "
    "are those of the last pass. The test split is read by the finished net and by a linear softmax on the same bits, "
    "whose accuracy is written to runs/reproduce.",
)
