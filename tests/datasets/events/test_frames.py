"""Frames, grids and surfaces against loops over single events."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from threegen.datasets.events.frames import to_frames, to_sliding_frames, to_time_surface, to_voxel_grid
from threegen.datasets.events.stream import Events, make_events
from threegen.errors import ConfigError, DataError


def recording(count: int = 500, seed: int = 0, height: int = 7, width: int = 9) -> Events:
    source = np.random.default_rng(seed)
    t = np.sort(source.integers(1_000, 90_000, count))
    x, y, p = source.integers(0, width, count), source.integers(0, height, count), source.integers(0, 2, count)
    return make_events(t, x, y, p, height=height, width=width)


def test_frames_by_time() -> None:
    events = recording()
    frames = to_frames(events, 7, milliseconds=60.0)
    expected = torch.zeros(7, 2, 7, 9)
    for e in events.array:
        number = int(e["t"]) * 7 // 60_000
        if number < 7:
            expected[number, int(e["p"]), int(e["y"]), int(e["x"])] += 1
    assert torch.equal(frames, expected)
    assert torch.equal(to_frames(events, 7, milliseconds=60.0, binary=True), (expected > 0).float())
    whole = to_frames(events, 4)
    assert whole.sum() == len(events)
    first, length = int(events.t[0]), events.duration + 1
    assert whole[0].sum() == sum((int(t) - first) * 4 // length == 0 for t in events.t)


def test_frames_between_boundaries_and_by_count() -> None:
    events = recording()
    frames = to_frames(events, (10, 30, 80))
    assert frames[0].sum() == sum(10_000 <= t < 30_000 for t in events.t)
    assert frames[1].sum() == sum(30_000 <= t < 80_000 for t in events.t)
    counted = to_frames(events, 3, by="count")
    assert [int(frame.sum()) for frame in counted] == [167, 167, 166]
    for e in events.array[:167]:
        assert counted[0, int(e["p"]), int(e["y"]), int(e["x"])] > 0


def test_sliding_frames() -> None:
    events = recording()
    frames = to_sliding_frames(events, 20.0, 5.0)
    first = int(events.t[0])
    assert len(frames) == (events.duration + 1 - 20_000) // 5_000 + 1
    for number, frame in enumerate(frames):
        begin = first + 5_000 * number
        assert frame.sum() == sum(begin <= t < begin + 20_000 for t in events.t)
    assert to_sliding_frames(events, 500.0, 5.0).sum() == len(events)


def test_voxel_grid() -> None:
    events = recording()
    expected = torch.zeros(5, 7, 9, dtype=torch.float64)
    for e in events.array:
        at = 4 * (int(e["t"]) - int(events.t[0])) / events.duration
        for bin_ in range(5):
            weight = max(0.0, 1 - abs(at - bin_))
            expected[bin_, int(e["y"]), int(e["x"])] += (1 if e["p"] else -1) * weight
    assert torch.allclose(to_voxel_grid(events, 5).double(), expected, atol=1e-5)
    assert to_voxel_grid(events, 1).shape == (1, 7, 9)


@pytest.mark.parametrize("milliseconds", [None, 60.0])
def test_time_surface(milliseconds: float | None) -> None:
    events = recording()
    surfaces = to_time_surface(events, 6, 12.0, milliseconds=milliseconds)
    begin = int(events.t[0]) if milliseconds is None else 0
    length = events.duration + 1 if milliseconds is None else 60_000
    expected = torch.zeros(6, 2, 7, 9)
    for step in range(6):
        end = begin + length * (step + 1) / 6
        for e in events.array:
            number = (int(e["t"]) - begin) * 6 // length
            if number <= step:
                expected[step, int(e["p"]), int(e["y"]), int(e["x"])] = math.exp((int(e["t"]) - end) / 12_000)
    assert torch.allclose(surfaces, expected, atol=1e-6)


def test_without_events_and_with_one() -> None:
    for count in (0, 1):
        events = recording().pick(slice(0, count))
        assert to_frames(events, 3).sum() == count
        assert to_frames(events, 3, by="count").sum() == count
        assert to_sliding_frames(events, 10.0, 5.0).sum() == count
        assert to_voxel_grid(events, 3).shape == (3, 7, 9)
        assert float(to_time_surface(events, 3, 10.0).sum() > 0) == count


def test_bad_arguments() -> None:
    events = recording()
    with pytest.raises(ConfigError, match="rising times"):
        to_frames(events, (10, 5))
    with pytest.raises(ConfigError, match="leave out by="):
        to_frames(events, (0, 5), by="count")
    with pytest.raises(ConfigError, match="steps must be a whole number"):
        to_frames(events, 0)
    with pytest.raises(DataError, match="event 1 is at x=9, y=1, off the sensor of 5 x 5"):
        make_events([1, 2], [0, 9], [0, 1], [0, 1], height=5, width=5)
    with pytest.raises(DataError, match=r"must be \[N\] alike"):
        make_events([1, 2], [0], [0, 1], [0, 1], height=5, width=5)
