"""Mozafari's net of 2019 in 20 passes instead of hundreds: wrong answers are tried again."""

from __future__ import annotations

from threegen.figures.mozafari import PAPER, Recipe
from threegen.figures.reproduce import Figure
from threegen.gen3.mozafari import Mozafari2019
from threegen.rules.reward_stdp import RewardSTDP
from threegen.training.schedules import EpochSteps


def try_again(model: Mozafari2019) -> RewardSTDP:
    """Return the reward rule of the published script, which shows an image again after a wrong answer."""
    return RewardSTDP(model.classes, first_shares=(1.0, 1.0), tries=5)


RECIPE = Recipe(
    "mozafari-tries",
    passes=(1, 1, 20),
    reward=try_again,
    schedule=EpochSteps("rate", {0: 1.0, 8: 0.5, 12: 0.25, 16: 0.1}),
    mean_from=12,
    batch_sizes=(500, 500, 2000),
    look_every=5,
)

FIGURE = Figure(
    name="mozafari-tries",
    paper=PAPER,
    published=97.2,
    unit="per cent test accuracy",
    better="higher",
    make=RECIPE.accuracy,
    seeds=(0,),
    differs="after a wrong answer S3 sees the image again, up to five times, and a right answer then has the full "
    "reward; 1, 1 and 20 passes, not 2, 4 and 680, with rates lowered in steps; trains on 50,000 images, and the "
    "weights of S3 (or their mean from pass 12 on) are chosen on the other 10,000 training images",
    note="The net of mozafari-2019. Settings were chosen on held-out training images with 20,000 others to learn from: "
    "94.9 per cent after 12 passes. There, noise on the potentials while S3 learns changed nothing (94.8), and "
    "distorted images were learnt too slowly (88 after 5 passes). A linear softmax read 96.5 out of the same bits. The "
    "test split is read once. Made under the name mozafari-best, which was given up since mozafari-2019 is better.",
)
