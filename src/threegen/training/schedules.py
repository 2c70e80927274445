"""Schedules: functions of progress in batches that may set any optimiser group or rule value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from threegen.checks import did_you_mean, require_choice, require_number, require_whole
from threegen.errors import ConfigError
from threegen.rules.rule import Rule


@dataclass(slots=True)
class Progress:
    """The position in a stage: epochs and batches done (counted from 0) and, if known, their total numbers."""

    stage: int = 0
    epoch: int = 0
    batch: int = 0  # within the epoch
    batches_done: int = 0  # within the stage
    batches_total: int | None = None
    updates: int = 0  # within the whole run

    @property
    def fraction(self) -> float:
        """The share of the stage that is done, 0..1; raises `ConfigError` if the length is not known."""
        if self.batches_total is None:
            raise ConfigError("this schedule needs to know the number of batches: the data must have a length")
        return self.batches_done / max(1, self.batches_total)


class Schedule(Protocol):
    """Anything that may be called before each batch to set rates, momenta or values of the rule."""

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set what depends on `progress`."""
        ...


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate as a multiple of its initial value over the stage.

    `constant`, `linear` (down to `final`), `cosine` (down to `final`) or `one-cycle` (up from `final` to 1 over the
    first `warmup` share, then down again along a cosine). `warmup` is a share of the stage for all of them.
    For a rule that updates the parameters itself and has a `rate`, that is set too.
    """

    kind: str = "cosine"
    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        require_choice("schedule", self.kind, RATE_SCHEDULES)
        require_number("warmup", self.warmup, least=0.0, below=1.0)
        require_number("final", self.final, least=0.0)

    def factor(self, fraction: float) -> float:
        """Return the multiple of the initial rate at `fraction` (0..1) of the stage."""
        warmup = self.warmup or (0.3 if self.kind == "one-cycle" else 0.0)
        if fraction < warmup:
            start = self.final if self.kind == "one-cycle" else 0.0
            return start + (1.0 - start) * fraction / warmup
        rest = min(1.0, (fraction - warmup) / (1.0 - warmup))
        if self.kind == "constant":
            return 1.0
        if self.kind == "linear":
            return 1.0 + (self.final - 1.0) * rest
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * rest))

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set every group's rate for the coming batch."""
        factor = self.factor(progress.fraction)
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        if hasattr(rule, "rate"):
            own: dict[str, Any] = vars(rule)
            own["rate"] = own.setdefault("_first_rate", own["rate"]) * factor


RATE_SCHEDULES = ("constant", "linear", "cosine", "one-cycle")


@dataclass(frozen=True)
class EpochSteps:
    """A value that changes at given epochs: `EpochSteps("momentum", {0: 0.5, 5: 0.9})`.

    `name` is an option of the optimiser (`lr`, `momentum`, ...) or an attribute of the rule (`steps`, ...); if both
    have it, as with rules that update the parameters themselves, both are set.
    """

    name: str
    values: Mapping[int, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.values, Mapping) or 0 not in self.values:
            raise ConfigError(f"EpochSteps({self.name!r}) needs a value for epoch 0, got {self.values!r}")

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set the value in force at this epoch."""
        value = self.values[max(epoch for epoch in self.values if epoch <= progress.epoch)]
        groups = [group for group in optimizer.param_groups if self.name in group]
        for group in groups:
            group[self.name] = value
        if hasattr(rule, self.name):
            setattr(rule, self.name, value)
        elif not groups:
            known = [*optimizer.defaults, *vars(rule)]
            raise ConfigError(
                f"neither {type(optimizer).__name__} nor {type(rule).__name__} has {self.name!r}"
                f"{did_you_mean(self.name, known)}"
            )


@dataclass(frozen=True)
class Plateau:
    """The rate divided by `divisor` whenever the validation error has not fallen for `patience` epochs.

    At most `most` times, as in Krizhevsky et al. (NIPS 2012), section 5: 10, three times. It needs `validation=` in
    `fit`, which passes it the records of earlier epochs before each epoch. A resumed run derives the same rate from its
    log.
    """

    divisor: float = 10.0
    patience: int = 3
    most: int = 3

    def __post_init__(self) -> None:
        require_number("divisor", self.divisor, above=1.0)
        require_whole("patience", self.patience)
        require_whole("most", self.most, least=0)

    def factor(self, errors: Sequence[float]) -> float:
        """Return the multiple of the initial rate after epochs with these validation errors."""
        best, waited, cuts = math.inf, 0, 0
        for error in errors:
            best, waited = (error, 0) if error < best else (best, waited + 1)
            if waited >= self.patience and cuts < self.most:
                waited, cuts = 0, cuts + 1
        return float(self.divisor**-cuts)

    def begin_epoch(self, records: Sequence[Mapping[str, Any]], optimizer: torch.optim.Optimizer) -> None:
        """Set every group's rate for the coming epoch from the records of the stage's earlier epochs."""
        if any("validation_accuracy" not in record for record in records):
            raise ConfigError("the schedule Plateau watches the validation error; pass validation= (--holdout N)")
        factor = self.factor([1.0 - record["validation_accuracy"] for record in records])
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Do nothing: the rate changes between epochs."""


@dataclass(frozen=True)
class RuleValue:
    """An attribute of the rule that changes linearly from `first` to `last` over the stage: `RuleValue("rate", 1.0,
    0.1)`.

    For rules whose kernels update the weights themselves, so that the optimiser's rate has no effect.
    """

    name: str
    first: float
    last: float

    def __post_init__(self) -> None:
        require_number(f"first value of {self.name}", self.first)
        require_number(f"last value of {self.name}", self.last)

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set the value for the coming batch."""
        if not hasattr(rule, self.name):
            raise ConfigError(f"{type(rule).__name__} has no {self.name!r}{did_you_mean(self.name, vars(rule))}")
        setattr(rule, self.name, self.first + (self.last - self.first) * progress.fraction)


def resolve_schedule(choice: str | Schedule | None) -> Schedule | None:
    """Turn a name of `RATE_SCHEDULES`, a schedule or None into a schedule or None."""
    if choice is None or callable(choice):
        return choice
    return RateSchedule(require_choice("schedule", choice, RATE_SCHEDULES))
