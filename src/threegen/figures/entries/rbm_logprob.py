"""The log-probability of test digits under an RBM of 500 hidden units, by annealed importance sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.gen2.rbm import RBM
from threegen.machine.draws import draw_bernoulli
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.training.fit import fit
from threegen.training.stages import Stage

HIDDEN, EPOCHS, RATE, CHAINS = 500, 150, 0.05, 100
STEPS, RUNS = 14_500, 100  # of annealed importance sampling, as in the paper


def binary_digits(data: Dataset) -> Tensor:
    """Return the images as states `[N, 784]`: each pixel is 1 with its grey value as chance, drawn once, seed 0."""
    return draw_bernoulli(data.inputs.flatten(1), make_generator("binarisation", 0))


def make(seed: int, progress: bool) -> float:
    """Train on all 60,000 images; return the mean log-probability of the test images in nats."""
    data = load_data("mnist")
    rbm = train(data.train, seed, progress=progress)
    return measure(rbm, data.train, data.test, seed)


def train(data: Dataset, seed: int, *, epochs: int = EPOCHS, progress: bool = False) -> RBM:
    """Return an RBM trained on `data` by persistent contrastive divergence, with pixels redrawn each time."""
    rbm = RBM(784, HIDDEN, generator=make_generator(seed, "weights", "rbm-logprob"))
    rbm.start_visible_bias(data.inputs)
    rule = ContrastiveDivergence(chains=CHAINS, draw_data=True)
    stage = Stage("persistent contrastive divergence", rule, lr=RATE, epochs=epochs, batch_size=100, schedule="linear")
    fit(rbm, [stage], data, seed=seed, progress=progress, title="rbm-logprob")
    return rbm


@torch.no_grad()
def measure(rbm: RBM, train: Dataset, judged: Dataset, seed: int) -> float:
    """Return the mean of log p(v) over the binary digits of `judged`, in nats."""
    generator = make_generator(seed, "annealing")
    log_z = rbm.log_partition("ais", steps=STEPS, runs=RUNS, base=train.inputs, generator=generator)
    return float(rbm.log_likelihood(binary_digits(judged), log_z).mean())


FIGURE = Figure(
    name="rbm-logprob",
    paper="Salakhutdinov and Murray, On the quantitative analysis of deep belief networks, ICML 2008: CD25(500)",
    published=-86.34,
    unit="nats, mean test log-probability",
    better="higher",
    make=make,
    differs="persistent contrastive divergence with 100 chains, not CD-25",
    note="Persistent CD-1 with 100 chains, 150 epochs, rate .05 falling linearly to 0, training pixels drawn anew at "
    "each visit. Test images are made binary once: each pixel is 1 with its grey value as chance, seed 0. log Z by "
    "annealed importance sampling, 14,500 steps and 100 runs. These are usual settings, checked by short runs on "
    "10,000 training images held out; the test split is read once per seed. Minutes include the pauses of a busy "
    "machine; without them a seed takes about 9 of one thread.",
)
