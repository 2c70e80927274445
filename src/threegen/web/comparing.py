"""Compare models of the page on the same test images: the card of `tg.compare`, as tables for the page."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from threegen.cost.card import pair_rows, sections, shown, shown_ratio
from threegen.cost.compare import Comparison, compare_models
from threegen.cost.verdict import verdict
from threegen.datasets.dataset import Dataset
from threegen.web.lineup import PageModel

COUNTED = 20  # images over which memory and operations are averaged


def compare_members(members: Sequence[PageModel], test: Dataset, images: int) -> dict[str, Any]:
    """Return the comparison of at least two models on the first test images; copies are used, so the cards keep
    answering.

    `sections` have a title, a remark and lines of a label, texts by model and ratios by model; `verdict` has a `text`
    for each model but the reference, and its figures; `pairs` are the tests of all pairs. Raises what
    `compare_models` raises.
    """
    copies = {}
    for one in members:
        with one.lock:
            copies[one.name] = copy.deepcopy(one.model)
    found = compare_models(copies, test.take(images), counted=min(COUNTED, images), batch_size=100)
    return {
        "models": [one.name for one in members],
        "reference": found.reference,
        "images": images,
        "verdict": [
            {"text": str(said), "outcome": said.outcome, **_figures(found, said.model)} for said in verdict(found)
        ],
        "sections": [
            {
                "title": part.title,
                "remark": part.remark,
                "lines": [
                    {
                        "label": line.label,
                        "values": ["" if value is None else shown(value, line.form) for value in line.values],
                        "ratios": [shown_ratio(ratio) if ratio is not None else "" for ratio in line.ratios],
                    }
                    for line in part.lines
                ],
            }
            for part in sections(found)
        ],
        "pairs": [list(row) for row in pair_rows(found)],
    }


def _figures(found: Comparison, name: str) -> dict[str, Any]:
    """Return what a verdict's sentence is made of, for the page to say it in another language."""
    one, base, pair = found[name], found[found.reference], found.pair(name, found.reference)
    ratios = [one.counts[count] / base.counts[count] for count in found.counts if base.counts[count]]
    own, other = (pair.only_first, pair.only_second) if pair.first == name else (pair.only_second, pair.only_first)
    better = one.evaluation.correct > base.evaluation.correct
    return {
        "model": name,
        "accuracy": ("more" if better else "less") if pair.significant else "same",
        "operations": [shown_ratio(min(ratios)), shown_ratio(max(ratios))] if ratios else ["–", "–"],
        "memory": shown_ratio(one.bill.memory["total"] / base.bill.memory["total"]),
        "accuracies": [one.evaluation.accuracy, base.evaluation.accuracy],
        "alone": [own, other],
        "p": pair.p,
    }
