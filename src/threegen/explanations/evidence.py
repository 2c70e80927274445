"""Two tests of whether a map is faithful to the model.

Deletion and insertion (Petsiuk, Das and Saenko 2018): cover the pixels in the order of the map and measure how fast the
class's probability falls; uncover them and measure how fast it rises. Random orders are the baseline.
Cascading randomisation (Adebayo et al. 2018): redraw the layers' weights at random, from the last layer to the first. A
map that does not change does not depend on the trained weights. Maps are compared by Spearman's rank correlation of
magnitudes, on the pixels where either map is not zero (the many exact zeros would tie and look alike).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from threegen.checks import require_choice, require_float, require_number, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.explanations.maps import Picture
from threegen.explanations.randomise import Layers, redraw
from threegen.explanations.subject import Subject, Target, chosen_targets
from threegen.plots import ACCENT, INK, SOFT, Series, line_chart, svg_frame, svg_text
from threegen.randomness import make_generator

NO_BREAK = "\N{NO-BREAK SPACE}"  # SVG collapses several spaces into one
Maker = Callable[[Tensor, Target], Tensor]
_UNSIGNED = frozenset({"saliency", "smooth_grad"})  # their sign is that of the gradient, not of the evidence


@dataclass(frozen=True)
class Faithfulness(Picture):
    """The curves [B, steps + 1] over `fractions` of the pixels, and those of random orders; areas are means over B."""

    fractions: Tensor
    deletion: Tensor
    insertion: Tensor
    random_deletion: Tensor
    random_insertion: Tensor

    @property
    def areas(self) -> dict[str, float]:
        """The area under each mean curve, in 0..1: deletion should be small, insertion large."""
        return {
            name: float(torch.trapezoid(getattr(self, name).mean(0), self.fractions))
            for name in ("deletion", "insertion", "random_deletion", "random_insertion")
        }

    @property
    def better_than_random(self) -> bool:
        """Whether the map's order beats random orders both ways."""
        own = self.areas
        return own["deletion"] < own["random_deletion"] and own["insertion"] > own["random_insertion"]

    def _svg(self) -> str:
        x = self.fractions.tolist()
        lines = [("deletion", ACCENT, ""), ("insertion", INK, "")]
        lines += [("random_deletion", ACCENT, "4 3"), ("random_insertion", SOFT, "4 3")]
        series = [
            Series(name.replace("_", " "), x, getattr(self, name).mean(0).tolist(), colour, False, dash)
            for name, colour, dash in lines
        ]
        unit = all(0.0 <= value <= 1.0 for one in series for value in one.y)  # scores have no bounds
        return line_chart(
            series,
            title="Deletion and insertion",
            x_label="share of pixels",
            y_range=(0.0, 1.0) if unit else None,
            whole_x=False,
        )


@dataclass(frozen=True)
class Randomisation(Picture):
    """Similarity to the first map after each layer was redrawn: `layers`, last first; `correlation`, 1 is equal.

    `kept` names parts that the answer depends on and that could not be redrawn, each with the reason.
    """

    layers: tuple[str, ...]
    correlation: tuple[float, ...]
    kept: tuple[str, ...] = ()

    @property
    def sensitive(self) -> bool:
        """Whether the map of the fully redrawn net differs from the first one (correlation below 1/2)."""
        return bool(self.correlation) and abs(self.correlation[-1]) < 0.5

    def _svg(self) -> str:
        numbers = list(range(len(self.layers) + 1))
        series = [Series("rank correlation", numbers, [1.0, *self.correlation])]
        return line_chart(series, title="Cascading randomisation", x_label="layers drawn again", y_range=(-0.2, 1.05))


