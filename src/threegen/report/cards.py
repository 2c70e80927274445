"""One model's card in the report: everything that its section of the page shows, as drawings and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from threegen.plots import (
    Series,
    contact_sheet,
    data_uri,
    heat_table,
    ink_picture,
    line_chart,
    png,
    raster,
    shown_rows,
    weight_picture,
)
from threegen.report import words
from threegen.report.explanations import explanations_view
from threegen.report.figures import marker
from threegen.report.results import Filters, HistoryResult, Insides, Mistake, ModelResult, Raster
from threegen.report.twins import price_of_spikes

SHEET_ABOVE = 16
MOST_FRAMES = 10
MEMORY_COLUMNS = ("memory beside weights", "memory")
TRACE_COLOURS = ("var(--accent,#94307a)", "var(--ink,#1d1c1a)", "var(--soft,#6b6862)")


def model_view(model: ModelResult, history: HistoryResult) -> dict[str, Any]:
    """Return what the template shows of one model."""
    inside = model.insides or Insides()
    classes = _class_names(history, inside)
    badge = f'<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">{marker(model.generation, 8, 8)}</svg>'
    return {
        "model": model,
        "mark": Markup(badge),
        "about": model.about or f"A net of the generation of {words.GENERATIONS[model.generation]}.",
        "memory": words.total_memory(model),
        "arithmetic": words.arithmetic(model),
        "cost_remark": price_of_spikes(model, history.models),
        "curves": _curves(model, inside),
        "curve_remark": _curve_remark(inside),
        "confusion": _confusion(model, inside, classes),
        "confusion_remark": _confused_pairs(inside, classes),
        "mistakes": [_mistake(one, classes) for one in inside.mistakes],
        "filters": _filters(model, inside.filters),
        "explanations": explanations_view(model.title, inside, classes),
        "raster": _raster(model, inside.raster, classes),
        "bill": _bill(inside),
        "kinds": _kinds(model),
        "settings": [(words.kind_label(name), words.figure(value)) for name, value in model.settings.items()],
    }


def _kinds(model: ModelResult) -> list[tuple[str, str]]:
    """Return memory and operations by kind, each as one sentence."""
    memory = [f"{words.kind_label(kind)} {words.size_of(count)}" for kind, count in model.memory.items() if count]
    memory = [said for said in memory if not said.startswith("total ")]
    operations = [f"{column} {words.compact(count)}" for column, count in words.by_column(model.operations).items()]
    return [(what, ", ".join(said)) for what, said in (("Memory", memory), ("Operations", operations)) if said]


def _class_names(history: HistoryResult, inside: Insides) -> tuple[str, ...]:
    number = 0 if inside.confusion is None else len(inside.confusion)
    return history.classes if len(history.classes) >= number > 0 else tuple(str(label) for label in range(number))


def _name(classes: tuple[str, ...], label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else str(label)


def _curves(model: ModelResult, inside: Insides) -> list[dict[str, Any]]:
    """Return one small chart per figure, over the epochs; none if there was only one epoch."""
    wanted = (
        ("Training loss", (("train_loss", "training"), ("validation_loss", "validation")), "{:g}"),
        ("Mistakes while learning", (("mistakes", "share of the examples"),), "{:g}\u00a0%"),
        ("Accuracy", (("train_accuracy", "training"), ("validation_accuracy", "validation")), "{:g}\u00a0%"),
    )
    charts = []
    for caption, lines, shape in wanted:
        scale = 100.0 if "%" in shape else 1.0
        series: list[Series] = []
        for key, name in lines:
            points = [(epoch["epoch"], scale * epoch[key]) for epoch in inside.curves if epoch.get(key) is not None]
            points = [(x, y) for x, y in points if np.isfinite(y)]
            if len(points) > 1:
                colour = TRACE_COLOURS[min(len(series), 1)]
                series.append(Series(name, [x for x, _ in points], [y for _, y in points], colour))
        if series:
            said = ", ".join(f"{one.name} from {one.y[0]:.4g} to {one.y[-1]:.4g}" for one in series)
            title = f"{model.title}: {caption.lower()} over {len(series[0].x)} epochs, {said}"
            which = f" ({series[0].name})" if len(series) == 1 and "loss" not in caption else ""
            chart = line_chart(series, title=title, x_label="epoch", y_format=shape)
            charts.append({"caption": caption + which, "svg": Markup(chart)})
    return charts


def _curve_remark(inside: Insides) -> str:
    """Return a remark on the training: why there is no curve, if so, and how long an epoch took."""
    if not inside.curves:
        return ""
    seconds = [float(epoch["seconds"]) for epoch in inside.curves if epoch.get("seconds") is not None]
    took = f"An epoch took {words.duration(sum(seconds) / len(seconds))}." if seconds else ""
    if len(inside.curves) == 1 and inside.curves[0].get("train_loss") is not None:
        return f"One epoch only, so there is no curve; its mean loss was {inside.curves[0]['train_loss']:.4g}. {took}"
    return took


def _confusion(model: ModelResult, inside: Insides, classes: tuple[str, ...]) -> Markup | None:
    if inside.confusion is None:
        return None
    labels = classes[: len(inside.confusion)]
    title = f"Confusion matrix of {model.title}. {_confused_pairs(inside, classes)}"
    return Markup(heat_table(inside.confusion, labels, title=title))


def _confused_pairs(inside: Insides, classes: tuple[str, ...], most: int = 3) -> str:
    """Return the most frequent mistakes as a sentence."""
    if inside.confusion is None:
        return ""
    table = np.array(inside.confusion)
    np.fill_diagonal(table, 0)
    order = np.argsort(-table, axis=None, kind="stable")[:most]
    pairs = [(int(cell // len(table)), int(cell % len(table))) for cell in order if table.flat[cell] > 0]
    if not pairs:
        return "No mistakes at all."
    said = [
        f"{_name(classes, truth)} answered as {_name(classes, answer)} ({table[truth, answer]} times)"
        for truth, answer in pairs
    ]
    return f"Most often: {', '.join(said)}."


def _mistake(one: Mistake, classes: tuple[str, ...]) -> dict[str, Any]:
    truth, answer = _name(classes, one.truth), _name(classes, one.answer)
    return {
        "src": data_uri(ink_picture(one.image)),
        "alt": f"Test picture {one.index}: a {truth}, answered {answer}",
        "truth": truth,
        "answer": answer,
        "confidence": words.percent(one.confidence, 0),
    }


def _filters(model: ModelResult, filters: Filters | None) -> dict[str, Any] | None:
    """Return the first weights: one picture per unit if there are few, else one sheet."""
    if filters is None or not len(filters.pictures):
        return None
    shown, height = len(filters.pictures), filters.pictures.shape[1]
    view: dict[str, Any] = {"layer": filters.layer, "shown": shown, "total": filters.total, "sheet": "", "units": []}
    if shown > SHEET_ABOVE:
        sheet = contact_sheet(filters.pictures, columns=10, gap=max(1, height // 14), diverging=True)
        view["sheet"] = data_uri(sheet)
        view["alt"] = f"{model.title}: weights into {shown} units of {filters.layer} as pictures"
    else:
        view["units"] = [
            {"name": name, "src": data_uri(weight_picture(picture)), "alt": f"Weights into {name}"}
            for name, picture in zip(filters.names, filters.pictures, strict=True)
        ]
    return view


def _raster(model: ModelResult, look: Raster | None, classes: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the activity of a spiking net for one picture: its input, its spikes, three potentials."""
    if look is None:
        return None
    layers = []
    for layer in look.layers:
        steps, neurons = layer.spikes.shape
        spikes, fired = int(layer.spikes.sum()), int(layer.spikes.any(0).sum())
        said = f"{spikes:,} spikes from {fired:,} of {neurons:,} neurons in {steps} time steps"
        drawn = len(shown_rows(neurons, 100))
        layers.append(
            {
                "name": layer.name,
                "said": said + (f"; {drawn} neurons drawn, evenly spaced" if drawn < neurons else ""),
                "svg": Markup(raster(layer.spikes, title=f"{model.title}, {layer.name}: {said}", labels=layer.labels)),
            }
        )
    return {
        "truth": _name(classes, look.truth),
        "answer": _name(classes, look.answer),
        "right": look.truth == look.answer,
        "image": data_uri(ink_picture(look.image)),
        "frames": _frames(look),
        "steps": len(look.layers[0].spikes) if look.layers else 0,
        "columns": [column for column in (layers[:-1], layers[-1:]) if column],
        "membranes": _membranes(model, look),
    }


