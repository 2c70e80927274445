"""Numbers in readable form, and sentences about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from threegen.cost.bill import NEURON_UPDATES
from threegen.report.results import HistoryResult, ModelResult

GENERATIONS = {
    1: "units that fire or stay silent",
    2: "units with graded answers, trained along a gradient",
    3: "units that exchange spikes in time",
}

# The number of additions and multiplications in each kind of operation; other kinds are shown but never summed.
ARITHMETIC = {"mac": 2.0, "ac": 1.0, "mul": 1.0, "add": 1.0}

# The columns of the comparison and of the cost reports, and the kinds of operation that each sums.
COLUMNS: dict[str, tuple[str, ...]] = {
    "multiply-accumulates": ("mac",),
    "with non-zero input": ("mac_nonzero",),
    "accumulates": ("ac",),
    "other additions and multiplications": ("add", "mul"),
    "neuron updates": ("neuron_updates", *NEURON_UPDATES),
    "comparisons": ("compare",),
    "function values": ("function",),
    "random draws": ("draw",),
}
COMPARED = ("multiply-accumulates", "accumulates", "neuron updates")

SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def percent(share: float, digits: int = 2) -> str:
    """Return a fraction as per cent, `98.93 %`; never rounded up to 100 % or down to 0 %."""
    text = f"{100 * share:.{digits}f}"
    if text == f"{100:.{digits}f}" and share < 1.0:
        text = f"{math.floor(share * 100 * 10**digits) / 10**digits:.{digits}f}"
    return f"{text}\u00a0%"


def interval(low: float, high: float) -> str:
    """Return an interval of fractions, `98.71 to 99.11 %`."""
    return f"{100 * low:.2f} to {100 * high:.2f}\u00a0%"


def whole(number: float) -> str:
    """Return a count with thousands separated, `61,706`."""
    return f"{round(number):,}"


def compact(number: float) -> str:
    """Return a number with three digits, `15.7 k`, `2.41 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            return f"{number / size:#.3g}\u00a0{unit}".replace(".\u00a0", "\u00a0")
    return f"{number:.3g}" if number != round(number) else str(round(number))


def spoken(number: float) -> str:
    """Return a number for a sentence, `2.41 million`."""
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if number >= size:
            return f"{number / size:.3g}\u00a0{unit}"
    return whole(float(f"{number:.3g}"))


def size_of(count: float) -> str:
    """Return bytes in kB or MB of 1,000 and 1,000,000 bytes."""
    if count == 0:
        return "0"
    if count < 1000:
        return f"{round(count)}\u00a0bytes"
    return (
        f"{count / 1e3:#.3g}\u00a0kB".replace(".\u00a0", "\u00a0") if count < 999_500 else f"{count / 1e6:.2f}\u00a0MB"
    )


def duration(seconds: float) -> str:
    """Return a time, `0.8 s`, `48 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest}\u00a0s"
    return f"{minutes}\u00a0min {rest}\u00a0s" if minutes < 60 else f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def times(ratio: float) -> str:
    """Return a ratio for a sentence, `2.6`, `14`."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def kind_label(kind: str) -> str:
    """Return the name of a kind or a setting as it is printed."""
    return kind.replace("_", " ")


def figure(value: Any) -> str:
    """Return one cell of a cost report, or one setting, as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return whole(value) if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{kind_label(str(name))} {figure(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "\u00a0\u00d7\u00a0".join(figure(part) for part in value)
    return "\u2013" if value is None or value == "" else str(value)


def by_column(operations: Mapping[str, float]) -> dict[str, float]:
    """Return the operations summed by `COLUMNS`, unknown kinds under their own names; no zeros."""
    named = {kind for kinds in COLUMNS.values() for kind in kinds}
    sums = {column: sum(operations.get(kind, 0.0) for kind in kinds) for column, kinds in COLUMNS.items()}
    sums.update({kind_label(kind): count for kind, count in operations.items() if kind not in {*named, "total"}})
    return {column: count for column, count in sums.items() if count}


def total_memory(model: ModelResult) -> float:
    """Return the bytes of one sample, all kinds together."""
    return model.memory["total"] if "total" in model.memory else sum(model.memory.values())


def arithmetic(model: ModelResult) -> float | None:
    """Return the additions and multiplications of an answer (a multiply-accumulate is two), None if they were not
    counted."""
    if "total" in model.compute:
        return model.compute["total"]
    known = [ARITHMETIC[kind] * count for kind, count in model.operations.items() if kind in ARITHMETIC]
    return sum(known) if known else None


def skipping_zeros(model: ModelResult) -> float | None:
    """Return the same without the multiply-accumulates whose input is zero, None if these were not counted."""
    dense = arithmetic(model)
    if dense is None or "mac" not in model.operations or "mac_nonzero" not in model.operations:
        return None
    return dense - 2 * (model.operations["mac"] - model.operations["mac_nonzero"])


def headline(history: HistoryResult) -> str:
    """Return the title: the number of nets, their years and the data."""
    models = history.models
    number = SMALL[len(models)].capitalize() if len(models) < len(SMALL) else str(len(models))
    if not models:
        return "No neural network was trained"
    years = sorted({model.year for model in models})
    when = f"from {years[0]} to {years[-1]}" if len(years) > 1 else f"of {years[0]}"
    noun = "neural network" if len(models) == 1 else "neural networks"
    return f"{number} {noun} {when}, trained on {data_title(history)}"


def data_title(history: HistoryResult) -> str:
    """Return the usual written name of the data."""
    name = str(history.data.get("name", "the data"))
    return {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}.get(name, name)


def verdict(history: HistoryResult) -> list[tuple[str, str]]:
    """Return the conclusions over all models: pairs of a topic and a sentence."""
    ranked = sorted(history.models, key=lambda model: -model.accuracy)
    if not ranked:
        return [("Nothing", "No model was trained, so there is nothing to compare.")]
    best = ranked[0]
    said = [
        (
            "Most accurate",
            f"{best.title}: {whole(best.correct)} of {whole(best.count)} unseen pictures right, "
            f"{percent(best.accuracy)} (95\u00a0% interval {interval(*best.interval)}).",
        )
    ]
    if len(ranked) > 1:
        second = ranked[1]
        settled = (
            "Their intervals overlap, so this one test does not settle which is better."
            if second.interval[1] >= best.interval[0]
            else "Their intervals do not overlap."
        )
        said.append(("Runner-up", f"{second.title}, {percent(second.accuracy)}. {settled}"))
    billed = [model for model in history.models if arithmetic(model)]
    if len(billed) > 1:
        least = min(billed, key=lambda model: arithmetic(model) or 0.0)
        cost = f"{spoken(arithmetic(least) or 0)} additions and multiplications per picture"
        said.append(("Cheapest answer", f"{least.title}: {cost}, {percent(least.accuracy)} right."))
    return said


def limits(history: HistoryResult) -> list[str]:
    """Return the limits of the report, in plain sentences."""
    said = [
        f"One run with seed {history.seed}. Another seed gives other weights and changes the figures by a few tenths "
        f"of a percentage point; the interval covers the choice of test pictures, not the choice of the seed.",
        "The operations are counted, not measured. Moving numbers in and out of memory often costs more energy than "
        "adding them and is not counted; nor are pooling, activation functions and the encoding of the input, unless "
        "the cost report lists them.",
        "Training times depend on this machine and on its load.",
        "A confidence is the softmax share of the scores. It is a probability only for nets that were trained to give "
        "one.",
        f"One data set, {data_title(history)}. A net that classifies these pictures well may fail on yours.",
    ]
    if history.mode == "quick":
        said.insert(0, "This was a quick run: fewer epochs than in the papers, so the figures are lower than theirs.")
    if any(model.generation == 3 for model in history.models):
        said.append(
            "Spikes are drawn at random for each picture. With other draws, a spiking net may answer differently for "
            "pictures near the border between two classes."
        )
    return said
