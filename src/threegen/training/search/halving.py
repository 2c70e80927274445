"""Successive halving: at each rung the better part continues, the other networks are removed from the stack.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization" (2016); the rungs are
those of Li et al., "A system for massively parallel hyperparameter tuning" (2020). All networks of a stack reach a rung
together, so nothing is promoted too early.
"""

from __future__ import annotations

from collections.abc import Sequence

from threegen.training.search.stacked import Group
from threegen.training.search.trials import Trial, ranked


def default_rungs(epochs: int) -> tuple[int, ...]:
    """Return the epochs after which half is discarded: a tenth, a fifth and two fifths of all."""
    return tuple(sorted({max(1, round(epochs * share)) for share in (0.1, 0.2, 0.4)} - {epochs}))


def give_up_losers(groups: Sequence[Group], eta: int = 2) -> list[Trial]:
    """Keep the best 1 / `eta` of all running trials, rounded up; return the discarded ones."""
    running = [trial for group in groups for trial in group.trials]
    losers = ranked(running)[-(-len(running) // eta) :]
    for trial in losers:
        trial.state = "stopped"
    for group in groups:
        group.keep([place for place, trial in enumerate(group.trials) if trial.state == "running"])
    return losers
