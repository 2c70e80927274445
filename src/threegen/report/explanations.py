"""The part of a model's card that shows what it looks for and where it looks."""

from __future__ import annotations

from typing import Any

from threegen.plots import data_uri, ink_picture, weight_picture
from threegen.report.results import Explanations, HeatMap, Insides


def explanations_view(title: str, inside: Insides, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the pictures and words of an explanation of a model; None if there are none."""
    explanations = inside.explanations
    if explanations is None:
        return None
    return {
        "wanted": [_wanted(title, explanations, label, names) for label in range(len(explanations.wanted))],
        "heats": [_heat(one, names) for one in explanations.heats],
        "window": explanations.window,
    }


def _wanted(title: str, explanations: Explanations, label: int, names: tuple[str, ...]) -> dict[str, str]:
    name = names[label] if label < len(names) else str(label)
    picture = ink_picture(explanations.wanted[label])
    return {"name": name, "src": data_uri(picture), "alt": f"The picture that {title} takes for {name} most of all"}


def _heat(one: HeatMap, names: tuple[str, ...]) -> dict[str, Any]:
    truth, answer = names[one.truth], names[one.answer]
    return {
        "image": data_uri(ink_picture(one.image)),
        "heat": data_uri(weight_picture(one.heat)),
        "alt": f"The parts of a {truth} on which the answer {answer} depends",
        "truth": truth,
        "answer": answer,
        "right": one.truth == one.answer,
    }