def _frames(look: Raster) -> list[dict[str, Any]]:
    """Return the encoded input, one small picture per time step, at most ten."""
    if look.encoded is None:
        return []
    chosen = shown_rows(len(look.encoded), MOST_FRAMES)
    return [
        {
            "step": step + 1,
            "src": data_uri(png(np.where(look.encoded[step], 20, 255).astype(np.uint8))),
            "alt": f"Time step {step + 1}: {int(look.encoded[step].sum())} input spikes",
        }
        for step in chosen
    ]


def _membranes(model: ModelResult, look: Raster) -> Markup | None:
    if not look.membranes or len(look.membranes[0].potential) < 2:
        return None
    series = [
        Series(one.name, list(range(1, len(one.potential) + 1)), one.potential.tolist(), colour, dash=dash)
        for one, colour, dash in zip(look.membranes, TRACE_COLOURS, ("", "", "5 3"), strict=False)
    ]
    level = None if look.threshold is None else (look.threshold, "threshold")
    names = ", ".join(one.name for one in look.membranes)
    title = f"{model.title}: membrane potentials of the output neurons {names}"
    return Markup(line_chart(series, title=title, x_label="time step", level=level))


def _bill(inside: Insides) -> dict[str, Any] | None:
    """Return the columns and rows of the cost report, numbers right-aligned, and a last row with the totals."""
    if not inside.bill_rows:
        return None
    flat = [_bill_row(row) for row in inside.bill_rows]
    used = [*dict.fromkeys(name for row in flat for name in row)]
    order = [column for column in words.COLUMNS if column in used]
    place = next((number for number, name in enumerate(used) if name in order), 0)
    columns = [*(name for name in used[:place] if name not in order), *order]
    columns += [name for name in used[place:] if name not in columns]
    columns = [name for name in columns if any(row.get(name) not in (None, "") for row in flat)]
    numeric = {name for name in columns if all(_is_number(row.get(name, 0)) for row in flat)}
    total = {name: sum(row.get(name) or 0 for row in flat) for name in numeric}
    if len(flat) > 1:
        flat.append({columns[0]: "all layers", **total})
    rows = [[{"text": _bill_cell(name, row.get(name)), "number": name in numeric} for name in columns] for row in flat]
    return {"columns": columns, "rows": rows, "numeric": [name in numeric for name in columns], "summed": len(flat) > 1}


def _bill_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of a cost report with one column per kind of operation and the sum of its memory."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "operations" and isinstance(value, Mapping):
            flat.update(words.by_column(value))
        elif name == "memory" and isinstance(value, Mapping):
            column = MEMORY_COLUMNS["weights" in value]
            flat[column] = sum(count for kind, count in value.items() if kind != "total")
        elif value is not None:
            flat["layer" if name == "name" else words.kind_label(name)] = value
    return flat


def _bill_cell(column: str, value: object) -> str:
    if _is_number(value) and isinstance(value, int | float):
        return words.size_of(value) if column in MEMORY_COLUMNS else words.whole(value)
    return words.figure(value) if value is not None else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
