"""Fit the simulated camera to the 500 calibration recordings of N-MNIST and print its constants.

    python scripts/fit_camera.py --evaluations 2000 --digits 120 --out fit.json

A diagonal evolution strategy (separable CMA-ES, Ros and Hansen, 2008) over the camera's constants and the motion. The
other 500 recordings are not read. `threegen study camera` judges the result on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threegen.datasets.motions import Saccades, Stroke
from threegen.datasets.real_recordings import halves, real_pairs
from threegen.datasets.saccades import Camera, simulate
from threegen.studies.camera_measures import agreement

CONSTANTS = (
    "eps",
    "gamma",
    "blur",
    "on",
    "off",
    "spread",
    "jitter",
    "refractory",
    "pull",
    "tau",
    "leak_on",
    "leak_off",
)


def to_vector(camera: Camera) -> list[float]:
    """Return the logarithms of the constants, then the motion: strokes, corner and jitter."""
    motion: Any = camera.motion
    numbers = [math.log(getattr(camera, name)) for name in CONSTANTS]
    for stroke in motion.strokes:
        numbers += [stroke.begin / 10, stroke.lasts / 20, stroke.rise * 3, stroke.fall * 3, stroke.dx, stroke.dy]
    return [*numbers, motion.x0, motion.y0, motion.jitter]


def to_camera(vector: Any) -> Camera:
    """Return the camera of a vector; constants are clamped to a sensible range."""
    numbers = [float(value) for value in vector]
    constants = {name: round(math.exp(value), 4) for name, value in zip(CONSTANTS, numbers, strict=False)}
    constants["pull"] = min(constants["pull"], 1.0)
    rest = numbers[len(CONSTANTS) :]
    strokes = []
    for n in range(0, len(rest) - 3, 6):
        begin, lasts, rise, fall, dx, dy = rest[n : n + 6]
        strokes.append(
            Stroke(
                round(begin * 10, 2),
                round(max(lasts * 20, 4.0), 2),
                round(min(max(rise / 3, 0.02), 1.0), 3),
                round(min(max(fall / 3, 0.02), 1.0), 3),
                round(dx, 3),
                round(dy, 3),
            )
        )
    x0, y0, jitter = rest[-3:]
    return Camera(**constants, motion=Saccades(tuple(strokes), round(x0, 3), round(y0, 3), round(abs(jitter), 3)))


def cost(figures: dict[str, float]) -> float:
    """Return the distance of the simulation from the recordings as one number."""
    return (
        20 * (1 - figures["profile r"])
        + 6 * (1 - figures["frame r"])
        + 20 * (1 - figures["count r"])
        + 6 * (1 - figures["volume r"])
        + 4 * abs(figures["mean events"])
        + 4 * abs(figures["sd of events"])
        + 0.1 * abs(figures["firing pixels, points"])
        + 1 * abs(figures["median interval"])
        + 0.3 * figures["centroid, pixels"]
    )


def main() -> None:
    """Search, and write the best camera so far whenever it is better."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--digits", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path("fit.json"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pairs, _ = halves(real_pairs())
    rng = np.random.default_rng(options.seed)
    begin = Camera()
    mean = np.array(to_vector(begin))
    size = len(mean)
    count = 4 + int(3 * math.log(size))
    half = count // 2
    weights = math.log(half + 0.5) - np.log(np.arange(1, half + 1))
    weights /= weights.sum()
    effective = 1 / (weights**2).sum()
    c_sigma = (effective + 2) / (size + effective + 5)
    damping = 1 + 2 * max(0, math.sqrt((effective - 1) / (size + 1)) - 1) + c_sigma
    c_c = 4 / (size + 4)
    c_cov = min(1.0, (size + 2) / 3 * (2 / (effective * (size + math.sqrt(2)) ** 2) + (1 - 1 / effective) * 0.0))
    c_mu = min(1 - c_cov, (size + 2) / 3 * 2 * (effective - 2 + 1 / effective) / ((size + 2) ** 2 + effective))
    sigma, variance = 0.08, np.ones(size)
    path_s, path_c = np.zeros(size), np.zeros(size)
    expected = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
    best, done, begun = math.inf, 0, time.time()

    def measure(vector: Any, seed: int, number: int) -> tuple[float, dict[str, float], Camera]:
        chosen = torch.randperm(len(pairs.recordings), generator=torch.Generator().manual_seed(seed))[:number]
        some, camera = pairs.pick(chosen), to_camera(vector)
        figures = agreement(some.recordings, simulate(some.digits, camera, seed=seed))
        return cost(figures), figures, camera

    generation = 0
    while done < options.evaluations:
        steps = rng.standard_normal((count, size)) * np.sqrt(variance)
        candidates = mean + sigma * steps
        found = [measure(candidate, generation, options.digits)[0] for candidate in candidates]
        done += count
        generation += 1
        order = np.argsort(found)[:half]
        step = weights @ steps[order]
        mean = mean + sigma * step
        path_s = (1 - c_sigma) * path_s + math.sqrt(c_sigma * (2 - c_sigma) * effective) * step / np.sqrt(variance)
        path_c = (1 - c_c) * path_c + math.sqrt(c_c * (2 - c_c) * effective) * step
        variance = (1 - c_cov - c_mu) * variance + c_cov * path_c**2 + c_mu * (weights @ steps[order] ** 2)
        sigma *= math.exp(c_sigma / damping * (np.linalg.norm(path_s) / expected - 1))
        if generation % 8 == 0 or done >= options.evaluations:
            value, figures, camera = measure(mean, 10_000, 500)
            shown = "  ".join(f"{name} {number:.4f}" for name, number in figures.items())
            sys.stdout.write(f"{done:6d} {time.time() - begun:6.0f}s sigma {sigma:.3f} cost {value:.4f}  {shown}\n")
            sys.stdout.flush()
            if value < best:
                best = value
                text = json.dumps({"cost": value, "figures": figures, "camera": dataclasses.asdict(camera)}, indent=1)
                options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
