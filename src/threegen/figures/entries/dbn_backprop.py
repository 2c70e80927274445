"""The deep belief net as a feed-forward net, tuned by back-propagation."""

from __future__ import annotations

from threegen.figures.belief_nets import backprop_error
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="dbn-backprop",
    paper="Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313 (2006)",
    published=1.2,
    unit="per cent test error",
    better="lower",
    make=backprop_error,
    differs="starts from our greedily trained net; Adam with dropout instead of conjugate gradients without",
    note="The greedy net of the same seed as an MLP, its last layer begun with the weights of the label units; 20 "
    "epochs of Adam in batches of 100, the rate falling from .001 in a straight line, dropout .3 behind each hidden "
    "layer. The paper has conjugate gradients on batches of 1,000 and no dropout. Of two settings of dropout this "
    "was the better one on 10,000 training images held out (1.41 % after 15 epochs; .4, and .2 of the image: 1.50 % "
    "after 25); the number of epochs is limited by time. The test split is read once per seed, by the last "
    "weights. Minutes include the greedy part and the pauses of a busy machine; without pauses a seed takes about 10 "
    "of one thread.",
)
