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
    note="NOTE",
)
