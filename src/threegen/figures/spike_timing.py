"""The published figures of Diehl and Cook's network, reproduced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threegen.datasets.load import load_data
from threegen.figures.reproduce import Figure
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import make_generator
from threegen.registry.spike_timing import PAPER, stdp_stages
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.persistence.checkpoint import list_checkpoints
from threegen.training.persistence.files import remove_folder

CHECKPOINT_EVERY = 50  # batches


NETS = {
    "paper": "The paper's net: inhibitory layer, a delay for each synapse, 350 + 150 ms at 0.5 ms, the retry",
    "grouped": "The paper's net: inhibitory layer, delays (16 neurons share one), 350 + 150 ms at 0.5 ms, the retry",
    "faster": "Our best variant: one winner inhibits at once, steps of 1 ms, 250 ms per image, no delays, no rest",
}
OWN_VARIANT = (
    "our own variant of the net: one winner inhibits at once, 1 ms steps, 250 ms per image, no delays and no rest; "
    "read-out by likelihood"
)
OPTIONS = {
    "theta_plus": "theta grows by {0:g} mV a spike",
    "norm": "a neuron's weights sum to {1:.0f} instead of 78",
    "eta_post": "eta_post {0:g} at first",
    "eta_pre": "eta_pre {0:g} at first",
}


@dataclass(frozen=True)
class Recipe:
    """The recipe of one published figure: the network, the rule, the length, and the number of labelling examples."""

    neurons: int
    variant: str
    readout: str
    kind: str
    epochs: int
    last_rate: float
    labelled: int
    images: int = 60_000  # training images used, from the first on
    options: Mapping[str, Any] = field(default_factory=dict)  # options of the rule

    def figure(
        self,
        name: str,
        published: float,
        *,
        chosen: str,
        differs: str = "",
        read: str = "",
        seeds: Sequence[int] = (0, 1, 2),
    ) -> Figure:
        """Return the published figure that this recipe reproduces.

        `chosen` says how its settings were found, `differs` what differs from the paper (by default that it is our best
        variant), `read` how often the test split was read, if not once.
        """
        return Figure(
            name=name,
            paper=PAPER,
            published=published,
            unit="per cent test accuracy",
            better="higher",
            make=self.accuracy,
            seeds=seeds,
            differs=differs or OWN_VARIANT,
            note=f"{self.about()}. {chosen}. {read or 'The test split is read once per seed.'}",
        )

    def about(self) -> str:
        """Return a description of the recipe, and so of the differences from the paper."""
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

        A killed run is resumed from its last checkpoint in `runs/reproduce/VARIANT-NEURONS-SEED`.
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