@dataclass(frozen=True)
class Evidence(Picture):
    """By method: its `faithfulness` and `randomisation`; `as_dict()` is the table."""

    faithfulness: dict[str, Faithfulness]
    randomisation: dict[str, Randomisation]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by method as plain data."""
        return {
            name: {
                **own.areas,
                "better_than_random": own.better_than_random,
                "layers": list(self.randomisation[name].layers),
                "correlation": list(self.randomisation[name].correlation),
                "sensitive": self.randomisation[name].sensitive,
                "not_drawn": list(self.randomisation[name].kept),
            }
            for name, own in self.faithfulness.items()
        }

    def __str__(self) -> str:
        lines = [f"{'method':22}{'deletion':>10}{'random':>8}{'insertion':>11}{'random':>8}{'randomised':>12}"]
        for name, own in self.faithfulness.items():
            a, last = own.areas, self.randomisation[name].correlation[-1]
            lines.append(
                f"{name:22}{a['deletion']:10.3f}{a['random_deletion']:8.3f}{a['insertion']:11.3f}"
                f"{a['random_insertion']:8.3f}{last:12.2f}"
            )
        kept = dict.fromkeys(one for own in self.randomisation.values() for one in own.kept)
        return "\n".join([*lines, *([f"not drawn again: {', '.join(kept)}"] if kept else [])])

    def _svg(self) -> str:
        lines = str(self).splitlines()
        parts = [
            f'<g style="font-family:monospace">{svg_text(6, 18 + 17 * row, line.replace(" ", NO_BREAK), fill=INK)}</g>'
            for row, line in enumerate(lines)
        ]
        return svg_frame(7 * max(map(len, lines)) + 12, 17 * len(lines) + 14, "Evidence", parts)


def deletion_insertion(
    subject: Subject,
    x: Tensor,
    maps: Tensor,
    target: Target = None,
    *,
    steps: int = 20,
    fill: float = 0.0,
    repeats: int = 3,
    magnitude: bool = False,
    measure: str = "probability",
) -> Faithfulness:
    """Return the deletion and insertion curves of `maps` [B, ..., H, W] for images `x` [B, ..., H, W].

    Pixels (all channels at once) are covered or uncovered in `steps` equal parts, the highest first (with `magnitude`,
    the largest of either sign); covered ones have the value `fill`. `repeats` random orders per sample are the
    baseline. `measure` is "probability" or "score", the quantity that is followed; one output has a probability only
    with `explain(model, scores="binary")`.
    """
    require_choice("measure", measure, ("probability", "score"))
    require_whole("steps", steps)
    require_whole("repeats", repeats)
    require_number("fill", fill)
    subject.samples(x)
    require_float("deletion_insertion", maps)
    if maps.is_meta or maps.dim() < min(x.dim(), 3) or len(maps) != len(x) or maps.shape[-2:] != x.shape[-2:]:
        raise ShapeError(f"the maps {list(maps.shape)} do not belong to samples {list(x.shape)}")
    plain = maps.detach().as_subclass(Tensor)
    ranked = plain.abs() if magnitude else plain
    ranked = ranked.flatten(1, -3).sum(1).flatten(1) if plain.dim() > 3 else ranked.flatten(1)
    targets = chosen_targets(target, subject.scores(x))
    generator = make_generator(subject.seed, "evidence")
    # the same random orders for every sample, so that a batch gives the same results as its samples alone
    random = [torch.rand(1, ranked.shape[1], generator=generator).to(ranked).expand_as(ranked) for _ in range(repeats)]
    follow = subject.as_scores.probabilities if measure == "probability" else _as_it_is
    own = [_curves(subject, x, order, targets, steps, fill, follow) for order in (ranked, *random)]
    chance = [torch.stack([one[side] for one in own[1:]]).mean(0) for side in (0, 1)]
    return Faithfulness(torch.linspace(0, 1, steps + 1), own[0][0], own[0][1], chance[0], chance[1])


def _as_it_is(scores: Tensor) -> Tensor:
    return scores


def _curves(
    subject: Subject,
    x: Tensor,
    worth: Tensor,
    targets: Tensor,
    steps: int,
    fill: float,
    follow: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Return the probabilities (or scores) [B, steps + 1] as pixels are covered and as they are uncovered, the highest
    first."""
    rank = worth.argsort(dim=1, descending=True, stable=True).argsort(1)
    pixels = rank.shape[1]
    shape = (len(x), *[1] * (x.dim() - 3), *x.shape[-2:]) if x.dim() > 2 else tuple(x.shape)
    gone, come = [], []
    for step in range(steps + 1):
        first = (rank < round(pixels * step / steps)).reshape(shape)
        gone.append(torch.where(first, fill, x))
        come.append(torch.where(first, x, fill))
    found = []
    for series in (gone, come):
        chances = [follow(subject.scores(one)).gather(1, targets[:, None])[:, 0] for one in series]
        found.append(torch.stack(chances, 1))
    return found[0], found[1]


def randomisation(
    subject: Subject, x: Tensor, make: Callable[[Subject], Maker], target: Target = None
) -> Randomisation:
    """Return how the maps change as the layers of a copy of the model are redrawn, last first, one after another.

    `make(subject)` returns the function that makes the maps. `randomise` describes what is drawn, and how; parts that
    the answer depends on and that could not be drawn are listed in `kept`. Raises `ConfigError` for a model without
    weights.
    """
    trace = subject.trace(x)
    targets = chosen_targets(target, subject.scores(x))
    first = make(subject)(x, targets)
    changed = subject.like_this(copy.deepcopy(subject.model))
    layers = Layers(trace, changed.model)
    if not layers.weights:
        kept = f" (kept: {', '.join(layers.kept)})" if layers.kept else ""
        raise ConfigError(f"{subject.name} calls no layer with weights; there is nothing to redraw{kept}")
    found = []
    for names in layers.weights.values():
        redraw(changed, names)
        found.append(rank_correlation(first, make(changed)(x, targets)))
    return Randomisation(tuple(path or subject.name for path in layers.weights), tuple(found), tuple(layers.kept))


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return the mean over samples of Spearman's correlation of magnitudes, on pixels where either is not zero."""
    found = []
    for a, b in zip(first.detach().abs().flatten(1), second.detach().abs().flatten(1), strict=True):
        kept = (a != 0) | (b != 0)
        if int(kept.sum()) < 3:
            continue
        ranks = torch.stack([_ranks(a[kept]), _ranks(b[kept])])
        if bool((ranks.std(1) == 0).any()):
            found.append(0.0)
            continue
        found.append(float(torch.corrcoef(ranks)[0, 1]))
    return sum(found) / len(found) if found else 0.0


def _ranks(values: Tensor) -> Tensor:
    """Return ranks; equal values share their mean rank."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    ranks: Tensor = (last - (counts - 1) / 2).double()[inverse]
    return ranks


def check(
    subject: Subject,
    x: Tensor,
    makers: Mapping[str, Callable[[Subject], Maker]],
    target: Target = None,
    *,
    measure: str = "probability",
) -> Evidence:
    """Return the `Evidence` for the methods of `makers` on the samples `x`; for `measure` see `deletion_insertion`."""
    targets = chosen_targets(target, subject.scores(subject.samples(x)))
    faithful, random = {}, {}
    for name, make in makers.items():
        maps = make(subject)(x, targets)
        faithful[name] = deletion_insertion(subject, x, maps, targets, magnitude=name in _UNSIGNED, measure=measure)
        random[name] = randomisation(subject, x, make, targets)
    return Evidence(faithful, random)
