"""Early stopping: count epochs without a new best, then put the best weights back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from threegen.checks import did_you_mean, require_choice, require_whole
from threegen.errors import ConfigError


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs in which `monitor` found no new best, and restore the best epoch's weights.

    `monitor` is a figure of the epoch's record (`validation_accuracy`, `validation_loss`, `loss`, ...); `better` is
    "higher" or "lower", by default "lower" for losses and errors and "higher" for the rest.
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
        falling = any(word in self.monitor for word in ("loss", "error", "divergence"))
        self.better = require_choice("better", self.better or ("lower" if falling else "higher"), ("higher", "lower"))

    def reset(self) -> None:
        """Forget everything seen, before a new run."""
        self.best, self.best_epoch, self.waited, self.best_weights = None, -1, 0, {}

    def see(self, record: dict[str, float], model: nn.Module, epoch: int) -> bool:
        """Take in one epoch's record; return True where training should stop."""
        if self.monitor not in record:
            advice = "; pass validation= to fit" if self.monitor.startswith("validation") else ""
            raise ConfigError(
                f"early stopping watches {self.monitor!r}, but the epoch has {', '.join(record)}"
                f"{did_you_mean(self.monitor, record)}{advice}"
            )
        value = record[self.monitor]
        gain = 0.0 if self.best is None else (value - self.best) * (1 if self.better == "higher" else -1)
        if self.best is None or gain > self.least_gain:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            if self.restore:
                self.best_weights = {name: t.detach().clone() for name, t in model.state_dict().items()}
            return False
        self.waited += 1
        return self.waited >= self.patience

    @torch.no_grad()
    def put_back(self, model: nn.Module) -> None:
        """Copy the best weights into `model`, if any were kept."""
        if self.restore and self.best_weights:
            model.load_state_dict(self.best_weights)
