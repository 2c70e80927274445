"""Artificial against spiking networks: the workflows of the literature on images and on events."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threegen.cost.card import as_dict
from threegen.figures.recordings import (
    STEPS,
    STROKES_MS,
    folds,
    learned_from_real,
    logistic_regression,
    per_cent,
    real_frames,
)
from threegen.figures.ways import compare_ways
from threegen.figures.workflows import WORKFLOWS
from threegen.studies.drawing import COLOURS, bars, dress, lines, panels, save
from threegen.studies.study import Settings, Study

SEEDS = 3
SHORT = {
    "converted": "conv.",
    "convolutional": "conv.",
    "frames of intensities": "intensity",
    "frames of 0 and 1": "0/1",
}
OPERATIONS = ("multiplications", "additions", "neuron_updates", "encoder")


def measure(settings: Settings) -> dict[str, Any]:
    """Train and compare all workflows for three seeds, for one if quick."""
    name = settings.data or "mnist"
    known = WORKFLOWS[name]
    plan, tested_on = known.quick if settings.quick else known.full, known.tested_on()
    seeds = [settings.seed + number for number in range(1 if settings.quick else SEEDS)]
    cards, curves = [], []
    for seed in seeds:
        ways = known.make(seed, plan, settings.progress)
        cards.append(as_dict(compare_ways(ways, tested_on, seed)))
        curves.append({way.name: way.curve for way in ways if way.curve})
    found = {"data": name, "tested on": tested_on, "test examples": len(ways[0].test), "seeds": seeds}
    found |= {"structures": {way.name: way.structure for way in ways}, **gathered(cards, curves)}
    if name == "n-mnist" and not settings.quick:
        found["five folds of the real recordings"] = {"seed": settings.seed, **by_folds(settings.seed)}
    return found


def gathered(cards: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Mapping[int, float]]]) -> dict[str, Any]:
    """Return the means over the seeds for each workflow, the curves, and all cards."""
    ways: dict[str, Any] = {}
    for number, model in enumerate(cards[0]["models"]):
        all_seeds = [card["models"][number] for card in cards]
        ways[model["name"]] = {
            "accuracy": statistics.fmean(one["accuracy"] for one in all_seeds),
            "accuracies": [one["accuracy"] for one in all_seeds],
            "interval of the first seed": model["interval"],
            "time steps": model["steps"],
            "parameters": model["parameters"],
            "memory, bytes": _mean([one["memory"] for one in all_seeds]),
            "compute": _mean([one["compute"] for one in all_seeds]),
            "spikes": statistics.fmean((one["spikes"] or 0) + (one["encoder_spikes"] or 0) for one in all_seeds),
        }
    names = list(curves[0])
    times = [int(steps) for steps in curves[0][names[0]]]
    return {
        "ways": ways,
        "verdicts of the first seed": [f"{one['headline']} {one['reasons']}" for one in cards[0]["verdict"]],
        "T": times,
        "accuracy against T": {
            name: [statistics.fmean(list(one[name].values())[place] for one in curves) for place in range(len(times))]
            for name in names
        },
        "cards": list(cards),
    }


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}


def by_folds(seed: int) -> dict[str, Any]:
    """Return the accuracies in per cent on each fold: the SNN, and logistic regression on one frame per stroke."""
    frames, by_stroke = real_frames(STEPS), real_frames(STROKES_MS, scale=0.25, most=1.0)
    spiking, linear = [], []
    for train, test in folds(seed):
        spiking.append(per_cent(learned_from_real(frames.subset(train), seed), frames.subset(test)))
        linear.append(logistic_regression(by_stroke.subset(train), by_stroke.subset(test), seed))
    return {
        "SNN on events": statistics.fmean(spiking),
        "logistic regression, frames of the strokes": statistics.fmean(linear),
        "folds": {"SNN on events": spiking, "logistic regression, frames of the strokes": linear},
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw accuracy, accuracy against T, operations by kind and memory by kind."""
    figure, axes = panels(2, 2, width=5.6, height=3.8)
    ways = {_short(name): facts for name, facts in figures["ways"].items()}
    bars(axes[0], {name: 100 * one["accuracy"] for name, one in ways.items()}, title="Accuracy, %", up="per cent")
    lowest = 100 * min(one["accuracy"] for one in ways.values())
    axes[0].set_ylim(max(0.0, min(90.0, lowest - 3)), 100)
    curves = {_short(name): [100 * one for one in values] for name, values in figures["accuracy against T"].items()}
    lines(axes[1], curves, x=figures["T"], title="Accuracy against T", across="time steps T", up="per cent", marker="o")
    _stacked(axes[2], ways, "compute", OPERATIONS, "Operations of one answer, zeros not skipped")
    _stacked(axes[3], ways, "memory, bytes", ("weights", "activations", "potentials", "spikes"), "Memory, bytes")
    for axis in (axes[0], axes[2], axes[3]):
        axis.tick_params(axis="x", labelsize=6.5)
    return save(figure, folder, "ann-against-snn")


def _short(name: str) -> str:
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return name.replace(", ", ",\n")


def _stacked(axis: Any, ways: Mapping[str, Any], key: str, kinds: Sequence[str], title: str) -> None:
    below = [0.0] * len(ways)
    for kind, colour in zip(kinds, COLOURS, strict=False):
        values = [one[key].get(kind, 0.0) for one in ways.values()]
        axis.bar(list(ways), values, bottom=below, label=kind.replace("_", " "), color=colour)
        below = [a + b for a, b in zip(below, values, strict=True)]
    axis.set_ylim(0, 1.2 * max(below))
    axis.legend(fontsize=7, frameon=False, ncols=len(kinds), loc="upper center")
    dress(axis, title=title)


STUDY = Study(
    name="ann-against-snn",
    title="Artificial against spiking networks, on images and on events",
    about="Networks of equal structure answer the same examples: an ANN, the same converted, an SNN that is trained "
    "directly; on images (--data mnist, cifar10) or on recordings of an event camera (n-mnist, cifar10-dvs). Accuracy, "
    "memory and compute are compared: which is cheaper depends on what is counted, and on MNIST the SNN is not more "
    "accurate.",
    source="Deng et al., Rethinking the performance comparison between SNNs and ANNs, Neural Networks 121:294 (2020): "
    "its workflows and measures; our structures",
    measure=measure,
    draw=draw,
    data=tuple(WORKFLOWS),
)
