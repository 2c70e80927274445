"""The deep belief net, its greedy start tuned by the up-down algorithm."""

from __future__ import annotations

from threegen.recipes.belief_nets import up_down_error
from threegen.recipes.reproduce import Figure

FIGURE = Figure(
    name="dbn-up-down",
    paper="Hinton, Osindero and Teh, A fast learning algorithm for deep belief nets, Neural Computation 18 (2006)",
    published=1.25,
    unit="per cent test error",
    better="lower",
    make=up_down_error,
    seeds=(0,),
    note="The greedy net of the same seed and 36 epochs of the up-down algorithm with three Gibbs steps, states "
    "counted from their running means and at a rate of 1.0 that falls in a straight line; the paper has 300 epochs, up "
    "to ten steps and no means. Centring, rate and steps were chosen on 10,000 training images held out, in runs of 4 "
    "and 5 epochs; the number of epochs is what the time allows. The test split is read once a seed, by the last "
    "weights. Minutes include the greedy part; they are of one thread of a busy machine.",
)
