"""Show a comparison as tables, text, HTML for notebooks and plain data."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from threegen.cost.compare import COUNTS, Compared, Comparison
from threegen.cost.energy_tables import EnergyTable
from threegen.cost.verdict import VERDICT_RULE, verdict
from threegen.tables import html_table, text_table


@dataclass(frozen=True)
class Line:
    """One quantity of all models: `values` in the order of the models, None if it does not apply.

    `form` says how to print it: "share", "count", "bytes", "joules" or "text". `ratios` are to the reference, None if
    there is none.
    """

    label: str
    values: tuple[Any, ...]
    form: str = "count"
    ratios: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Section:
    """Some lines under a heading, and a remark."""

    title: str
    lines: tuple[Line, ...]
    remark: str = ""


def sections(found: Comparison) -> tuple[Section, ...]:
    """Return all numbers of the card, section by section."""
    return (_accuracy(found), _memory(found), _compute(found), _events(found), *_energy(found))


def _line(
    found: Comparison, label: str, of: Callable[[Compared], Any], form: str = "count", *, ratio: bool = True
) -> Line:
    values = tuple(of(one) for one in found.models)
    if not ratio:
        return Line(label, values, form)
    base = of(found[found.reference])
    return Line(label, values, form, tuple(_ratio(value, base) for value in values))


def _ratio(value: float | None, base: float | None) -> float | None:
    if value is None or not base:
        return None
    return value / base


def _accuracy(found: Comparison) -> Section:
    def interval(one: Compared) -> str:
        low, high = one.evaluation.interval
        return f"{100 * low:.2f} to {100 * high:.2f} %"

    lines = [
        _line(found, "accuracy", lambda one: one.evaluation.accuracy, "share", ratio=False),
        _line(found, "95 % interval (Wilson)", interval, "text", ratio=False),
        _line(found, "right answers", lambda one: one.evaluation.correct, ratio=False),
    ]
    if any(one.evaluation.undecided for one in found.models):
        lines.append(_line(found, "undecided (all scores equal)", lambda one: one.evaluation.undecided, ratio=False))
    return Section("Accuracy", tuple(lines))


def _memory(found: Comparison) -> Section:
    named = {
        "weights": "weights M_w",
        "activations": "activations M_a",
        "potentials": "membrane potentials M_p",
        "spikes": "spikes M_s",
        "total": "all memory",
    }
    lines = [_line(found, "parameters", lambda one: one.bill.parameters)]
    for kind, label in named.items():
        lines.append(_line(found, label, lambda one, kind=kind: one.bill.memory[kind], "bytes"))  # type: ignore[misc]
    return Section("Memory of one answer, in bytes", tuple(lines))


def _compute(found: Comparison) -> Section:
    kinds: dict[str, Callable[[Compared], float]] = {
        "multiplications C_mul": lambda one: one.bill.compute["multiplications"],
        "additions C_add": lambda one: one.bill.compute["additions"],
        "multiply-accumulates (MAC, in both lines above)": lambda one: one.bill.operations.get("mac", 0),
        "multiply-accumulates with a non-zero input": lambda one: one.bill.operations.get("mac_nonzero", 0),
        "accumulates (AC, one per spike and connection)": lambda one: one.bill.operations.get("ac", 0),
        "accumulates for pooled spikes one by one (instead of MACs)": lambda one: one.bill.operations.get("ac_each", 0),
        "neuron updates": lambda one: one.bill.compute["neuron_updates"],
        "encoder": lambda one: one.bill.compute["encoder"],
        "comparisons": lambda one: one.bill.compute["comparisons"],
        "function values": lambda one: one.bill.compute["functions"],
    }
    lines = [_line(found, label, of) for label, of in kinds.items() if any(of(one) for one in found.models)]
    labels = {
        "layers": "C_mul + C_add, dense",
        "layers_nonzero": "C_mul + C_add, zero inputs skipped",
        "synaptic": "synaptic operations (MAC + AC), dense",
        "synaptic_nonzero": "synaptic operations, zero inputs skipped",
        "events": "synaptic operations, pooled spikes one by one",
        "events_nonzero": "the same, zero inputs skipped",
        "all": "all operations, dense",
        "all_nonzero": "all operations, zero inputs skipped",
    }
    for name in found.counts:
        lines.append(_line(found, labels[name], lambda one, name=name: one.counts[name]))  # type: ignore[misc]
    least = [one.name for one in found.models if not one.bill.complete]
    remark = f"At least, for {', '.join(least)}: some functions have no price." if least else ""
    return Section(f"Operations of one answer, the mean of {found.counted:,} examples", tuple(lines), remark)


def _events(found: Comparison) -> Section:
    def only_spiking(of: Callable[[Compared], Any]) -> Callable[[Compared], Any]:
        return lambda one: of(one) if one.bill.spiking else None

    lines = [
        _line(found, "time steps T", lambda one: one.bill.steps, ratio=False),
        _line(found, "spikes of the neurons", only_spiking(lambda one: one.spikes), ratio=False),
        _line(found, "spikes of the encoder", only_spiking(lambda one: one.encoder_spikes), ratio=False),
        _line(found, "encoder's share of all operations", lambda one: one.encoder_share, "share", ratio=False),
    ]
    return Section("Time and spikes", tuple(lines))


def _energy(found: Comparison) -> list[Section]:
    """Return one section for each energy table, always called an estimate."""
    return [_energy_of(found, place, table) for place, table in enumerate(found.tables)]


def _energy_of(found: Comparison, place: int, table: EnergyTable) -> Section:
    lines = [_line(found, "compute, dense", lambda one: one.energy[place].compute, "joules")]
    if any(one.energy[place].compute_nonzero != one.energy[place].compute for one in found.models):
        lines.append(
            _line(found, "compute, zero inputs skipped", lambda one: one.energy[place].compute_nonzero, "joules")
        )
    if table.byte is not None:
        lines += [
            _line(found, "memory traffic, at least", lambda one: one.energy[place].memory_least, "joules"),
            _line(found, "memory traffic, at most", lambda one: one.energy[place].memory_most, "joules"),
        ]
    why = dict.fromkeys(one.energy[place].why for one in found.models if one.energy[place].why)
    said = [f"{', '.join(one.name for one in found.models if one.energy[place].why == text)}: {text}" for text in why]
    remark = "; ".join(text for text in (table.note, *said) if text)
    return Section(f"Energy estimate: {table.title}", tuple(lines), remark)


# -- text --------------------------------------------------------------------------------------------------------------
def shown(value: Any, form: str) -> str:
    """Return one value as it is printed."""
    if value is None:
        return "–"
    if form == "text":
        return str(value)
    if form == "share":
        return f"{100 * value:.2f} %"
    if form == "joules":
        return _joules(value)
    return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:,.1f}"


def _joules(value: float) -> str:
    """Return an energy with its unit, three digits."""
    for unit, size in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6), ("nJ", 1e-9)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return f"{value * 1e12:.3g} pJ" if value else "0"


def shown_ratio(ratio: float | None) -> str:
    """Return a ratio as it is printed, `2.46x`; empty if there is none."""
    if not ratio or not math.isfinite(ratio):
        return ""
    return f"{ratio:.2f}x" if 0.1 <= ratio < 100 else f"{ratio:.2g}x" if ratio < 0.1 else f"{ratio:,.0f}x"


def _cells(found: Comparison, line: Line) -> list[str]:
    cells = []
    for place, value in enumerate(line.values):
        text = shown(value, line.form)
        ratio = shown_ratio(line.ratios[place]) if line.ratios else ""
        other = found.models[place].name != found.reference
        cells.append(f"{text} ({ratio})" if ratio and other else text)
    return cells


def pair_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return the head and one row for each pair."""
    rows: list[tuple[str, ...]] = [
        ("pair", "both right", "only the first", "only the second", "both wrong", "p", "p (Holm)", "differ")
    ]
    for one in found.pairs:
        numbers = (one.both, one.only_first, one.only_second, one.neither)
        chances = (f"{one.p:.3g}", f"{one.adjusted:.3g}", "yes" if one.significant else "not shown")
        rows.append((f"{one.first}, {one.second}", *(f"{number:,}" for number in numbers), *chances))
    return rows


