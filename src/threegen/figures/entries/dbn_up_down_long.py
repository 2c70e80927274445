"""The deep belief net, its up-down run continued."""

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
    seeds=(0, 1, 2),
    note="The net of dbn-up-down with the same seed, continued from its checkpoint for 20 more epochs of the same "
    "algorithm, at a rate that again falls linearly from .3; 50 epochs in all, the paper has 359. Nothing was chosen "
    "for it. The test split is read once by the last weights. Minutes include all earlier stages; times are of one "
    "thread on a shared machine and include idle time.",
)
