"""A policy net learns to balance a pole from rewards alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.policy_gradient import PolicyGradient
from threegen.studies.drawing import lines, panels, save
from threegen.studies.pole import LONGEST, Poles, pole_starts
from threegen.studies.study import Settings, Study
from threegen.studies.tools import smooth
from threegen.training.fit import Callback, Training, fit

EPISODES = 16  # played in parallel for each update
STEADY = 490.0  # of 500 steps, as the mean of 16 episodes played with drawn actions
IN_A_ROW = 12


class Solved(Callback):
    """Stops once twelve updates in a row have nearly the maximal reward."""

    def __init__(self) -> None:
        self.rewards: list[float] = []

    def on_step(self, run: Training, step: Any) -> None:
        """Record the reward; stop once the pole has stood for long enough."""
        self.rewards.append(float(step.figures["reward"]))
        if len(self.rewards) >= IN_A_ROW and min(self.rewards[-IN_A_ROW:]) > STEADY:
            run.stop("the pole is balanced")


def balance(settings: Settings, poles: Poles, *, explore: bool, updates: int) -> dict[str, Any]:
    """Train 4-32-2 by policy gradient; return rewards and entropies of all updates, and results of the final policy."""
    model = MLP([4, 32, 2], activation="tanh", generator=make_generator(settings.seed, "policy"))
    rule = PolicyGradient(poles, discount=0.99, explore=explore)
    fresh = pole_starts(20 if settings.quick else 100, settings.seed + 1).inputs  # starts not used in training
    best = PolicyGradient(poles, explore=False)
    before = best.play(model, fresh, torch.Generator()).rewards
    log = fit(
        model,
        rule,
        pole_starts(EPISODES * updates, settings.seed),
        lr=0.03,
        batch_size=EPISODES,
        seed=settings.seed,
        callbacks=[Solved()],
        progress=settings.progress,
        title="explore" if explore else "exploit",
    )
    after = best.play(model, fresh, torch.Generator()).rewards
    return {
        "updates": len(log.steps),
        "episodes": EPISODES * len(log.steps),
        "mean steps before learning": float(before.mean()),
        "mean steps after learning": float(after.mean()),
        "share balanced to the end": float((after == LONGEST).float().mean()),
        "rewards": [step["reward"] for step in log.steps],
        "entropies": [step["entropy"] for step in log.steps],
    }


def measure(settings: Settings) -> dict[str, Any]:
    """Train once with actions drawn from the policy, once with its likeliest action only."""
    poles = Poles()
    updates = 100 if settings.quick else 300
    return {
        "most steps": LONGEST,
        "entropy of a coin": math.log(2),
        "exploring": balance(settings, poles, explore=True, updates=updates),
        "exploiting only": balance(settings, poles, explore=False, updates=updates),
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw rewards and entropies."""
    figure, axes = panels(1, 2)
    kinds = ("exploring", "exploiting only")
    rewards = {kind: smooth(figures[kind]["rewards"], 0.6) for kind in kinds}
    lines(axes[0], rewards, title="Steps that the pole stands", across="update", up="mean of 16 episodes")
    axes[0].axhline(figures["most steps"], color="#c9ccd1", linewidth=0.8)
    entropies = {kind: figures[kind]["entropies"] for kind in kinds}
    lines(axes[1], entropies, title="Entropy of the policy", across="update", up="entropy (nats)")
    axes[1].axhline(figures["entropy of a coin"], color="#c9ccd1", linewidth=0.8)
    return save(figure, folder, "rewards")


STUDY = Study(
    name="from-reward",
    title="Learning from reward: the pole",
    about="From the length of each episode alone, a net learns to balance the pole, if it also explores actions that "
    "it rates lower.",
    source="Barto, Sutton and Anderson (1983) for the task; Williams, Machine Learning 8 (1992) for the rule",
    measure=measure,
    draw=draw,
)
