"""Similarity of real and simulated recordings of the same digits: the figures of the study on the camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from threegen.datasets.events.stream import Array, Events

BIN = 10_000  # microseconds
BINS = 31


def volume(events: Events) -> Array:
    """Return the number of events `[BINS, 2, H, W]` by 10 ms, polarity and pixel; later events are left out."""
    kept = events.array[events.t < BINS * BIN]
    place = ((kept["t"] // BIN * 2 + kept["p"]) * events.height + kept["y"]) * events.width + kept["x"]
    counts = np.bincount(place, minlength=BINS * 2 * events.height * events.width)
    return counts.reshape(BINS, 2, events.height, events.width).astype(np.float32)


def intervals(recordings: Sequence[Events]) -> Array:
    """Return the times between two events of one pixel, in milliseconds, over all recordings."""
    found = []
    for events in recordings:
        place = events.y.astype(np.int64) * events.width + events.x
        order = np.lexsort((events.t, place))
        gaps, same = np.diff(events.t[order]), np.diff(place[order]) == 0
        found.append(gaps[same])
    return np.concatenate(found) / 1000.0


def correlation(a: Array, b: Array) -> float:
    """Return Pearson's correlation of two arrays; 0 if one of them is constant."""
    first, second = a.ravel() - a.mean(), b.ravel() - b.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm else 0.0


def describe(recordings: Sequence[Events]) -> dict[str, Any]:
    """Return the statistics of one set of recordings: counts, shares, intervals, profile and centroid curves."""
    counts = np.array([len(events) for events in recordings], np.float64)
    total = np.zeros((BINS, 2, recordings[0].height, recordings[0].width))
    firing = []
    for events in recordings:
        one = volume(events)
        total += one
        firing.append(float((one.sum((0, 1)) > 0).mean()))
    by_bin = total.sum(1)
    weight = by_bin.sum((1, 2))
    height, width = by_bin.shape[1:]
    return {
        "events": float(counts.mean()),
        "events, standard deviation": float(counts.std(ddof=1)),
        "share of ON": float(total[:, 1].sum() / total.sum()),
        "firing pixels": float(np.mean(firing)),
        "median interval, ms": float(np.median(intervals(recordings))),
        "profile": (weight / len(recordings)).round(2).tolist(),
        "centroid x": ((by_bin.sum(1) @ np.arange(width)) / weight.clip(1)).round(3).tolist(),
        "centroid y": ((by_bin.sum(2) @ np.arange(height)) / weight.clip(1)).round(3).tolist(),
    }


def agreement(real: Sequence[Events], simulated: Sequence[Events]) -> dict[str, float]:
    """Return how well simulated recordings match the real ones of the same digits, one by one.

    Correlations r: of the profile by 10 ms, of the count over the digits, and, as means over the digits, of the summed
    frame and of the volume (10 ms x polarity x pixel). Differences are simulated against real: relative for events,
    their standard deviation and the median interval, in points for the share of pixels that fire, in pixels (root
    mean square over the bins) for the centroid curve.
    """
    seen, made = describe(real), describe(simulated)
    frames, volumes = [], []
    for one, other in zip(real, simulated, strict=True):
        a, b = volume(one), volume(other)
        volumes.append(correlation(a, b))
        frames.append(correlation(a.sum((0, 1)), b.sum((0, 1))))

    def relative(name: str) -> float:
        return float(made[name] / seen[name] - 1.0)

    apart = [np.subtract(made[name], seen[name]) for name in ("centroid x", "centroid y")]
    return {
        "profile r": correlation(np.array(seen["profile"]), np.array(made["profile"])),
        "frame r": float(np.mean(frames)),
        "count r": correlation(
            np.array([len(one) for one in real], np.float64), np.array([len(one) for one in simulated], np.float64)
        ),
        "volume r": float(np.mean(volumes)),
        "mean events": relative("events"),
        "sd of events": relative("events, standard deviation"),
        "firing pixels, points": 100.0 * float(made["firing pixels"] - seen["firing pixels"]),
        "median interval": relative("median interval, ms"),
        "centroid, pixels": float(np.sqrt(np.mean(np.square(apart)))),
    }
