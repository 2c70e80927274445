"""Fifteen steps or one: in a net of single spikes without leak the answer does not depend on the times of spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from threegen.datasets.load import load_data
from threegen.explanations.single_spikes import first_spike_gif, seen_sheet
from threegen.gen3.mozafari import Mozafari2019
from threegen.randomness import make_generator
from threegen.registry.deep_reward import deep_reward_stages
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy
from threegen.training.fit import fit
from threegen.training.persistence.files import write_whole

_MAPS = {True: (10, 30, 40), False: (30, 250, 200)}


def measure(settings: Settings) -> dict[str, Any]:
    """Train a net, then count the bits of C2 and the answers that differ between all steps and one."""
    split = load_data("mnist").train.holdout(10_000, seed=0)
    train = split.train.take(300 if settings.quick else 10_000)
    shown = split.validation.take(50 if settings.quick else 1000)
    model = Mozafari2019(maps=_MAPS[settings.quick], generator=make_generator(settings.seed, "one-step"))
    size = min(500, len(train))
    passes = (1, 1, 3) if settings.quick else (2, 2, 30)
    fit(model, deep_reward_stages(model, passes=passes, batch_sizes=(size, size, size)), train, seed=settings.seed)
    encoded = model.encode(shown.inputs)
    stepwise = model.c2(model.c1(encoded))
    once = model.features(encoded)
    answers = [model.answer(times).argmax(1) for times in (stepwise, once)]
    fired = [float((stepwise <= step).float().mean()) for step in range(model.steps)]
    return {
        "bits": stepwise.numel(),
        "bits that differ": int(((stepwise < model.steps) != (once < model.steps)).sum()),
        "images": len(shown),
        "answers that differ": int((answers[0] != answers[1]).sum()),
        "accuracy": accuracy(model, shown),
        "share of C2 that has fired": fired,
        "seen": _pictures(model, shown.inputs[0]),
    }


def _pictures(model: Mozafari2019, image: torch.Tensor) -> dict[str, str]:
    """Return the pictures as text, so that they can be drawn from the figures only."""
    made = {f"{layer}.png": seen_sheet(model, layer) for layer in ("s1", "s2", "s3")}
    made["first-spikes.gif"] = first_spike_gif(model, image)
    return {name: content.hex() for name, content in made.items()}


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw when C2 fires; write the receptive fields of S1, S2 and S3 and the animation of first spikes."""
    figure, axes = panels(1, 1)
    curve = {"C2": figures["share of C2 that has fired"]}
    lines(axes[0], curve, title="First spikes, step by step", across="step", up="share that has fired")
    names = save(figure, folder, "first-spikes")
    for name, content in figures["seen"].items():
        write_whole(folder / name, bytes.fromhex(content))
        names.append(name)
    return names


STUDY = Study(
    name="one-step-or-fifteen",
    title="Fifteen steps, or one",
    about="Neurons that fire at most once and do not leak give the same answer whether an image arrives in fifteen "
    "steps or in one.",
    source="the net of Mozafari et al., Pattern Recognition 94 (2019)",
    measure=measure,
    draw=draw,
)
