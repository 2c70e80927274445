"""The report: one HTML file that contains its style, pictures and data, and loads nothing from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from threegen.errors import DataError
from threegen.report import words
from threegen.report.cards import model_view
from threegen.report.figures import Point, cost_scatter, interval_strip, marker
from threegen.report.results import HistoryResult, ModelResult
from threegen.report.templates import embedded, environment, style
from threegen.report.twins import price_of_spikes
from threegen.training.persistence.files import write_whole

MOST_BYTES = 5_000_000


def write_report(history: HistoryResult, path: Path | str) -> Path:
    """Write the report to `path` (beside it first, then moved into place) and return the path.

    Raises `DataError` if the page would exceed 5 MB, `CheckpointError` if it cannot be written.
    """
    target = Path(path)
    page = render_report(history)
    size = len(page.encode())
    if size > MOST_BYTES:
        raise DataError(f"the report of {len(history.models)} models has {size:,} bytes, more than {MOST_BYTES:,}")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, page)
    return target


def render_report(history: HistoryResult) -> str:
    """Return the report as one HTML page: the same text for the same history.

    The page needs no script, no font and no address from outside. Its numbers are also stored as JSON in the element
    `threegen-results`: `{"results": ..., "insides": {model: ...}}`.
    """
    names = [model.name for model in history.models]
    if len(set(names)) != len(names):
        raise DataError(f"two models of the report have the same name: {', '.join(sorted(names))}")
    return (
        environment()
        .get_template("report.html")
        .render(
            style=style("report.css"),
            history=history,
            title=words.headline(history),
            data_title=words.data_title(history),
            verdict=[*words.verdict(history), *_prices(history)],
            numbers=_main_numbers(history),
            generations=_generations(history),
            table=_table(history),
            scatter=_scatter(history),
            counting_rules=_counting_rules(history),
            models=[model_view(model, history) for model in history.models],
            limits=words.limits(history),
            payload=_payload(history),
        )
    )


def _prices(history: HistoryResult) -> list[tuple[str, str]]:
    """Return the price of spikes for each spiking model, as lines of the verdict."""
    said = [(model.title, price_of_spikes(model, history.models)) for model in history.models]
    return [("Price of spikes", f"{title}: {sentence}") for title, sentence in said if sentence]


def _main_numbers(history: HistoryResult) -> list[dict[str, str]]:
    """Return the five figures under the verdict: what it is, the figure, a remark."""
    models = history.models
    if not models:
        return []
    best = max(models, key=lambda model: model.accuracy)
    leanest = min(models, key=words.total_memory)
    numbers = [
        {"what": "best accuracy", "figure": words.percent(best.accuracy), "remark": best.title},
        {
            "what": "smallest memory",
            "figure": words.size_of(words.total_memory(leanest)),
            "remark": f"{leanest.title}, {words.whole(leanest.parameters)} parameters",
        },
    ]
    costs = [cost for model in models if (cost := words.arithmetic(model))]
    if costs:
        span = words.compact(min(costs)), words.compact(max(costs))
        numbers.append(
            {
                "what": "operations per picture",
                "figure": span[0] if span[0] == span[1] else f"{span[0]} \u2013 {span[1]}",
                "remark": "additions and multiplications" + (", least to most" if span[0] != span[1] else ""),
            }
        )
    numbers.append(
        {
            "what": "training, all models",
            "figure": words.duration(sum(model.seconds for model in models)),
            "remark": f"on {history.threads} thread{'s' if history.threads != 1 else ''}",
        }
    )
    numbers.append(
        {
            "what": "test pictures",
            "figure": words.whole(history.data.get("test", best.count)),
            "remark": "read once, at the end",
        }
    )
    return numbers


def _generations(history: HistoryResult) -> list[dict[str, Any]]:
    """Return the legend: each generation in the report, with its mark."""
    present = sorted({model.generation for model in history.models})
    return [
        {
            "number": number,
            "means": words.GENERATIONS[number],
            "mark": Markup(
                f'<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{marker(number, 8, 8)}</svg>'
            ),
        }
        for number in present
    ]


def _point(model: ModelResult) -> Point:
    cost = words.arithmetic(model) or 0.0
    return Point(model.title, cost, model.accuracy, model.interval, model.generation)


def _table(history: HistoryResult) -> dict[str, Any]:
    """Return the comparison: one row per model, one column for each kind of operation that any model has."""
    models = history.models
    counts = {model.name: words.by_column(model.operations) for model in models}
    operations = [column for column in words.COMPARED if any(column in counts[model.name] for model in models)]
    low = np.floor(max(0.0, min((model.interval[0] for model in models), default=0.0) - 0.005) * 50) / 50
    most_memory = max((words.total_memory(model) for model in models), default=1.0) or 1.0
    most_parameters = max((model.parameters for model in models), default=1) or 1
    most = {
        column: max((counts[model.name].get(column, 0.0) for model in models), default=1.0) for column in operations
    }
    slowest = max((model.seconds for model in models), default=1.0) or 1.0
    rows = [
        {
            "model": model,
            "strip": Markup(interval_strip(_point(model), float(low), 1.0)),
            "parameters": 100 * model.parameters / most_parameters,
            "memory": words.total_memory(model),
            "memory_share": 100 * words.total_memory(model) / most_memory,
            "memory_kinds": [
                (words.kind_label(kind), count) for kind, count in model.memory.items() if kind != "total" and count
            ],
            "operations": [
                (counts[model.name].get(column, 0.0), 100 * counts[model.name].get(column, 0.0) / most[column])
                for column in operations
            ],
            "seconds": 100 * model.seconds / slowest,
        }
        for model in models
    ]
    return {"operations": operations, "rows": rows, "low": words.percent(low, 0)}


def _scatter(history: HistoryResult) -> Markup | None:
    """Return accuracy against cost, if at least two models have a cost report."""
    points = [_point(model) for model in history.models if words.arithmetic(model)]
    if len(points) < 2:
        return None
    said = "; ".join(f"{point.name} {words.percent(point.accuracy)} at {words.compact(point.cost)}" for point in points)
    return Markup(cost_scatter(points, title=f"Accuracy against operations for one picture: {said}"))


def _counting_rules(history: HistoryResult) -> list[tuple[str, str]]:
    """Return each counting rule of the cost reports, with the titles of the models that it applies to."""
    rules: dict[str, list[str]] = {}
    for model in history.models:
        if model.insides is not None and model.insides.counting_rule:
            rules.setdefault(model.insides.counting_rule, []).append(model.title)
    return [("" if len(rules) == 1 else ", ".join(titles), rule) for rule, titles in rules.items()]


def _payload(history: HistoryResult) -> Markup:
    """Return the page's data as JSON that cannot close its own script element."""
    insides = {}
    for model in history.models:
        inside = model.insides
        if inside is None:
            continue
        insides[model.name] = {
            "curves": [dict(epoch) for epoch in inside.curves],
            "confusion": None if inside.confusion is None else np.asarray(inside.confusion).tolist(),
            "mistakes": [
                {"index": one.index, "truth": one.truth, "answer": one.answer, "confidence": round(one.confidence, 6)}
                for one in inside.mistakes
            ],
            "bill": [dict(row) for row in inside.bill_rows],
            "counting_rule": inside.counting_rule,
        }
    return embedded({"results": history.as_dict(), "insides": insides})
