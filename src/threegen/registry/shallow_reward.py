"""How the shallow net of 2018 learns from reward, as a stage for `fit`: dropout of maps, factors with a floor.

    fit(model, shallow_reward_stages(model), data)

The script draws its dropout and measures its factors once per pass over some hundred images. A pass over digits has
tens of thousands, in which the maps that take part would drift away from the others: here both change after `window`
images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from threegen.checks import require_number, require_whole
from threegen.datasets.dataset import Dataset
from threegen.datasets.spike_times import SpikeTimes, keep_rows
from threegen.errors import ConfigError
from threegen.gen3.mozafari_2018 import Mozafari2018
from threegen.gen3.ordered_conv import DecisionConv
from threegen.randomness import make_generator
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.rule import Rule
from threegen.training.schedules import Progress
from threegen.training.stages import Stage

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class MapDropout:
    """A schedule that switches off another random part of a layer's maps for each batch: each with probability `share`.

    Which ones depends on (`seed`, number of the batch) alone, so that a resumed run continues with the same. Mozafari
    et al. 2018.
    """

    layer: DecisionConv = field(repr=False)
    share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        require_number("share", self.share, least=0.0, below=1.0)

    def __call__(self, progress: Progress, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """Set which maps do not take part in the coming batch."""
        generator = make_generator(self.seed, "map dropout", progress.batches_done)
        draws = torch.rand(len(self.layer.dropped), generator=generator)
        self.layer.dropped.copy_(draws < self.share)


def shallow_reward_stages(
    model: Mozafari2018,
    *,
    passes: int = 12,
    reward: tuple[float, float] = (0.05, 0.003),
    punish: tuple[float, float] = (0.05, 0.0005),
    dropout: float = 0.5,
    window: int = 500,
    shuffle: bool = False,
    seed: int = 0,
) -> list[Stage]:
    """Return the one stage that trains `model`: reward STDP whose factors are .2 + .8 times the shares of a window.

    Args:
        model: a `Mozafari2018`.
        passes: through the data.
        reward: sizes of the changes after a right answer, of inputs that fired in time and of all others.
        punish: the same after a wrong answer, with the signs turned.
        dropout: the probability with which a map is switched off in a window.
        window: images in a batch, after which dropout and factors change.
        shuffle: a new order in each pass; the script keeps one order.
        seed: of the dropout.

    Rates are those of the script for toys (NORB). Raises `ConfigError` for another model.
    """
    if not isinstance(model, Mozafari2018):
        raise ConfigError(f"shallow_reward_stages trains a Mozafari2018, got {type(model).__name__}")
    rule = RewardSTDP(
        model.classes,
        reward=reward,
        punish=punish,
        window=require_whole("window", window),
        first_shares=(1.0 - 1.0 / model.classes, 1.0 / model.classes),
        stabiliser=True,
        floor=0.2,
    )

    def encoded(data: Dataset) -> Dataset:
        def make(part: slice) -> Array:
            found: Array = model.encode(data.inputs[part]).numpy()
            return found

        kept = keep_rows("edges", len(data), model.c1_shape, make)
        return SpikeTimes(kept, model.c1_shape, model.steps, data.targets, data.classes, f"{data.name}, edges")

    def all_take_part() -> None:
        model.s2.dropped.zero_()

    return [
        Stage(
            "S2",
            rule,
            model.s2,
            transform=encoded,
            epochs=require_whole("passes", passes),
            batch_size=window,
            shuffle=shuffle,
            schedule=MapDropout(model.s2, dropout, seed),
            end=all_take_part,
        )
    ]
