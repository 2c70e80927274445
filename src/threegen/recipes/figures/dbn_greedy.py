"""The deep belief net 784-500-500-2000 with label units, greedily trained and not tuned."""

from __future__ import annotations

from threegen.recipes.belief_nets import greedy_error
from threegen.recipes.reproduce import Figure

FIGURE = Figure(
    name="dbn-greedy",
    paper="Hinton, Osindero and Teh, A fast learning algorithm for deep belief nets, Neural Computation 18 (2006)",
    published=2.49,
    unit="per cent test error",
    better="lower",
    make=greedy_error,
    seeds=(0, 1),
    note="Contrastive divergence of one step, 10, 10 and 25 epochs; classified by exact free energy after a way up "
    "without drawing. Settings are from short trials on 10,000 training images held out. The test split is read once a "
    "seed. Minutes are of one thread of a busy machine: about 6.5 minutes of processor time a seed.",
)
