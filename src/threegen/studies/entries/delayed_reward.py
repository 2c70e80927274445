"""Delayed reward: an eligibility trace keeps the earlier activity until the reward arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from threegen.datasets.dataset import Dataset
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.randomness import make_generator
from threegen.rules.mstdp import MSTDP
from threegen.rules.mstdpet import MSTDPET
from threegen.rules.reward import AnswerCritic, SpikeCritic
from threegen.rules.rule import Rule
from threegen.studies.drawing import bars, panels, save
from threegen.studies.study import Settings, Study
from threegen.training.fit import fit

INPUTS, CLASSES = 30, 3
LATE_RATE = 0.6
STEP = 2.0  # ms
SHOWN, AFTER = 15, 10  # steps with input, then steps of silence; the reward comes with the last one


def patterns(seed: int, count: int, part: str) -> Dataset:
    """Return `count` spike trains [N, T, 30] of three patterns: in each a third of the inputs fires ten times as often.

    The patterns depend on `seed`, the trains on `part` as well. A chance of .2 and .02 per step: 100 and 10 per second.
    """
    lit = torch.rand(CLASSES, INPUTS, generator=make_generator(seed, "patterns")).argsort(1) < INPUTS // CLASSES
    labels = torch.arange(count) % CLASSES
    chance = torch.where(lit[labels], 0.2, 0.02).unsqueeze(1).expand(-1, SHOWN, -1)
    spikes = (torch.rand(chance.shape, generator=make_generator(seed, "trains", part)) < chance).float()
    silence = torch.zeros(count, AFTER, INPUTS)
    return Dataset(torch.cat([spikes, silence], 1), labels, ("first", "second", "third"), "patterns")


def share_right(layer: PlasticLayer, data: Dataset) -> float:
    """Return how often the pattern's own neuron fires most; a tie is no answer, so chance level is at most a third."""
    counts = layer(data.inputs)
    most = counts == counts.amax(1, keepdim=True)
    if data.targets is None:
        return 0.0
    right = most.gather(1, data.targets.unsqueeze(1)).squeeze(1) & (most.sum(1) == 1)
    return float(right.float().mean())


def learn(rule: Rule, seed: int, trials: int) -> dict[str, float]:
    """Train one layer of three neurons on `trials` patterns; return the share right on fresh ones before and after."""
    layer = PlasticLayer(
        INPUTS,
        CLASSES,
        dt=STEP,
        tau=10.0,
        inhibition=0.5,
        winners=1,
        norm=5.0,
        generator=make_generator(seed, "delayed-reward"),
    )
    fresh = patterns(seed, 300, "fresh")
    before = share_right(layer, fresh)
    fit(layer, rule, patterns(seed, trials, "train"), epochs=1, batch_size=20, seed=seed, progress=False)
    return {"before": before, "after": share_right(layer, fresh)}


def measure(settings: Settings) -> dict[str, Any]:
    """Train with and without an eligibility trace, with a reward for every spike and with one delayed reward."""
    seeds = [settings.seed + n for n in range(1 if settings.quick else 3)]
    at_once = SpikeCritic(CLASSES, blame=0.5)
    verdict = AnswerCritic(CLASSES, SHOWN + AFTER - 1)
    late = 200 if settings.quick else 400
    kinds: dict[str, tuple[Rule, int]] = {
        "mstdp, at once": (MSTDP(at_once, 0.005), 150),
        "mstdp, late": (MSTDP(verdict, LATE_RATE), late),
        "mstdpet, late": (MSTDPET(verdict, LATE_RATE), late),
    }
    found: dict[str, Any] = {"chance": 1 / CLASSES, "delay in ms": AFTER * STEP, "seeds": seeds}
    for kind, (rule, trials) in kinds.items():
        runs = [learn(rule, seed, trials) for seed in seeds]
        found[kind] = {
            "trials": trials,
            "before": [run["before"] for run in runs],
            "after": [run["after"] for run in runs],
            "mean before": sum(run["before"] for run in runs) / len(runs),
            "mean after": sum(run["after"] for run in runs) / len(runs),
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the mean accuracy of each kind, and the accuracy before learning."""
    figure, axes = panels(1, 1, width=5.6)
    kinds = [kind for kind, found in figures.items() if isinstance(found, dict)]
    values = {"not trained": figures[kinds[0]]["mean before"], **{kind: figures[kind]["mean after"] for kind in kinds}}
    bars(axes[0], values, title="Three patterns distinguished by reward", up="share right, fresh patterns")
    axes[0].axhline(figures["chance"], color="#c9ccd1", linewidth=0.8)
    return save(figure, folder, "late")


STUDY = Study(
    name="delayed-reward",
    title="Delayed reward",
    about="With one reward after the stimulus, a layer learns only if it has an eligibility trace.",
    source="Florian, Neural Computation 19 (2007): MSTDP and MSTDPET; the task is our own",
    measure=measure,
    draw=draw,
)
