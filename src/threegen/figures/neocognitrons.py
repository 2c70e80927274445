"""Our variant of the neocognitron of 2003 for `neocognitron-best`: the third of its four stages is left out.

    U0 -> UG (contrast) -> S1 (16 edges) -> C1 -> S2 -> C2, thinned -> S4 (labelled) -> scores

On held-out digits the C3-cells separate the classes less well than the C2-cells (`scripts/neocognitron_limits.py`).
Without S3 the top layer also has a third as many connections, so that it can be taught every training digit.
"""

from __future__ import annotations

from collections.abc import Sequence

from threegen.gen1.neocognitron_2003 import Neocognitron2003, pooling
from threegen.gen1.neocognitron_cells import GrowingSCells
from threegen.registry.self_organisation import cells_below
from threegen.rules.growing_seeds import GrowingSeeds, LabelledSeeds
from threegen.rules.rule import Rule
from threegen.training.stages import Stage


class WithoutThirdStage(Neocognitron2003):
    """The neocognitron of 2003 without S3 and C3: S4 sees the C2-cells, at every second place.

    `planes` is the largest number of planes of S2 and S4, `selectivity` the learning threshold of S4; the other layers
    are those of `Neocognitron2003` with its default settings. Takes `[B, 1, 28, 28]`, returns scores `[B, 10]`.
    """

    def __init__(self, planes: Sequence[int] = (120, 1500), selectivity: float = 0.9) -> None:
        super().__init__(planes=(planes[0], 1, 1))
        for name in ("S3", "C3", "S4"):
            del self.layers[name]
        self.layers["C2"] = pooling(3, 2, 0.0)
        side = self.sizes()["C2"][1]
        options = {"threshold": 0.3, "learning_threshold": selectivity, "gamma": 1.0, "column": 1}
        self.add(("S4", GrowingSCells(planes[0], planes[1], side, **options)))


def two_stages(model: WithoutThirdStage, first_digits: int, passes: int, batch_size: int = 500) -> list[Stage]:
    """Return the stages that train S2 on the first `first_digits` digits and S4 on all of them, `passes` times."""

    def stage(name: str, rule: Rule, digits: int | None, epochs: int) -> Stage:
        return Stage(
            name,
            rule,
            model.layers[name],
            transform=lambda data: cells_below(model, name, data if digits is None else data.take(digits)),
            optimizer="sgd",
            lr=1.0,
            epochs=epochs,
            batch_size=batch_size,
            validate=False,
        )

    return [stage("S2", GrowingSeeds(), first_digits, 1), stage("S4", LabelledSeeds(), None, passes)]
