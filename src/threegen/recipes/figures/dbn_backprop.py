"""The deep belief net as a feed-forward net, tuned by back-propagation."""

from __future__ import annotations

from threegen.recipes.belief_nets import backprop_error
from threegen.recipes.reproduce import Figure

FIGURE = Figure(
    name="dbn-backprop",
    paper="Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313 (2006)",
    published=1.2,
    unit="per cent test error",
    better="lower",
    make=backprop_error,
    note="NOTE",
)
