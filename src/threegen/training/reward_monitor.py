"""Monitor deep nets of single spikes while they learn: winners, dead maps, convergence and learning rates.

    winners       per image; fewer than the layer allows: thresholds are too high for the input
    dead maps     maps whose weights did not change in a whole pass: they never won
    undecided     mean of (w - low)(high - w): towards 0 as the weights of STDP reach their bounds
    rewarded      share of right answers of S3 as it learns; a_plus, wrong_share: the current rates

Kheradpisheh et al., Neural Networks 99 (2018): a layer may stop at an undecided share of .01.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from threegen.training.loop import Callback, Training

_FIGURES = ("winners", "a_plus", "undecided", "reward", "answered", "wrong_share", "sums")


@dataclass(frozen=True)
class PassReport:
    """One pass of one layer; figures that its rule does not measure are None."""

    stage: str
    number: int  # of the pass, from 1
    maps: int
    dead: int
    figures: dict[str, float]

    def __str__(self) -> str:
        """Return the report as one line."""
        found = ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        return f"{self.stage}, pass {self.number}: {self.dead} of {self.maps} maps dead, {found}"


class RewardMonitor(Callback):
    """Collects one `PassReport` per pass in `reports`; `str(report)` is one line.

    For `fit` with `deep_reward_stages`, or with any stage whose module has `weight` [F, C, k, k].
    """

    def __init__(self) -> None:
        self.reports: list[PassReport] = []
        self._before: dict[int, Tensor] = {}

    def on_begin(self, run: Training) -> None:
        """Record the weights of all stages."""
        for number, stage in enumerate(run.session.stages):
            self._note(number, stage.module or run.model)

    def _note(self, number: int, module: nn.Module) -> Tensor | None:
        weight = getattr(module, "weight", None)
        before = self._before.get(number)
        if isinstance(weight, Tensor):
            self._before[number] = weight.detach().clone()
        return before

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Compare the weights with those before the pass."""
        number = int(record["stage"])
        stage = run.session.stages[number]
        before = self._note(number, stage.module or run.model)
        if before is None:
            return
        moved = (self._before[number] != before).flatten(1).any(1)
        figures = {name: float(record[name]) for name in _FIGURES if name in record}
        dead = int(torch.logical_not(moved).sum())
        self.reports.append(PassReport(stage.name, int(record["epoch"]) + 1, len(moved), dead, figures))
