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
    seeds=(0,),
    note="The greedy net of the same seed as an MLP, its last layer begun with the weights of the label units; 12 "
    "epochs of Adam, dropout .2 behind each hidden layer, the rate falling in a straight line. The test split is read "
    "once, by the last weights. Minutes include the greedy part; they are of one thread of a busy machine.",
)
