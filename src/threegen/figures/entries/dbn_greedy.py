"""The deep belief net 784-500-500-2000 with label units, greedily trained and not tuned."""

from __future__ import annotations

from threegen.figures.paper_belief_net import greedy_error
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="dbn-greedy",
    paper="Hinton, Osindero and Teh, A fast learning algorithm for deep belief nets, Neural Computation 18 (2006)",
    published=2.49,
    unit="per cent test error",
    better="lower",
    make=greedy_error,
    differs="up to three steps of contrastive divergence at the top; the paper states no steps, rates or momentum",
    seeds=(0, 1, 2),
    note="As in the paper: 44,000 images in 440 batches with ten of each class, 30 epochs per layer, real-valued "
    "activities in the visible layer of each RBM, a softmax group of label units at the top; classified by exact free "
    "energy after an upward pass without sampling. Ours: contrastive divergence of one step in the two lower layers "
    "and of one, two and three steps, ten epochs each, at the top; momentum .5, then .9, weight cost .0002; a rate of "
    ".05 that falls to a fiftieth over the last 15 epochs of each layer. The rate at the top was chosen from .02, .05 "
    "and .1 on 10,000 training images held out, in runs of 4 to 10 epochs; the numbers of steps were not compared with "
    "others. The test split is read once per seed. Minutes are of one thread of a shared machine and include idle "
    "time; a seed takes about 7 minutes of one thread without.",
)
