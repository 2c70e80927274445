"""Early stopping: count epochs without a new best, then restore the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import did_you_mean, require_choice, require_number, require_whole
from threegen.errors import ConfigError


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs in which `monitor` found no new best, and restore the best epoch's weights.

    `monitor` is a figure of the epoch's record (`validation_accuracy`, `validation_loss`, `loss`, ...); `better` is
    "higher" or "lower", by default "lower" for losses and errors and "higher" for the rest. A figure that is not finite
    never counts as best. In a run of several stages, each stage is monitored, stopped and restored separately; a stage
    without validation is not monitored if `monitor` is a validation figure.
    """

    patience: int = 3
    monitor: str = "validation_accuracy"
    better: str = ""
    restore: bool = True
    least_gain: float = 0.0
    best: float | None = field(default=None, init=False)
    best_epoch: int = field(default=-1, init=False)
    waited: int = field(default=0, init=False)
    best_weights: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_whole("patience", self.patience)
        require_number("least_gain", self.least_gain, least=0.0)
        if not isinstance(self.monitor, str):
            raise ConfigError(f"monitor must be the name of a figure such as 'validation_loss', got {self.monitor!r}")
        falling = any(word in self.monitor for word in ("loss", "error", "divergence"))
        self.better = require_choice("better", self.better or ("lower" if falling else "higher"), ("higher", "lower"))

    def reset(self) -> None:
        """Reset all state before a new run."""
        self.best, self.best_epoch, self.waited, self.best_weights = None, -1, 0, {}

    def see(self, record: dict[str, float], model: nn.Module, epoch: int) -> bool:
        """Process one epoch's record; return True if training should stop."""
        if self.monitor not in record:
            advice = "; pass validation= to fit" if self.monitor.startswith("validation") else ""
            raise ConfigError(
                f"early stopping watches {self.monitor!r}, but the epoch has {', '.join(record)}"
                f"{did_you_mean(self.monitor, record)}{advice}"
            )
        value = record[self.monitor]
        if math.isfinite(value) and (self.best is None or self._gain(value, self.best) > self.least_gain):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            if self.restore:
                self.best_weights = {name: t.detach().clone() for name, t in model.state_dict().items()}
            return False
        self.waited += 1
        return self.over

    def _gain(self, value: float, best: float) -> float:
        return value - best if self.better == "higher" else best - value

    def watches(self, validated: bool) -> bool:
        """Return whether a stage is monitored, given whether it is `validated` after each epoch."""
        return validated or not self.monitor.startswith("validation")

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint, except `best_weights`."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore_state(self, state: Mapping[str, Any], best_weights: dict[str, Tensor]) -> None:
        """Restore `state()` and the best weights; an empty state changes nothing."""
        if state:
            self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
            self.best_weights = best_weights

    @property
    def over(self) -> bool:
        """Whether the patience is used up."""
        return self.waited >= self.patience

    @torch.no_grad()
    def put_back(self, model: nn.Module) -> None:
        """Copy the best weights into `model`, if there are any."""
        if self.restore and self.best_weights:
            model.load_state_dict(self.best_weights)
