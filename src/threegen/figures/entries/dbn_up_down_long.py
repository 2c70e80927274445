"""The deep belief net, its run of the up-down algorithm gone on with."""

from __future__ import annotations

from threegen.figures.belief_nets import long_error
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="dbn-up-down-long",
    paper="Hinton, Osindero and Teh, A fast learning algorithm for deep belief nets, Neural Computation 18 (2006)",
    published=1.25,
    unit="per cent test error",
    better="lower",
    make=long_error,
    differs="as dbn-up-down, continued to 50 epochs, not 359",
    seeds=(0,),
    note="The net of dbn-up-down with seed 0, gone on with from its checkpoint for 20 more epochs of the same, at a "
    "rate of .3 that falls in a straight line anew; 50 epochs in all, where the paper has 359. Nothing was chosen "
    "for it. The test split is read once by the last weights. Minutes include all that came before; they are of one "
    "thread, the pauses of a busy machine included.",
)
