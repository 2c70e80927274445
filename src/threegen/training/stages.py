"""A stage of training: which part of the model learns, by which rule, on what, for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass

from torch import nn

from threegen.checks import require_number, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError
from threegen.rules.rule import Rule
from threegen.training.optimizers.build import OptimizerChoice
from threegen.training.schedules import Schedule, resolve_schedule


@dataclass
class Stage:
    """One stage; `fit(model, [Stage(...), Stage(...)], data)` runs them in order.

    `module` is the part that learns (None: the whole model). `transform` maps the training data to the input of this
    stage, once, before its first batch (for example to cached activations of the layers below). `begin` and `end` are
    called once each, before the first and after the last batch; a resumed run does not call them again. `accumulate`
    batches make one update, by the mean of their gradients. `validate` says whether the whole model is evaluated on the
    validation split after each epoch.
    """

    name: str
    rule: Rule
    module: nn.Module | None = None
    transform: Callable[[Dataset], Dataset] | None = None
    optimizer: OptimizerChoice = None
    lr: float | None = None
    epochs: int = 1
    batch_size: int = 128
    shuffle: bool = True
    schedule: str | Schedule | None = None
    clip_norm: float | None = None
    accumulate: int = 1
    begin: Callable[[], None] | None = None
    end: Callable[[], None] | None = None
    validate: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise ConfigError(f"stage {self.name!r}: rule must be a Rule such as Backprop(), got {self.rule!r}")
        if self.module is not None and not isinstance(self.module, nn.Module):
            raise ConfigError(f"stage {self.name!r}: module must be an nn.Module, got {self.module!r}")
        resolve_schedule(self.schedule)
        self.epochs = require_whole("epochs", self.epochs, least=0)
        self.batch_size = require_whole("batch_size", self.batch_size)
        if require_whole("accumulate", self.accumulate) > 1 and self.rule.updates_per_batch != 1:
            raise ConfigError(
                f"stage {self.name!r}: accumulate={self.accumulate} adds up one gradient per batch, and "
                f"{type(self.rule).__name__} makes its own updates; leave accumulate out and take larger batches"
            )
        if self.clip_norm is not None:
            require_number("clip_norm", self.clip_norm, above=0.0)
        if self.lr is not None:
            self.lr = require_number("lr", self.lr, above=0.0)

    def describe(self) -> dict[str, object]:
        """Return the settings that must be equal in a resumed run, as plain values."""
        optimizer = self.optimizer
        named = getattr(optimizer, "describe", None)
        return {
            "name": self.name,
            "rule": describe_rule(self.rule),
            "optimizer": named() if callable(named) else optimizer if isinstance(optimizer, str) else None,
            "lr": self.lr,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "schedule": _describe_schedule(self.schedule),
            "clip_norm": self.clip_norm,
            "accumulate": self.accumulate,
        }


def _describe_schedule(schedule: str | Schedule | None) -> str | None:
    """Return a text that is the same in every process; the `repr` of plain objects would contain their address."""
    if schedule is None or isinstance(schedule, str):
        return schedule
    return repr(schedule) if is_dataclass(schedule) else getattr(schedule, "__qualname__", type(schedule).__name__)


def describe_rule(rule: Rule) -> str:
    """Return a rule's name and its plain settings: `Backprop(loss='cross_entropy')`."""
    plain = {
        name: getattr(value, "__qualname__", value)  # a loss may be a function
        for name, value in sorted(vars(rule).items())
        if not name.startswith("_") and (isinstance(value, str | int | float | bool) or hasattr(value, "__qualname__"))
    }
    return f"{type(rule).__name__}({', '.join(f'{name}={value!r}' for name, value in plain.items())})"
