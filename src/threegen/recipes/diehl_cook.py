"""Diehl and Cook's network as a classifier: the stages of its training, and its published figures made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import make_generator
from threegen.recipes.reproduce import Figure
from threegen.rules.diehl_cook import AssignLabels, DiehlCookSTDP
from threegen.rules.rule import Rule
from threegen.training.checkpoint import list_checkpoints
from threegen.training.evaluate import evaluate
from threegen.training.files import remove_folder
from threegen.training.fit import fit
from threegen.training.schedules import RuleValue
from threegen.training.stages import Stage

PAPER = (
    "Diehl and Cook, Unsupervised learning of digit recognition using spike-timing-dependent plasticity, Frontiers in "
    "Computational Neuroscience 9:99 (2015)"
)
BATCH = 100
LABELLED = 10_000
CHECKPOINT_EVERY = 50  # batches


def stdp_stages(
    model: DiehlCook,
    rule: Rule,
    *,
    epochs: int = 1,
    last_rate: float = 0.1,
    batch_size: int = BATCH,
    labelled: int = LABELLED,
    images: int | None = None,
) -> list[Stage]:
    """Return the stages that make a classifier of `model`: learning by `rule`, then labels by training examples.

    The rule's rate falls evenly from 1 to `last_rate`. The first `images` of the training data are learnt from, all by
    default; the first `labelled` decide about the neurons' classes, and no other labels are used.
    """
    learning = Stage(
        "learn by spike timing",
        rule,
        transform=None if images is None else partial(_first, count=images),
        epochs=epochs,
        batch_size=batch_size,
        schedule=RuleValue("rate", 1.0, last_rate),
        validate=False,
    )
    labelling = Stage(
        "label the neurons",
        AssignLabels(),
        transform=partial(_first, count=labelled),
        batch_size=batch_size,
        shuffle=False,
        begin=model.forget_labels,
    )
    return [learning, labelling]


def suited_theta_plus(neurons: int) -> float:
    """Return theta's step in mV that suits so many neurons: the paper's 0.05 for 400, less for fewer, who fire more."""
    return 0.05 * min(1.0, neurons / 400)


def _first(data: Dataset, count: int) -> Dataset:
    return data.take(count)


NETS = {
    "paper": "The paper's net: inhibitory layer, a delay for each synapse, 350 + 150 ms at 0.5 ms, the retry",
    "grouped": "The paper's net: inhibitory layer, delays (16 neurons share one), 350 + 150 ms at 0.5 ms, the retry",
    "faster": "Our best variant: one winner inhibits at once, steps of 1 ms, 250 ms an image, no delays, no rest",
}
OPTIONS = {
    "theta_plus": "theta grows by {0:g} mV a spike",
    "norm": "a neuron's weights sum to {1:.0f} instead of 78",
    "eta_post": "eta_post {0:g} at first",
    "eta_pre": "eta_pre {0:g} at first",
}


@dataclass(frozen=True)
class Recipe:
    """How one published figure is made: the network, the rule, how long, and how many examples label its neurons."""

    neurons: int
    variant: str
    readout: str
    kind: str
    epochs: int
    last_rate: float
    labelled: int
    images: int = 60_000  # that it learns from, the first of the training images
    options: Mapping[str, Any] = field(default_factory=dict)  # of the rule

    def figure(self, name: str, published: float, *, chosen: str, seeds: Sequence[int] = (0, 1, 2)) -> Figure:
        """Return the published figure that this recipe makes anew; `chosen` says how its settings were found."""
        return Figure(
            name=name,
            paper=PAPER,
            published=published,
            unit="per cent test accuracy",
            better="higher",
            make=self.accuracy,
            seeds=seeds,
            note=f"{self.about()}. {chosen}. The test split is read once a seed.",
        )

    def about(self) -> str:
        """Return in words what the recipe does, and so what differs from the paper."""
        passes = self.epochs * self.images / 60_000
        length = {1.0: "one pass", 0.5: "half a pass"}.get(passes, f"{passes:.2g} passes")
        falls = {1.0: "at constant rates", 0.1: "at rates that fall to a tenth"}
        rates = falls.get(self.last_rate, f"at rates that fall to {self.last_rate:g} of the first")
        shuffled = f"{length} ({self.epochs * self.images:,} images in a shuffled order)"
        words = [f"{NETS[self.variant]}; {self.kind} rule {rates} over {shuffled}"]
        words += [OPTIONS[key].format(value, 784 * value) for key, value in self.options.items()]
        words += [f"{self.labelled:,} training images label the neurons", f"read-out by {self.readout}"]
        return "; ".join(words)

    def accuracy(self, seed: int, progress: bool = False) -> float:
        """Train on the training images and return the test accuracy in per cent; the test split is read here, once.

        A run that was killed is resumed from its last checkpoint in `runs/reproduce/VARIANT-NEURONS-SEED`.
        """
        data = load_data("mnist")
        folder = Path("runs/reproduce") / f"{self.variant}-{self.neurons}-{seed}"
        resume = bool(list_checkpoints(folder / "checkpoints"))
        model = DiehlCook(
            self.neurons,
            variant=self.variant,
            readout=self.readout,
            generator=make_generator(seed, "weights", "diehl-cook"),
        )
        stages = stdp_stages(
            model,
            DiehlCookSTDP(self.kind, **self.options),
            epochs=self.epochs,
            last_rate=self.last_rate,
            labelled=self.labelled,
        )
        fit(
            model,
            stages,
            data.train.take(self.images),
            seed=seed,
            out=folder,
            resume=resume,
            checkpoint_every=CHECKPOINT_EVERY,
            progress=progress,
            title=f"diehl-cook, {self.neurons} neurons, seed {seed}",
        )
        found = 100 * evaluate(model, data.test, seed=seed).accuracy
        remove_folder(folder)
        return found
