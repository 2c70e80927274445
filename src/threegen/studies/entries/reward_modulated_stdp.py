"""Digits distinguished by reward alone: the net only learns whether its answer was right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.gen3.ordered_conv import DecisionConv, RankLatency
from threegen.randomness import make_generator
from threegen.rules.reward_stdp import RewardSTDP
from threegen.studies.drawing import bars, lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import Watch, accuracy, smooth
from threegen.training.fit import Callback, Training, fit

CLASSES, FEATURES = 3, 30  # the digits 0, 1, 2; ten neurons each
EPOCHS = 2


class Rewards(Callback):
    """Records every reward."""

    def __init__(self) -> None:
        self.rewards: list[float] = []

    def on_step(self, run: Training, step: Any) -> None:
        """Record the reward of this answer."""
        self.rewards.append(float(step.figures["reward"]))


def encoded(data: Dataset, count: int) -> Dataset:
    """Return the first `count` of the three digits as spike times; every image is encoded once."""
    if data.targets is None:
        return data
    few = data.subset((data.targets < CLASSES).nonzero()[:count, 0])
    encoder = RankLatency()
    times = torch.cat([encoder(part).float() for part in torch.split(few.inputs, 100)])
    return Dataset(times, few.targets, [str(digit) for digit in range(CLASSES)], "spike times")


def shuffled(data: Dataset, seed: int) -> Dataset:
    """Return `data` with its labels shuffled, so that rewards carry no information about the answers."""
    if data.targets is None:
        return data
    order = torch.randperm(len(data), generator=make_generator(seed, "deal"))
    return Dataset(data.inputs, data.targets[order], data.classes, "shuffled")


def learn(train: Dataset, judge: Dataset, seed: int, rule: RewardSTDP) -> dict[str, Any]:
    """Train one net; return its accuracy on `judge` before, during and after, and its rewards."""
    generator = make_generator(seed, "reward-modulated")
    model = DecisionConv(6, FEATURES, 28, classes=CLASSES, w_mean=0.5, generator=generator)
    before = accuracy(model, judge)
    rewards, watch = Rewards(), Watch({"held out": judge}, epochs=EPOCHS)
    fit(model, rule, train, epochs=EPOCHS, batch_size=50, seed=seed, callbacks=[rewards, watch], progress=False)
    return {"before": before, "after": watch.curves["held out"][-1], "rewards": rewards.rewards}


def measure(settings: Settings) -> dict[str, Any]:
    """Train with true rewards, with random ones and with none; several seeds; validation images only."""
    split = load_data("mnist").train.holdout(10_000, seed=0)
    train = encoded(split.train, 200 if settings.quick else 600)
    judge = encoded(split.validation, 200 if settings.quick else 1000)
    seeds = [settings.seed + n for n in range(2 if settings.quick else 5)]
    found: dict[str, Any] = {"chance": 1 / CLASSES, "seeds": seeds}
    kinds = {"reward": (0.004, 0.003), "meaningless reward": (0.004, 0.003), "no reward": (0.0, 0.0)}
    for kind, sizes in kinds.items():
        runs = []
        for seed in seeds:
            punish = (0.004, 0.0005) if sizes[0] else (0.0, 0.0)
            rule = RewardSTDP(CLASSES, reward=sizes, punish=punish, window=100)
            runs.append(learn(shuffled(train, seed) if kind == "meaningless reward" else train, judge, seed, rule))
        found[kind] = {
            "before": [run["before"] for run in runs],
            "after": [run["after"] for run in runs],
            "mean after": sum(run["after"] for run in runs) / len(runs),
            "rewards": runs[0]["rewards"],
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw accuracies and the course of the rewards."""
    figure, axes = panels(1, 2)
    kinds = ("reward", "meaningless reward", "no reward")
    bars(axes[0], {kind: figures[kind]["mean after"] for kind in kinds}, title="Three digits", up="accuracy, held out")
    axes[0].axhline(figures["chance"], color="#c9ccd1", linewidth=0.8)
    curves = {kind: smooth(figures[kind]["rewards"]) for kind in kinds[:2]}
    lines(axes[1], curves, title="Reward while learning", across="answer", up="running mean")
    return save(figure, folder, "reward")


STUDY = Study(
    name="reward-modulated-stdp",
    title="Digits by reward alone",
    about="From the reward alone, right or wrong, a layer of spiking neurons learns to distinguish three digits.",
    source="Mozafari et al., Pattern Recognition 94 (2019), the decision layer alone",
    measure=measure,
    draw=draw,
)
