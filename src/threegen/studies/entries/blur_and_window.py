"""The best window for decoding spikes: still and moving digits, decoded over windows of different lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.load import load_data
from threegen.functional.decoding import binary_image, intensity_image
from threegen.functional.encoding import bernoulli_spikes
from threegen.randomness import make_generator
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study

STEPS = 65  # time steps; the decoder reconstructs the middle one
WINDOWS = (1, 3, 5, 9, 17, 33, 65)  # odd, so that each has the moment in its middle
SPEEDS = (0.0, 0.125, 0.25, 1.0)  # pixels per step, to the right
SHOWN = (0.0, 0.25, 1.0)


def moving(digits: Tensor, speed: float) -> Tensor:
    """Return frames [T, B, H, W'] of digits [B, H, W] that pass the middle of a wider picture in the middle of time.

    Between two pixels a digit is interpolated linearly.
    """
    room = STEPS // 2
    still = torch.nn.functional.pad(digits, (room + 1, room + 1))
    frames = []
    for t in range(STEPS):
        way = speed * (t - STEPS // 2)
        whole = int(way // 1)
        part = way - whole
        frames.append((1 - part) * still.roll(whole, -1) + part * still.roll(whole + 1, -1))
    return torch.stack(frames)


def error(one: Tensor, other: Tensor) -> float:
    """Return the root of the mean squared difference."""
    return float((one - other).square().mean().sqrt())


def decoded(digits: Tensor, speed: float, generator: torch.Generator) -> dict[str, Any]:
    """Return, for each window, the error of the decoded images and its parts, noise and blur.

    Noise is the distance of the spikes' mean from the mean frame of the window, blur the distance of that mean frame
    from the frame in the middle. The first falls with more spikes, the second grows as the digit moves.
    """
    frames = moving(digits, speed)
    spikes = bernoulli_spikes(frames.flatten(0, 1).clamp(0, 1), 1, generator)[0].view_as(frames)
    moment = frames[STEPS // 2]
    found: dict[str, Any] = {"error": [], "noise": [], "blur": [], "wrong pixels": []}
    pictures = []
    for window in WINDOWS:
        start = (STEPS - window) // 2
        seen = intensity_image(spikes, start=start, window=window)
        mean_spikes, mean_frame = (one[start : start + window].mean(0) for one in (spikes, frames))
        binary = binary_image(spikes, start=start, window=window, least=(window + 1) // 2)
        found["error"].append(error(seen, moment))
        found["noise"].append(error(mean_spikes, mean_frame))
        found["blur"].append(error(mean_frame, moment))
        found["wrong pixels"].append(float((binary != (moment >= 0.5).to(binary.dtype)).float().mean()))
        pictures.append((seen[0] * 100).round().int().tolist())
    best = min(range(len(WINDOWS)), key=lambda at: found["error"][at])
    return {**found, "best window": WINDOWS[best], "pictures": pictures if speed in SHOWN else []}


def measure(settings: Settings) -> dict[str, Any]:
    """Decode real digits at each speed."""
    digits = load_data("mnist").train.inputs[: 20 if settings.quick else 500, 0]
    found = {
        f"{speed:g} pixels per step": decoded(digits, speed, make_generator(settings.seed, "blur", str(speed)))
        for speed in SPEEDS
    }
    return {"windows": list(WINDOWS), "digits": len(digits), "speeds": found}


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw error, noise and blur against the window, and one digit through windows of each length."""
    speeds, windows = figures["speeds"], figures["windows"]
    figure, axes = panels(1, 3, width=3.9, height=3.3)
    for axis, part in zip(axes, ("error", "noise", "blur"), strict=True):
        curves = {name: facts[part] for name, facts in speeds.items()}
        lines(axis, curves, x=windows, title=part, across="steps of the window", up="root mean square", marker="o")
        axis.set_xscale("log", base=2)
    files = save(figure, folder, "errors")
    shown = {name: facts["pictures"] for name, facts in speeds.items() if facts["pictures"]}
    figure, axes = panels(len(shown), len(windows), width=1.6, height=0.75, many=True)
    for row, (name, pictures) in enumerate(shown.items()):
        for column, picture in enumerate(pictures):
            axis = axes[row * len(windows) + column]
            middle = len(picture[0]) // 2
            axis.imshow([line[middle - 30 : middle + 30] for line in picture], cmap="gray", vmin=0, vmax=100)
            axis.set_axis_off()
            axis.set_title(f"{name}, {windows[column]}" if column == 0 else f"{windows[column]} steps", fontsize=6)
    return files + save(figure, folder, "digits")


STUDY = Study(
    name="blur-and-window",
    title="How long to collect spikes",
    about="A longer window collects more spikes and reduces noise, but blurs motion: each speed has a best window.",
    source="Decoders of spikes to binary and intensity images over a window; MNIST digits, still and moving",
    measure=measure,
    draw=draw,
)
