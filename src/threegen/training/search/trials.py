"""The record of one trial of a search, and the ranking of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from threegen.randomness import derive_seed


@dataclass
class Trial:
    """One network of a search.

    `state` is "running", "finished", "stopped" (by halving or a pruner) or "diverged" (a loss was not finite). The
    curves hold one number per epoch; training figures are means over the epoch's batches, as `fit` logs them.
    """

    number: int
    round: int
    settings: dict[str, Any]
    seed: int
    state: str = "running"
    training_loss: list[float] = field(default_factory=list)
    training_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """How many epochs it was trained."""
        return len(self.validation_accuracy)

    @property
    def accuracy(self) -> float:
        """The validation accuracy after its last epoch; 0 before the first."""
        return self.validation_accuracy[-1] if self.validation_accuracy else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def trial_seed(seed: int, round_number: int, number: int) -> int:
    """Return the seed with which `fit` trains the same network alone."""
    return derive_seed(seed, "trial", round_number, number) % 2**31


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials, the best first.

    A trial that was trained to the end ranks before a stopped one, whatever its accuracy. Next come the validation
    accuracy, the validation loss and the number. Diverged trials are last.
    """

    def key(trial: Trial) -> tuple[Any, ...]:
        loss = trial.validation_loss[-1] if trial.validation_loss else math.inf
        return (
            trial.state == "diverged",
            trial.state == "stopped",
            -trial.epochs if trial.state == "stopped" else 0,
            -trial.accuracy,
            loss if math.isfinite(loss) else math.inf,
            trial.round,
            trial.number,
        )

    return sorted(trials, key=key)
