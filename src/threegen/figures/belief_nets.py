"""The deep belief net of Hinton, Osindero and Teh 2006 on MNIST, and three ways to fine-tune it.

    greedy-SEED      784-500-500-2000 and ten label units, layer by layer, in fewer epochs than in the paper
    up-down-SEED     the same net, fine-tuned by the up-down algorithm
    long-SEED        that one, continued at a rate that rises again
    backprop-SEED    its `to_mlp()`, fine-tuned by back-propagation

Each is a folder under `runs/belief-nets` with checkpoints: an interrupted run continues. The figures of one seed share
the greedy net, whose time counts for each of them. `paper_belief_net.py` trains the net as the paper does.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.figures.reproduce import Made
from threegen.gen2.dbn import DBN
from threegen.randomness import make_generator
from threegen.registry.pretraining import pretraining, up_down
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer
from threegen.training.stages import Stage

FOLDER = Path("runs") / "belief-nets"
SIZES = (784, 500, 500, 2000)
GREEDY_EPOCHS = (10, 10, 30)
UP_DOWN_EPOCHS, UP_DOWN_RATE, UP_DOWN_STEPS = 30, 0.5, (3,)
LONG_EPOCHS, LONG_RATE = 20, 0.3
DISCRIMINATIVE = 5.0  # the extra weight of the label beyond that of one unit among 510
BACKPROP_EPOCHS, DROPOUT = 20, 0.3


def greedy_net(
    seed: int, train: Dataset, *, folder: Path = FOLDER, validation: Dataset | None = None, progress: bool = False
) -> tuple[DBN, float]:
    """Return the greedily trained net and its seconds of training; continue an interrupted run."""
    dbn = DBN(SIZES, classes=10, generator=make_generator(seed, "weights", "dbn"))
    stages = pretraining(dbn, epochs=GREEDY_EPOCHS)
    return dbn, trained_in(dbn, stages, train, folder / f"greedy-{seed}", seed, validation, progress)


def up_down_net(
    seed: int, train: Dataset, *, folder: Path = FOLDER, validation: Dataset | None = None, progress: bool = False
) -> tuple[DBN, float]:
    """Return the greedy net of the same seed after the up-down algorithm, and all seconds of training."""
    dbn, seconds = greedy_net(seed, train, folder=folder, validation=validation, progress=progress)
    stages = up_down(dbn, epochs=UP_DOWN_EPOCHS, rate=UP_DOWN_RATE, steps=UP_DOWN_STEPS, discriminative=DISCRIMINATIVE)
    return dbn, seconds + trained_in(dbn, stages, train, folder / f"up-down-{seed}", seed, validation, progress)


def long_net(
    seed: int, train: Dataset, *, folder: Path = FOLDER, validation: Dataset | None = None, progress: bool = False
) -> tuple[DBN, float]:
    """Return the net of `up_down_net` after a continuation at a rate that rises again, and all seconds."""
    dbn, seconds = up_down_net(seed, train, folder=folder, validation=validation, progress=progress)
    stages = up_down(dbn, epochs=LONG_EPOCHS, rate=LONG_RATE, steps=UP_DOWN_STEPS, discriminative=DISCRIMINATIVE)
    return dbn, seconds + trained_in(dbn, stages, train, folder / f"long-{seed}", seed, validation, progress)


def tuned_net(
    seed: int, train: Dataset, *, folder: Path = FOLDER, validation: Dataset | None = None, progress: bool = False
) -> tuple[nn.Sequential, float]:
    """Return the greedy net of the same seed as an MLP after back-propagation, and all seconds of training."""
    dbn, seconds = greedy_net(seed, train, folder=folder, validation=validation, progress=progress)
    net = dbn.to_mlp(dropout=DROPOUT)
    stage = Stage(
        "back-propagation",
        Backprop(),
        optimizer=optimizer("adam", lr=1e-3),
        epochs=BACKPROP_EPOCHS,
        batch_size=100,
        schedule="linear",
    )
    return net, seconds + trained_in(net, [stage], train, folder / f"backprop-{seed}", seed, validation, progress)


def up_down_error(seed: int, progress: bool) -> Made:
    """Return the test error in per cent after the up-down algorithm."""
    data = load_data("mnist")
    dbn, seconds = up_down_net(seed, data.train, progress=progress)
    return Made(error_on(dbn, data.test), seconds)


def long_error(seed: int, progress: bool) -> Made:
    """Return the test error in per cent after the long run of the up-down algorithm."""
    data = load_data("mnist")
    dbn, seconds = long_net(seed, data.train, progress=progress)
    return Made(error_on(dbn, data.test), seconds)


def backprop_error(seed: int, progress: bool) -> Made:
    """Return the test error in per cent after back-propagation."""
    data = load_data("mnist")
    net, seconds = tuned_net(seed, data.train, progress=progress)
    return Made(error_on(net, data.test), seconds)


def error_on(model: nn.Module, test: Dataset) -> float:
    """Return the test error in per cent."""
    return 100 * (1 - evaluate(model, test).accuracy)


def trained_in(
    model: nn.Module,
    stages: list[Stage],
    train: Dataset,
    folder: Path,
    seed: int,
    validation: Dataset | None,
    progress: bool,
) -> float:
    """Train in `folder`, or continue what is there; return the seconds of training."""
    log = fit(
        model,
        stages,
        train,
        seed=seed,
        validation=validation,
        out=folder,
        resume=folder.is_dir(),
        progress=progress,
        title=folder.name,
    )
    return log.seconds
