"""The page of a comparison: the results of a `Comparison` as drawings and text."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from threegen.cost.card import Line, Section, as_dict, pair_rows, rules, sections, shown, shown_ratio
from threegen.cost.compare import Compared, Comparison
from threegen.cost.verdict import verdict
from threegen.report import words
from threegen.report.figures import Point, cost_scatter, interval_strip, marker
from threegen.report.templates import embedded, environment, style

LIMITS = (
    "Each model is one training with one seed. The interval and the test cover the choice of the test examples, not "
    "the choice of the seed: another seed changes the accuracies by some tenths of a percentage point.",
    "The operations are counted, not measured. To skip products with zeros, hardware must find the zeros, and to add "
    "up spikes it must route them; neither is in the count.",
    "Operations that depend on the input are the mean over the examples that were counted; other examples give other "
    "means.",
    "Energy figures are estimates from published tables for hardware that this model was not run on.",
)


def render_card(found: Comparison) -> str:
    """Return the card as one HTML page: the same text for the same comparison.

    The page needs no script, no font and no address from outside. Its numbers are also stored as JSON in the element
    `threegen-comparison`.
    """
    blocks = sections(found)
    names = [one.name for one in found.models]
    return (
        environment()
        .get_template("comparison.html")
        .render(
            style=style("report.css", "comparison.css"),
            title=f"{', '.join(names[:-1])} and {names[-1]}, compared on {found.data['name']}",
            found=found,
            models=[_head(one) for one in found.models],
            verdict=verdict(found),
            numbers=_main_numbers(found),
            sections=[
                _section(found, block) for block in blocks if block.title != "Accuracy" and "Energy" not in block.title
            ],
            energy=[_section(found, block) for block in blocks if "Energy" in block.title],
            pairs=pair_rows(found),
            scatter=_scatter(found),
            strips=_strips(found),
            rules=rules(found),
            limits=LIMITS,
            payload=embedded(as_dict(found)),
        )
    )


def _generation(one: Compared) -> int:
    """Return the generation whose mark and color a model is drawn with: 3 with spiking neurons, else 2."""
    return 3 if one.bill.spiking else 2


def _head(one: Compared) -> dict[str, Any]:
    mark = f'<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">{marker(_generation(one), 8, 8)}</svg>'
    return {"name": one.name, "kind": one.kind, "mark": Markup(mark), "generation": _generation(one)}


def _main_numbers(found: Comparison) -> list[dict[str, str]]:
    """Return the figures under the verdict: what it is, the figure, a remark."""
    best = max(found.models, key=lambda one: one.evaluation.accuracy)
    fewest = min(found.models, key=lambda one: one.counts["all"])
    skipping = min(found.models, key=lambda one: one.counts["all_nonzero"])
    smallest = min(found.models, key=lambda one: one.bill.memory["total"])
    return [
        {"what": "best accuracy", "figure": words.percent(best.evaluation.accuracy), "remark": best.name},
        {"what": "fewest operations", "figure": words.compact(fewest.counts["all"]), "remark": fewest.name},
        {
            "what": "fewest, zeros skipped",
            "figure": words.compact(skipping.counts["all_nonzero"]),
            "remark": skipping.name,
        },
        {
            "what": "smallest memory",
            "figure": words.size_of(smallest.bill.memory["total"]),
            "remark": smallest.name,
        },
        {"what": "test examples", "figure": words.whole(found.data["count"]), "remark": str(found.data["name"])},
    ]


def _section(found: Comparison, block: Section) -> dict[str, Any]:
    return {"title": block.title, "remark": block.remark, "rows": [_row(found, line) for line in block.lines]}


def _row(found: Comparison, line: Line) -> dict[str, Any]:
    numbers = [value for value in line.values if isinstance(value, int | float)]
    most = max(numbers, default=0)
    barred = line.form in ("count", "bytes", "joules") and most > 0 and bool(line.ratios)
    cells = []
    for place, value in enumerate(line.values):
        ratio = line.ratios[place] if line.ratios and found.models[place].name != found.reference else None
        cells.append(
            {
                "text": shown(value, line.form).replace(" %", "\u00a0%"),
                "ratio": shown_ratio(ratio),
                "share": 100 * value / most if barred and value else None,
                "none": value is None or value == 0,
            }
        )
    return {"label": line.label, "cells": cells, "ratios": any(line.ratios)}


def _point(one: Compared) -> Point:
    return Point(one.name, one.counts["layers"], one.evaluation.accuracy, one.evaluation.interval, _generation(one))


def _scatter(found: Comparison) -> Markup:
    """Return accuracy against additions and multiplications, dense."""
    points = [_point(one) for one in found.models]
    said = "; ".join(f"{one.name} {words.percent(one.accuracy)} at {words.compact(one.cost)}" for one in points)
    return Markup(
        cost_scatter(
            points, title=f"Accuracy against operations: {said}", x_label="additions and multiplications of one answer"
        )
    )


def _strips(found: Comparison) -> dict[str, Any]:
    """Return each accuracy with its interval, all on one axis."""
    lowest = min(one.evaluation.interval[0] for one in found.models)
    low = max(0.0, int((lowest - 0.005) * 50) / 50)
    strips = [Markup(interval_strip(_point(one), low, 1.0, size=(260, 18))) for one in found.models]
    return {"low": words.percent(low, 0), "drawn": strips}
