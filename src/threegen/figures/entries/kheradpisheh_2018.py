"""Kheradpisheh's net of 2018: two layers of STDP and a linear support vector machine."""

from __future__ import annotations

import time
from pathlib import Path

from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure, Made
from threegen.gen3.kheradpisheh import Kheradpisheh2018
from threegen.randomness import make_generator
from threegen.registry.stdp_features import fit_svm, kheradpisheh_stages
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.persistence.checkpoint import list_checkpoints
from threegen.training.persistence.files import remove_folder

NAME = "kheradpisheh-2018"


def accuracy(seed: int, progress: bool = False) -> Made:
    """Train on all 60,000 images and return the test accuracy in per cent; the test split is read here, once.

    A run that was killed is resumed from `runs/reproduce/kheradpisheh-2018-SEED`. Raises `MissingExtraError` without
    scikit-learn.
    """
    data = load_data("mnist")
    folder = Path("runs/reproduce") / f"{NAME}-{seed}"
    model = Kheradpisheh2018(generator=make_generator(seed, "weights", "kheradpisheh"))
    log = fit(
        model,
        kheradpisheh_stages(model, folder=folder / "spikes"),
        data.train,
        seed=seed,
        out=folder,
        resume=bool(list_checkpoints(folder / "checkpoints")),
        progress=progress,
        title=f"{NAME}, seed {seed}",
    )
    begun = time.perf_counter()
    fit_svm(model, data.train, seed=seed)
    seconds = log.seconds + time.perf_counter() - begun
    found = 100 * evaluate(model, data.test, seed=seed).accuracy
    remove_folder(folder)
    return Made(found, seconds)


FIGURE = Figure(
    name=NAME,
    paper="Kheradpisheh, Ganjtabesh, Thorpe and Masquelier, STDP-based spiking deep convolutional neural networks for "
    "object recognition, Neural Networks 99:56-67 (2018)",
    published=98.4,
    unit="per cent test accuracy",
    better="higher",
    make=accuracy,
    differs="sizes and constants of the MNIST script that the group published with SpykeTorch, not the paper's own; "
    "the solver of the SVM stops after 200 passes",
    note="32 and 150 maps, 2 and 20 passes over 60,000 images in file order; the SVM (scikit-learn's LinearSVC, "
    "C = 2.4) reads 12,150 bits per image: whether a neuron of C2 has fired. Final potentials in their place, and C = "
    ".01, gave the same on held-out images within the error of measurement (97.1 to 97.3 per cent of 5,000, trained "
    "on 10,000). The test split is read once per seed.",
)