def caption(found: Comparison) -> str:
    """Return what was compared on what, in one line."""
    names = ", ".join(f"{one.name} ({one.kind})" for one in found.models)
    return f"{names} on {found.data['name']}, {found.data['count']:,} examples; ratios are to {found.reference}"


def as_text(found: Comparison, width: int = 100) -> str:
    """Return the whole card for a terminal."""
    head = ("", *(one.name for one in found.models))
    parts = [caption(found)]
    blocks = sections(found)
    # One width for all tables, so that the columns of a model are below each other.
    rows = [[(line.label, *_cells(found, line)) for line in block.lines] for block in blocks]
    widths = [max(len(row[column]) for block in [[head], *rows] for row in block) for column in range(len(head))]
    filler = tuple(" " * width for width in widths)
    for block, own in zip(blocks, rows, strict=True):
        table = text_table([head, *own, filler], right=range(1, len(head)), total=False).rstrip()
        parts.append("\n".join((block.title, table, *_wrapped(block.remark, width))))
    parts.append(
        "McNemar's exact test on the same examples\n" + text_table(pair_rows(found), right=range(1, 7), total=False)
    )
    parts.append("Verdict\n" + "\n".join(line for said in verdict(found) for line in _wrapped(str(said), width)))
    for title, rule in rules(found).items():
        parts.append("\n".join((title, *_wrapped(rule, width))))
    return "\n\n".join(parts)


