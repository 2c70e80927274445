"""Compare the simulated camera with N-MNIST's real recordings, on recordings that it was not fitted to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from threegen.datasets.motions import straight
from threegen.datasets.real_recordings import halves, real_pairs
from threegen.datasets.saccades import Camera, simulate
from threegen.studies.camera_measures import agreement, describe
from threegen.studies.drawing import dress, lines, panels, save
from threegen.studies.study import Settings, Study

# requirements on the simulation: a minimum, or the largest absolute difference
LEAST = {"profile r": 0.975, "frame r": 0.94, "count r": 0.99, "volume r": 0.68}
MOST = {"mean events": 0.03, "sd of events": 0.05, "firing pixels, points": 1.0, "median interval": 0.10}


def missed(figures: dict[str, float]) -> list[str]:
    """Return the names of the figures that are not reached."""
    low = [name for name, goal in LEAST.items() if figures[name] < goal]
    return low + [name for name, goal in MOST.items() if abs(figures[name]) > goal]


def cameras() -> dict[str, Camera]:
    """Return the fitted camera and the controls that must fail: a straight movement, and the inverted picture.

    The inverted picture is a bright digit on a dark ground.
    """
    fitted = Camera()
    return {
        "fitted": fitted,
        "straight way": dataclasses.replace(fitted, motion=straight(fitted.motion)),
        "inverted picture": dataclasses.replace(fitted, screen="bright"),
    }


def measure(settings: Settings) -> dict[str, Any]:
    """Simulate the digits of the recordings that were not fitted, and compare; only 60 of them if quick."""
    fitted, judged = halves(real_pairs())
    if settings.quick:
        some = torch.arange(60)
        fitted, judged = fitted.pick(some), judged.pick(some)
    kinds = cameras()
    made = {name: simulate(judged.digits, camera, seed=settings.seed) for name, camera in kinds.items()}
    agreements = {name: agreement(judged.recordings, events) for name, events in made.items()}
    on_fitted = agreement(fitted.recordings, simulate(fitted.digits, kinds["fitted"], seed=settings.seed))
    return {
        "recordings": len(judged.recordings),
        "judged": {
            name: {**figures, "missed": ", ".join(missed(figures)) or "nothing"} for name, figures in agreements.items()
        },
        "on the recordings that were fitted": on_fitted,
        "goals": {**LEAST, **MOST},
        "real": describe(judged.recordings),
        "simulated": {name: describe(events) for name, events in made.items()},
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw events per 10 ms and the path of the events' centre, real and simulated."""
    figure, axes = panels(1, 3, width=4.4)
    sets = {"real": figures["real"], **figures["simulated"]}
    times = [10 * bin_ + 5 for bin_ in range(len(figures["real"]["profile"]))]
    for axis, key, title, up in (
        (axes[0], "profile", "Events per 10 ms", "events"),
        (axes[1], "centroid x", "Centre of the events, column", "pixels"),
        (axes[2], "centroid y", "Centre of the events, row", "pixels"),
    ):
        lines(axis, {name: facts[key] for name, facts in sets.items()}, x=times)
        dress(axis, title=title, across="time, ms", up=up)
    return save(figure, folder, "camera")


STUDY = Study(
    name="camera",
    title="A simulated event camera compared with a real one",
    about="Digits shown to the simulated camera give the events that the real one recorded: when, where and how many. "
    "A straight movement or an inverted picture does not.",
    source="recordings of N-MNIST: Orchard, Jayawant, Cohen and Thakor, Frontiers in Neuroscience 9:437 (2015)",
    measure=measure,
    draw=draw,
)
