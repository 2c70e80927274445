"""The answer of a model of the page, and its cost."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from threegen.cost.count import count
from threegen.gen3.mozafari import Mozafari2019
from threegen.randomness import make_generator
from threegen.web.lineup import PageModel
from threegen.web.single_spikes import spikes_sent
from threegen.web.units import Off, switched_off


def answer(member: PageModel, image: Tensor, *, seed: int = 0, off: Off | None = None) -> dict[str, Any]:
    """Return a model's answer to an image [1, 28, 28]: `digit`, `shares` [K] and whether all scores are equal.

    `digit` is None if the network is silent, that is if all scores are equal. The model's lock is taken.
    """
    with member.lock, switched_off(member, off or {}):
        scores = member.scores(image[None], seed)[0]
    return answer_of_scores(member, scores)


def answer_of_scores(member: PageModel, scores: Tensor) -> dict[str, Any]:
    """Return scores [K] in the form for the page: the answer and the share of each class."""
    shares = member.shares(scores)
    silent = bool((scores == scores[0]).all())
    return {
        "name": member.name,
        "digit": None if silent else int(scores.argmax()),
        "shares": [round(one, 4) for one in shares.tolist()],
    }


def bill(member: PageModel, image: Tensor, *, seed: int = 0) -> dict[str, Any]:
    """Return what this answer costs: `multiplications`, `additions`, `neuron_updates`, `memory` in bytes, `spikes`."""
    with member.lock:
        found = count(member.model, image[None], generator=make_generator(seed, "page"))
    compute = found.compute
    spikes = [row.spikes for row in found.rows if row.spikes is not None and row.kind != "encoder"]
    if isinstance(member.model, Mozafari2019):  # the bill counts additions alone: this net answers without times
        spikes = [float(spikes_sent(member.model, image[None]))]
    return {
        "name": member.name,
        "multiplications": compute["multiplications"],
        "additions": compute["additions"],
        "total": compute["total"],
        "skipping_zeros": compute["total_skipping_zeros"],
        "neuron_updates": compute["neuron_updates"],
        "encoder": compute["encoder"],
        "memory": found.memory,
        "spikes": sum(spikes) if spikes else None,
        "complete": found.complete,
    }
