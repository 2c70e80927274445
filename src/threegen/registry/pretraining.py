"""Training of a deep belief net as stages for `fit`: greedy pre-training layer by layer, then the up-down algorithm.

    fit(dbn, pretraining(dbn, epochs=30), data)     each layer an RBM on the means of the one below, labels at the top
    fit(dbn, up_down(dbn, epochs=300), data) all layers together, wake-sleep

Hinton, Osindero and Teh, Neural Computation 18 (2006) 1527-1554; momentum and weight cost as in the code of Hinton and
Salakhutdinov, Science 313 (2006) 504-507. Both let the rate fall towards the end, unlike the papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from threegen.checks import require_number, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError
from threegen.gen2.dbn import DBN
from threegen.gen2.rbm import RBM
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import Rule
from threegen.rules.wake_sleep import WakeSleep
from threegen.training.optimizers.build import optimizer
from threegen.training.schedules import Progress
from threegen.training.stages import Stage

_BLOCK = 5_000  # examples encoded at a time
_RATE, _GAUSSIAN_RATE = 0.05, 0.01


@dataclass(frozen=True)
class GreedySchedule:
    """Momentum `early` for the first `warm` share of the stage, then `late`; the rate falls over its last half.

    From the middle of the stage on, the rate falls linearly from `rate` to `final` times that.
    """

    rate: float
    early: float = 0.5
    late: float = 0.9
    warm: float = 0.15
    final: float = 0.02

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set rate and momentum for the coming batch."""
        share = progress.fraction
        rate = self.rate * (1.0 - (1.0 - self.final) * max(0.0, 2.0 * share - 1.0))
        momentum = self.early if share < self.warm else self.late
        for group in optimizer.param_groups:
            group["lr"] = rate
            if "momentum" in group:
                group["momentum"] = momentum


@dataclass(frozen=True)
class UpDownSchedule:
    """The paper's `steps` of Gibbs sampling, each for the same share of the stage, and a falling rate.

    The rate is `rate` up to the share `hold` and then falls linearly to `final` times that.
    """

    rate: float
    steps: tuple[int, ...] = (3, 6, 10)
    hold: float = 0.0
    final: float = 0.02

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set the rule's values for the coming batch, and the optimiser's rate if the rule leaves the updates to it."""
        share = progress.fraction
        fallen = max(0.0, (share - self.hold) / (1.0 - self.hold))
        rate = self.rate * (1.0 - (1.0 - self.final) * min(1.0, fallen))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if isinstance(rule, WakeSleep):
            rule.rate = rate
            rule.steps = self.steps[min(len(self.steps) - 1, int(share * len(self.steps)))]


def pretraining(
    dbn: DBN,
    *,
    epochs: int | Sequence[int] = 30,
    lr: float | Sequence[float] | None = None,
    batch_size: int = 100,
    weight_cost: float = 2e-4,
    backend: str = "auto",
) -> list[Stage]:
    """Return the stages of greedy pre-training, one for each RBM of `dbn`, the associative memory last.

    Each learns by contrastive divergence of one step from the means of the layer below it, which are computed once;
    labels are needed only for the last stage, and only if the net has classes. Visible biases start at the log-odds of
    the data (for Gaussian units at its means). A finished layer's weights are copied to the generative ones. `epochs`
    and `lr` are one number, or one for each stage; `lr=None` is .05, and .01 for a first layer of Gaussian units, whose
    reconstructions are unbounded (guide, section 13.2). `backend` is as for `ContrastiveDivergence`. Raises
    `ConfigError` for settings that cannot work.
    """
    if not isinstance(dbn, DBN):
        raise ConfigError(f"pretraining needs a DBN, got {type(dbn).__name__}")
    rbms: list[nn.Module] = [*dbn.layers, dbn.top]
    if lr is None:
        lr = [_RATE if dbn.needs_unit_range else _GAUSSIAN_RATE, *[_RATE] * (len(rbms) - 1)]
    listed = _one_each("epochs", epochs, len(rbms))
    rates = [require_number("lr", rate, above=0.0) for rate in _one_each("lr", lr, len(rbms))]
    stages = []
    for number, rbm in enumerate(rbms):
        upper = dbn.sizes[number + 1]
        last = number == len(rbms) - 1
        stages.append(
            Stage(
                name=f"memory of {upper}" if last else f"layer of {upper}",
                rule=ContrastiveDivergence(visible="probabilities", weight_cost=weight_cost, backend=backend),
                module=rbm,
                transform=_Encoding(dbn, number),
                optimizer=optimizer("momentum", lr=rates[number], momentum=0.5),
                epochs=listed[number],
                batch_size=batch_size,
                schedule=GreedySchedule(rates[number]),
                end=None if last else _Untying(dbn, number),
                validate=last and bool(dbn.classes),
            )
        )
    return stages


def _one_each(name: str, value: Any, count: int) -> list[Any]:
    """Return `count` values: the given one repeated, or those of a list."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [value] * count
    if len(value) != count:
        raise ConfigError(f"{name} must be one number or {count}, one for each stage, got {list(value)}")
    return list(value)


def up_down(
    dbn: DBN,
    *,
    epochs: int,
    rate: float = 0.5,
    steps: Sequence[int] = (3, 6, 10),
    final: float = 0.02,
    batch_size: int = 100,
    weight_cost: float = 0.0,
    discriminative: float = 0.0,
    centred: bool = True,
) -> list[Stage]:
    """Return the one stage of the up-down algorithm for a pre-trained `dbn`.

    `steps` are those of Gibbs sampling at the top, each used for the same share of the epochs; the rate falls linearly
    from `rate` to `final` times that. `centred` is as for `WakeSleep`; without it, as in the paper, only a fifth of the
    rate is stable. `discriminative` is also as for `WakeSleep`: the extra weight of the label. Raises `ConfigError`.
    """
    if not isinstance(dbn, DBN):
        raise ConfigError(f"up_down needs a DBN, got {type(dbn).__name__}")
    chosen = tuple(require_whole("steps", step) for step in steps)
    if not chosen:
        raise ConfigError("steps must name at least one number of steps")
    return [
        Stage(
            name="up-down",
            rule=WakeSleep(
                chosen[0], rate=rate, weight_cost=weight_cost, discriminative=discriminative, centred=centred
            ),
            epochs=epochs,
            batch_size=batch_size,
            schedule=UpDownSchedule(rate, chosen, final=require_number("final", final, least=0.0, most=1.0)),
            validate=bool(dbn.classes),
        )
    ]


class _Encoding:
    """Maps the data to the means of a layer, once for a whole stage."""

    def __init__(self, dbn: DBN, depth: int) -> None:
        self.dbn, self.depth = dbn, depth

    @torch.no_grad()
    def __call__(self, data: Dataset) -> Dataset:
        parts = [self.dbn.encode(part, self.depth) for part in torch.split(data.inputs, _BLOCK)]
        encoded = Dataset(torch.cat(parts), data.targets, data.classes, f"{data.name}-layer-{self.depth}")
        rbm = [*self.dbn.layers, self.dbn.top][self.depth]
        # a resumed stage has already changed the biases
        if isinstance(rbm, RBM) and not bool(rbm.visible_bias.any()):
            bias = rbm.visible_units.bias_of(rbm.visible_states(encoded.inputs, encoded.targets).mean(0))
            rbm.visible_bias.copy_(bias)
        return encoded


class _Untying:
    """Copies a finished layer's weights to the generative ones."""

    def __init__(self, dbn: DBN, number: int) -> None:
        self.dbn, self.number = dbn, number

    def __call__(self) -> None:
        self.dbn.untie(self.number)
