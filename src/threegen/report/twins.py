"""The price of spikes: each spiking network is compared with its nearest conventional counterpart.

A network of the same structure (the same layers with the same numbers of outputs) is preferred. Otherwise one of the
same kind (fully connected, convolutional or recurrent) is chosen; among these, one that learns by the same principle
and is nearest in size. If there is none, the text says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from threegen.report import words
from threegen.report.results import ModelResult

# The layers that define a structure, by their kind in the cost report, and the name of a network with such a layer.
KINDS = {"recurrent": "recurrent", "convolution": "convolutional", "linear": "fully connected"}


def structure(model: ModelResult) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return a network's layers with weights in order, as kind and output shape, taken from its cost report."""
    rows = () if model.insides is None else model.insides.bill_rows
    return tuple((str(row["kind"]), tuple(row["output"])) for row in rows if row["kind"] in KINDS and row["parameters"])


def kind(model: ModelResult) -> str:
    """Return "recurrent", "convolutional" or "fully connected"; "" for a network of none of these layers."""
    layers = {name for name, _ in structure(model)}
    return next((said for name, said in KINDS.items() if name in layers), "")


def twin(model: ModelResult, models: Sequence[ModelResult]) -> tuple[ModelResult, str] | None:
    """Return the conventional network to compare a spiking one with, and what they have in common; None if there is
    none."""
    own = kind(model)
    others = [other for other in models if other.generation == 2 and own and kind(other) == own]
    others = [other for other in others if words.arithmetic(other) and other.parameters > 0]
    if not others or model.parameters < 1:
        return None

    def distance(other: ModelResult) -> tuple[bool, bool, float]:
        size = abs(math.log(other.parameters / model.parameters))
        return structure(other) != structure(model), _by_gradient(other) != _by_gradient(model), size

    nearest = min(others, key=distance)
    if structure(nearest) == structure(model):
        return nearest, "of the same structure"
    sizes = f"{words.whole(nearest.parameters)} parameters against {words.whole(model.parameters)}"
    return nearest, f"also {own} ({sizes})"


def _by_gradient(model: ModelResult) -> bool:
    """Return whether all layers learn by the gradient of the error, according to the rule's description."""
    return "back-propagation" in model.rule and "contrastive" not in model.rule


def price_of_spikes(model: ModelResult, models: Sequence[ModelResult]) -> str:
    """Return accuracy and cost of a spiking network compared with its conventional twin; "" if nothing was counted.

    Its operations are compared with all operations of the other network and with those that it needs when it skips zero
    inputs; neuron updates and memory are named too.
    """
    mine = words.arithmetic(model)
    if model.generation != 3 or mine is None or not any(other.generation == 2 for other in models):
        return ""
    own = f"{words.percent(model.accuracy)} right with {words.spoken(mine)} additions and multiplications per picture"
    found = twin(model, models)
    if found is None:
        named = f"is {kind(model)} like it" if kind(model) else "has its kind of layers"
        return f"{own}. No second-generation net of this report {named}, so its cost is not compared with another's."
    other, alike = found
    theirs, sparse = words.arithmetic(other) or 1.0, words.skipping_zeros(other)
    dearer = mine > theirs
    costs = f"{words.times(mine / theirs)} times as much" if dearer else f"less, {_share(mine / theirs)} of that"
    said = (
        f"{own}, against {words.percent(other.accuracy)} right with {words.spoken(theirs)} for {other.title}, {alike}: "
        f"the spiking net costs {costs}"
    )
    if sparse and sparse < theirs:
        turn = "but" if (mine > sparse) != dearer else "and"
        how = f"{words.times(mine / sparse)} times" if mine > sparse else f"{_share(mine / sparse)} of"
        said += f", {turn} {how} the {words.spoken(sparse)} that net needs when it skips inputs that are zero"
    return f"{said}; {_more_accurate(model, other)}. {_beside(model, other)}"


def _share(ratio: float) -> str:
    return words.percent(ratio, 0)


def _more_accurate(model: ModelResult, other: ModelResult) -> str:
    """Return which of the two is more accurate, in percentage points, and whether their confidence intervals are
    disjoint."""
    points = 100 * (model.accuracy - other.accuracy)
    if abs(points) < 0.005:
        return "both are equally accurate"
    apart = model.interval[0] > other.interval[1] or other.interval[0] > model.interval[1]
    said = f"it is {abs(points):.2f} points {'more' if points > 0 else 'less'} accurate"
    return said if apart else f"{said} (the intervals overlap)"


def _beside(model: ModelResult, other: ModelResult) -> str:
    updates = words.by_column(model.operations).get("neuron updates", 0.0)
    extra = f"It also updates neurons {words.spoken(updates)} times. " if updates else ""
    memory = f"{words.size_of(words.total_memory(model))} against {words.size_of(words.total_memory(other))}"
    return f"{extra}Memory: {memory}."
