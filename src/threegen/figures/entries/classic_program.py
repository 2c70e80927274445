"""The classic program: the first example of most Keras books, a 784-512-10 net on MNIST.

relu, softmax, cross-entropy; 5 epochs of all 60,000 images in batches of 128 (2,345 updates); Keras's RMSprop
(rate .001, rho .9, epsilon 1e-7) and Glorot-uniform weights.
"""

from __future__ import annotations

from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit


def train_classic_program(seed: int, progress: bool = False) -> float:
    """Train the classic program and return its test accuracy in per cent."""
    data = load_data("mnist")
    model = MLP([784, 512, 10], init="glorot-uniform", generator=make_generator(seed, "weights", "classic-program"))
    fit(
        model,
        Backprop("cross_entropy"),
        data.train,
        optimizer="keras-rmsprop",
        lr=1e-3,
        epochs=5,
        batch_size=128,
        seed=seed,
        progress=progress,
        title=f"classic-program, seed {seed}",
    )
    return 100 * evaluate(model, data.test).accuracy


FIGURE = Figure(
    name="classic-program",
    paper="Chollet, Deep Learning with Python (2017, 2021), section 2.1",
    published=97.8,
    unit="per cent test accuracy",
    better="higher",
    make=train_classic_program,
    differs="nothing",
    seeds=(0, 1, 2, 3, 4),
    note="Settings are the book's; nothing was chosen. The test split is read once per seed, by the last weights.",
)
