"""The deep belief net of Hinton, Osindero and Teh 2006 trained as the paper trains it, on MNIST.

    layers-SEED      784-500-500, the two lower layers, one by one
    memory-SEED      the 2,000 units above them with ten label units
    paper-SEED-K     all of it by the up-down algorithm with K steps of Gibbs sampling, for K of 3, 6 and 10
    paper-SEED-all   the last epochs, on all 60,000 training images

44,000 training images make 440 batches with ten images of each class, the same in every epoch; 10,000 others are held
out. Each part is a folder under `runs/belief-nets` with checkpoints: an interrupted run continues.

Hinton, Osindero and Teh, "A fast learning algorithm for deep belief nets", Neural Computation 18 (2006) 1527-1554,
section 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from threegen.datasets.dataset import Dataset, Split
from threegen.datasets.load import load_data
from threegen.errors import DataError
from threegen.figures.belief_nets import error_on, trained_in
from threegen.figures.reproduce import Made
from threegen.gen2.dbn import DBN
from threegen.randomness import make_generator
from threegen.registry.pretraining import GreedySchedule, pretraining
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import Rule
from threegen.rules.wake_sleep import WakeSleep
from threegen.training.optimizers.build import optimizer
from threegen.training.schedules import Progress, RateSchedule, Schedule
from threegen.training.stages import Stage

FOLDER = Path("runs") / "belief-nets"
SIZES = (784, 500, 500, 2000)
HELD_OUT, CASES, BATCH = 10_000, 44_000, 100
EPOCHS = 30  # per layer
TOP_RATE, TOP_STEPS = 0.05, (1, 2, 3)  # steps of contrastive divergence, ten epochs each
RATES = {3: 0.02, 6: 0.015, 10: 0.01}  # of the up-down algorithm, by its steps of Gibbs sampling
UP_DOWN_EPOCHS = {3: 100, 6: 100, 10: 50}  # 100 each in the paper
LAST_EPOCHS = 59  # on all 60,000 images
MOMENTUM, WEIGHT_COST = 0.9, 0.0002


@dataclass(frozen=True)
class GrowingSteps:
    """A schedule `other`, and `steps` of contrastive divergence, each for the same share of the stage."""

    other: Schedule
    steps: tuple[int, ...]

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set the values for the coming batch."""
        self.other(progress, optimizer, rule)
        if isinstance(rule, ContrastiveDivergence):
            rule.steps = self.steps[min(len(self.steps) - 1, int(progress.fraction * len(self.steps)))]


def balanced(data: Dataset, cases: int, seed: int) -> Dataset:
    """Return `cases` images of `data` in an order in which every ten neighbours have ten different classes."""
    if data.targets is None:
        raise DataError(f"{data.name} has no labels, which balanced batches need")
    classes, columns = len(data.classes), []
    generator = make_generator(seed, "balanced")
    for number in range(classes):
        found = (data.targets == number).nonzero().squeeze(1)
        columns.append(found[torch.randperm(len(found), generator=generator)[: cases // classes]])
    return data.subset(torch.stack(columns, 1).flatten(), name=f"{data.name}-balanced")


def paper_split(train: Dataset, seed: int) -> Split:
    """Return the 44,000 images of the paper's batches, in their order, and 10,000 that are held out."""
    split = train.holdout(HELD_OUT)
    return Split(train=balanced(split.train, CASES, seed), validation=split.validation)


def lower_layers(seed: int, train: Dataset, *, folder: Path = FOLDER, progress: bool = False) -> tuple[DBN, float]:
    """Return the net whose two lower layers are trained, and the seconds that took."""
    dbn = DBN(SIZES, classes=10, generator=make_generator(seed, "weights", "dbn"))
    stages = [replace(stage, shuffle=False) for stage in pretraining(dbn, epochs=EPOCHS, batch_size=BATCH)[:-1]]
    return dbn, trained_in(dbn, stages, train, folder / f"layers-{seed}", seed, None, progress)


def greedy_net(seed: int, split: Split, *, folder: Path = FOLDER, progress: bool = False) -> tuple[DBN, float]:
    """Return the greedily trained net and its seconds of training."""
    dbn, seconds = lower_layers(seed, split.train, folder=folder, progress=progress)
    stage = pretraining(dbn, epochs=EPOCHS, lr=TOP_RATE, batch_size=BATCH)[-1]
    stages = [replace(stage, shuffle=False, schedule=GrowingSteps(GreedySchedule(TOP_RATE), TOP_STEPS))]
    return dbn, seconds + trained_in(dbn, stages, split.train, folder / f"memory-{seed}", seed, None, progress)


def up_down_net(seed: int, train: Dataset, *, folder: Path = FOLDER, progress: bool = False) -> tuple[DBN, float]:
    """Return the net after the up-down algorithm, and all seconds of training.

    After each epoch on the 44,000 images the error on the held-out ones is written to the logs of the folders.
    """
    split = paper_split(train, seed)
    dbn, seconds = greedy_net(seed, split, folder=folder, progress=progress)
    for steps, epochs in UP_DOWN_EPOCHS.items():
        stage = replace(_up_down(steps, epochs), shuffle=False)
        place = folder / f"paper-{seed}-{steps}"
        seconds += trained_in(dbn, [stage], split.train, place, seed, split.validation, progress)
    if LAST_EPOCHS:
        last = _up_down(max(UP_DOWN_EPOCHS), LAST_EPOCHS, final=0.02)
        seconds += trained_in(dbn, [last], train, folder / f"paper-{seed}-all", seed, None, progress)
    return dbn, seconds


def _up_down(steps: int, epochs: int, final: float = 1.0) -> Stage:
    """Return a stage of the up-down algorithm at one rate, or at one that falls linearly to `final` times that."""
    return Stage(
        name=f"up-down, {steps} steps",
        rule=WakeSleep(steps, weight_cost=WEIGHT_COST, precision="bf16"),
        optimizer=optimizer("momentum", lr=RATES[steps], momentum=MOMENTUM),
        epochs=epochs,
        batch_size=BATCH,
        schedule=None if final == 1.0 else RateSchedule("linear", final=final),
    )


def greedy_error(seed: int, progress: bool) -> Made:
    """Return the test error in per cent of the greedy net."""
    data = load_data("mnist")
    dbn, seconds = greedy_net(seed, paper_split(data.train, seed), progress=progress)
    return Made(error_on(dbn, data.test), seconds)


def up_down_error(seed: int, progress: bool) -> Made:
    """Return the test error in per cent after the up-down algorithm."""
    data = load_data("mnist")
    dbn, seconds = up_down_net(seed, data.train, progress=progress)
    return Made(error_on(dbn, data.test), seconds)
