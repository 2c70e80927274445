"""The verdict of a comparison in words, by rules that are printed with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from threegen.cost.compare import Compared, Comparison
from threegen.cost.mcnemar import SIGNIFICANT, Pair

VERDICT_RULE = (
    "A model is called cheaper in compute only if it needs fewer operations under every way of counting in the table, "
    "and more expensive only if it needs more under every one; otherwise the verdict depends on the count, and the "
    "counts are named. Memory is compared by its total. Accuracies are called different only if McNemar's exact test "
    "on the same examples, after Holm's correction for the number of pairs, gives a p-value below "
    f"{SIGNIFICANT:g}; if it does not, these examples do not show which model is more accurate."
)
_SHORT = {
    "layers": "additions and multiplications",
    "layers_nonzero": "additions and multiplications with zeros skipped",
    "synaptic": "synaptic operations",
    "synaptic_nonzero": "synaptic operations with zeros skipped",
    "events": "synaptic operations with pooled spikes one by one",
    "events_nonzero": "synaptic operations with pooled spikes one by one and zeros skipped",
    "all": "all operations",
    "all_nonzero": "all operations with zeros skipped",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one model compared with the reference: one sentence, and the reasons for it.

    `outcome` is its compute compared with the reference's: "cheaper", "more expensive", "equal", "depends" (on the way
    of counting) or "unknown" (functions without a price were seen).
    """

    model: str
    outcome: str
    headline: str
    reasons: str

    def __str__(self) -> str:
        return f"{self.headline} {self.reasons}"


def verdict(found: Comparison) -> list[Verdict]:
    """Return the verdict on each model but the reference, by `VERDICT_RULE`.

    Example:
        >>> import torch
        >>> from threegen.cost.compare import compare_models
        >>> small, large = torch.nn.Linear(4, 2), torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Linear(9, 2))
        >>> data = torch.ones(5, 4), torch.tensor([0, 1, 0, 1, 0])
        >>> verdict(compare_models({"large": large, "small": small}, data))[0].outcome
        'cheaper'
    """
    base = found[found.reference]
    others = [one for one in found.models if one.name != base.name]
    return [_on(one, base, found.pair(one.name, base.name), found.counts) for one in others]


def _outcome(one: Compared, base: Compared, counts: Sequence[str]) -> str:
    """Return the word for one model's compute compared with another's."""
    if not (one.bill.complete and base.bill.complete):
        return "unknown"
    signs = {_sign(one.counts[name], base.counts[name]) for name in counts}
    if len(signs) > 1:
        return "depends"
    return {-1: "cheaper", 0: "equal", 1: "more expensive"}[signs.pop()]


def _sign(first: float, second: float) -> int:
    return (first > second) - (first < second)


def _on(one: Compared, base: Compared, pair: Pair, counts: Sequence[str]) -> Verdict:
    outcome = _outcome(one, base, counts)
    reasons = " ".join((_compute(one, base, counts), _memory(one, base), _accuracy(one, base, pair)))
    return Verdict(one.name, outcome, _headline(one, base, pair, outcome), reasons)


def _headline(one: Compared, base: Compared, pair: Pair, kind: str) -> str:
    """Return the verdict itself; the sentences after it give the reasons."""
    better = one.evaluation.correct > base.evaluation.correct
    accuracy = (
        f"{'more' if better else 'less'} accurate" if pair.significant else "not measurably different in accuracy"
    )
    if kind == "cheaper":
        return f"{one.name} is cheaper in compute than {base.name} and {accuracy}."
    if kind == "more expensive":
        turned = "less" if better else "more"
        other = f"{turned} accurate" if pair.significant else "not measurably different in accuracy"
        return f"{base.name} is cheaper in compute than {one.name} and {other}."
    if kind == "equal":
        return f"{one.name} and {base.name} need the same operations; {one.name} is {accuracy}."
    if kind == "unknown":
        return f"Which of {one.name} and {base.name} is cheaper cannot be said; {one.name} is {accuracy}."
    return f"Whether {one.name} is cheaper in compute than {base.name} depends on the count; it is {accuracy}."


def _compute(one: Compared, base: Compared, counts: Sequence[str]) -> str:
    if not (one.bill.complete and base.bill.complete):
        said = [f"{m.name}: {', '.join(m.bill.uncounted)}" for m in (one, base) if m.bill.uncounted]
        return f"The counts leave out functions that have no price ({'; '.join(said)})."
    ratios = {name: _ratio(one.counts[name], base.counts[name]) for name in counts}
    kind = _outcome(one, base, counts)
    if kind == "equal":
        return "All counts are equal."
    if kind in ("cheaper", "more expensive"):
        few, many = min(ratios.values()), max(ratios.values())
        span = _times(few) if _times(few) == _times(many) else f"{_times(few)} to {_times(many)}"
        return f"{one.name} needs {span} times the operations of {base.name}, whichever way they are counted."
    signs = {name: _sign(one.counts[name], base.counts[name]) for name in counts}
    said = []
    for word, sign in (("fewer", -1), ("equal", 0), ("more", 1)):
        named = [f"{_SHORT[name]} ({_times(ratios[name])} times)" for name in counts if signs[name] == sign]
        said += [f"{word} by {_listed(named)}"] if named else []
    return f"{one.name} needs {'; '.join(said)}."


def _memory(one: Compared, base: Compared) -> str:
    ratio = _ratio(one.bill.memory["total"], base.bill.memory["total"])
    if ratio == 1:
        return "Both need the same memory."
    if abs(ratio - 1) < 0.005:
        return f"Their memory is nearly the same ({ratio:.4f} times)."
    return f"{one.name} needs {_times(ratio)} times the memory of {base.name}."


def _accuracy(one: Compared, base: Compared, pair: Pair) -> str:
    own, other = (pair.only_first, pair.only_second) if pair.first == one.name else (pair.only_second, pair.only_first)
    adjusted = "" if pair.adjusted == pair.p else f" ({_chance(pair.adjusted)} after Holm's correction)"
    return (
        f"Accuracy {100 * one.evaluation.accuracy:.2f} % against {100 * base.evaluation.accuracy:.2f} %: {own:,} "
        f"examples are right only in {one.name} and {other:,} only in {base.name}, p {_chance(pair.p)}{adjusted}."
    )


def _ratio(value: float, base: float) -> float:
    return value / base if base else (1.0 if value == base else float("inf"))


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}" if math.isfinite(ratio) else "infinitely many"


def _chance(p: float) -> str:
    """Return a p-value for a sentence: `= 0.22`, `< 0.0001`."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