def _wrapped(text: str, width: int) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(text, width, break_on_hyphens=False, initial_indent="  ", subsequent_indent="  ")


def rules(found: Comparison) -> dict[str, str]:
    """Return every rule used for the card, under its heading."""
    sources = " ".join(f"{source}." for source in dict.fromkeys(table.source for table in found.tables))
    named = {
        "How operations and memory are counted": found.rules["counting"],
        "How the verdict is found": VERDICT_RULE,
    }
    if found.tables:
        named["How energy is estimated"] = f"{found.rules['energy']} {found.rules['traffic']} Sources: {sources}"
    return named


# -- for notebooks, and as data ----------------------------------------------------------------------------------------
def as_html(found: Comparison) -> str:
    """Return the card as HTML tables for a notebook."""
    head = ("", *(one.name for one in found.models))
    right = range(1, len(head))
    parts = [
        html_table(
            [head, *((line.label, *_cells(found, line)) for line in block.lines)],
            right=right,
            total=False,
            caption=block.title,
            note=block.remark,
        )
        for block in sections(found)
    ]
    said = " ".join(str(one) for one in verdict(found))
    title = "McNemar's exact test on the same examples"
    parts.append(html_table(pair_rows(found), right=range(1, 7), total=False, caption=title, note=said))
    return "".join(parts)


def as_dict(found: Comparison) -> dict[str, Any]:
    """Return the card as plain data for JSON."""
    base = found[found.reference]
    return {
        "data": dict(found.data),
        "counted": found.counted,
        "reference": found.reference,
        "models": [_model_dict(one, base, found.tables) for one in found.models],
        "pairs": [one.as_dict() for one in found.pairs],
        "verdict": [dataclasses.asdict(one) for one in verdict(found)],
        "energy_tables": [table.as_dict() for table in found.tables],
        "counts": dict(COUNTS),
        "rules": {**found.rules, "verdict": VERDICT_RULE},
    }


def _model_dict(one: Compared, base: Compared, tables: Sequence[EnergyTable]) -> dict[str, Any]:
    own = one.bill
    return {
        "name": one.name,
        "kind": one.kind,
        "spiking": own.spiking,
        "accuracy": one.evaluation.accuracy,
        "interval": list(one.evaluation.interval),
        "correct": one.evaluation.correct,
        "undecided": one.evaluation.undecided,
        "parameters": own.parameters,
        "steps": own.steps,
        "memory": own.memory,
        "operations": own.operations,
        "compute": own.compute,
        "counts": one.counts,
        "encoder_share": one.encoder_share,
        "spikes": one.spikes if own.spiking else None,
        "encoder_spikes": one.encoder_spikes if own.spiking else None,
        "complete": own.complete,
        "uncounted": list(own.uncounted),
        "energy_estimates": {table.name: found.as_dict() for table, found in zip(tables, one.energy, strict=True)},
        "ratios": {
            "memory": {kind: _ratio(amount, base.bill.memory[kind]) for kind, amount in own.memory.items()},
            "compute": {kind: _ratio(amount, base.bill.compute[kind]) for kind, amount in own.compute.items()},
            "counts": {name: _ratio(amount, base.counts[name]) for name, amount in one.counts.items()},
        },
    }
