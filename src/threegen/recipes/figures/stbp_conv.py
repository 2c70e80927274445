"""STBP on the convolutional net 15C5-P2-40C5-P2-300-10 of Wu et al. 2018, on MNIST with Bernoulli spikes."""

from __future__ import annotations

from threegen.datasets.load import load_data
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.randomness import make_generator
from threegen.recipes.reproduce import Figure
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers import optimizer

STEPS = 20


def train_stbp_conv(seed: int, progress: bool = False) -> float:
    """Train the net on all 60,000 images and return its test accuracy in per cent."""
    data = load_data("mnist")
    weights = make_generator(seed, "weights", "stbp-conv")
    model = SpikingConvNet("15C5-P2-40C5-P2-300-10", steps=STEPS, generator=weights)
    fit(
        model,
        Backprop("mse"),
        data.train,
        optimizer=optimizer("adam", lr=2e-3),
        schedule="cosine",
        epochs=20,
        batch_size=64,
        seed=seed,
        progress=progress,
        title=f"stbp-conv, seed {seed}",
    )
    return 100 * evaluate(model, data.test, seed=seed).accuracy


FIGURE = Figure(
    name="stbp-conv",
    paper="Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018)",
    published=99.42,
    unit="per cent test accuracy",
    better="higher",
    make=train_stbp_conv,
    note=f"15C5-P2-40C5-P2-300-10, T = {STEPS} steps, 20 epochs, Bernoulli spikes, squared error of the rates. "
    "Settings are chosen on a holdout of the training images; the test split is read once a seed, by the last weights.",
)
