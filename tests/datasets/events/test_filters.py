"""Filters against loops over single events and against what they must undo."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from threegen.datasets.events.filters import (
    crop,
    crop_time,
    denoise,
    drop,
    flip,
    jitter,
    shrink,
    stabilise,
    without_hot_pixels,
)
from threegen.datasets.events.stream import Events, make_events
from threegen.datasets.motions import fitted_saccades
from threegen.errors import ConfigError


def recording(count: int = 400, seed: int = 0) -> Events:
    source = np.random.default_rng(seed)
    t = np.sort(source.integers(0, 60_000, count))
    x, y, p = source.integers(0, 9, count), source.integers(0, 7, count), source.integers(0, 2, count)
    return make_events(t, x, y, p, height=7, width=9)


def test_crop_and_shrink() -> None:
    events = recording()
    part = crop(events, 2, 3, 4, 5)
    kept = [e for e in events.array if 2 <= e["y"] < 6 and 3 <= e["x"] < 8]
    assert [(int(e["x"]) - 3, int(e["y"]) - 2) for e in kept] == list(
        zip(part.x.tolist(), part.y.tolist(), strict=True)
    )
    assert (part.height, part.width) == (4, 5)
    small = shrink(events, 4)
    assert (small.height, small.width, len(small)) == (2, 3, len(events))
    assert small.x.tolist() == [int(x) // 4 for x in events.x]
    assert crop_time(events, 10_000, 20_000).t.tolist() == [int(t) for t in events.t if 10_000 <= t < 20_000]
    with pytest.raises(ConfigError, match="leave the sensor of 7 x 9"):
        crop(events, 4, 0, 4, 4)


@pytest.mark.parametrize("axis", ["horizontal", "vertical", "polarity", "time"])
def test_flip_twice_is_nothing(axis: str) -> None:
    events = recording()
    once = flip(events, axis)
    assert not np.array_equal(once.array, events.array)
    assert (np.diff(once.t) >= 0).all()
    assert np.array_equal(flip(once, axis).array, events.array)


@pytest.mark.parametrize("neighbours", [4, 8])
def test_denoise_by_brute_force(neighbours: int) -> None:
    events = recording()
    found = denoise(events, 2.0, neighbours=neighbours)
    kept = []
    for n, e in enumerate(events.array):
        for before in events.array[:n]:
            dx, dy = abs(int(e["x"]) - int(before["x"])), abs(int(e["y"]) - int(before["y"]))
            near = dx + dy == 1 if neighbours == 4 else max(dx, dy) == 1
            if near and int(e["t"]) - int(before["t"]) < 2000:
                kept.append(n)
                break
    assert np.array_equal(found.array, events.array[kept])
    assert 0 < len(kept) < len(events)
    with pytest.raises(ConfigError, match="neighbours must be 4 or 8"):
        denoise(events, neighbours=5)


def test_hot_pixels_drop_and_jitter() -> None:
    events = recording()
    counts = np.bincount(events.y.astype(int) * 9 + events.x, minlength=63)
    seconds = events.duration / 1e6
    assert len(without_hot_pixels(events, 5 / seconds)) == counts[counts <= 5].sum()
    half = drop(recording(20_000), 0.5, torch.Generator().manual_seed(0))
    assert abs(len(half) - 10_000) < 5 * 70  # five standard deviations
    assert np.array_equal(jitter(events, generator=torch.Generator().manual_seed(0)).array, events.array)
    moved = jitter(events, pixels=1.0, microseconds=500.0, generator=torch.Generator().manual_seed(0))
    assert (np.diff(moved.t) >= 0).all()
    assert 0 < len(moved) < len(events)
    again = jitter(events, pixels=1.0, microseconds=500.0, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(again.array, moved.array)


def test_stabilise_stops_a_moving_point() -> None:
    """A point that follows the strokes of N-MNIST stays within half a pixel of where it began."""
    times = np.arange(0, 308_000, 500)
    columns, rows = fitted_saccades().places(times / 1000.0, np.zeros((1, 8)))
    x, y = np.rint(10 + columns[0]).astype(int), np.rint(12 + rows[0]).astype(int)
    events = make_events(times, x, y, np.ones(len(times), int), height=34, width=34)
    assert np.ptp(events.y) >= 5
    still = stabilise(events)
    assert len(still) == len(events)
    assert np.ptp(still.x) <= 1
    assert np.ptp(still.y) <= 1
