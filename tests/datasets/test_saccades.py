"""The camera simulator: its pixels by hand, its draws, its size limits, and its fit to real recordings."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.datasets.events.frames import to_frames
from threegen.datasets.load import load_data
from threegen.datasets.motions import Line, Loop, fitted_saccades, straight
from threegen.datasets.saccades import Camera, simulate
from threegen.datasets.simulated import THREE_SACCADES, simulate_data
from threegen.errors import ConfigError, ShapeError
from threegen.studies.entries.camera import missed
from threegen.studies.registry import run_study

REAL = Path(os.environ.get("THREEGEN_DATA", "")) / "nmnist" / "Train-first-1000.zip"
QUIET = Camera(
    blur=0.0, gamma=1.0, spread=0.0, jitter=0.0, refractory=0.0, pull=0.0, tau=0.0, leak_on=0.0, leak_off=0.0
)


def digits(count: int) -> torch.Tensor:
    return load_data("mnist").test.inputs[:count]


def test_one_pixel_by_hand() -> None:
    """A ramp of ink moves over a row at constant speed: ON and OFF crossings of the levels, by the definition.

    Without filter, noise and dead time the reference moves by the threshold at each crossing of the log intensity,
    which runs straight between the steps of a millisecond.
    """
    ramp = torch.linspace(0, 1, 12)[None, None].expand(1, 12, 12).contiguous()
    camera = dataclasses.replace(QUIET, height=12, width=12, motion=Line([(0.0, 0.0, 0.0), (40.0, 4.0, 0.0)]))
    events = simulate(ramp, camera)[0]
    for column in range(12):
        levels = []
        for k in range(41):
            place = column - 4.0 * k / 40
            lower = math.floor(place)
            inks = [float(ramp[0, 0, j]) if 0 <= j < 12 else 0.0 for j in (lower, lower + 1)]
            ink = inks[0] + (inks[1] - inks[0]) * (place - lower)
            levels.append(math.log(1 - ink + camera.eps))
        reference, expected = levels[0], []
        for k in range(1, 41):
            while levels[k] >= reference + camera.on:
                reference += camera.on
                expected.append((1000 * (k - 1 + (reference - levels[k - 1]) / (levels[k] - levels[k - 1])), 1))
            while levels[k] <= reference - camera.off:
                reference -= camera.off
                expected.append((1000 * (k - 1 + (reference - levels[k - 1]) / (levels[k] - levels[k - 1])), 0))
        some = events.array[(events.y == 5) & (events.x == column)]
        assert [int(e["p"]) for e in some] == [p for _, p in expected]
        assert np.allclose(some["t"], [t for t, _ in expected], atol=1.01)
    assert len(events) > 30
    assert len(set(events.t % 1000)) > 5  # never stamped with the time of a frame


def test_an_image_has_its_own_draws_whatever_the_cores_and_the_others() -> None:
    images = digits(6)
    together = simulate(images, seed=3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        elsewhere = simulate(images, seed=3)
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(together, elsewhere, strict=True):
        assert np.array_equal(one.array, other.array)
    alone = simulate(images[4:5], seed=3, first=4)[0]
    assert np.array_equal(alone.array, together[4].array)
    assert not np.array_equal(simulate(images[4:5], seed=4, first=4)[0].array, alone.array)


def test_dead_time_order_and_places() -> None:
    camera = dataclasses.replace(Camera(), leak_on=0.0, leak_off=0.0)
    for events in simulate(digits(3), camera):
        assert (np.diff(events.t) >= 0).all()
        assert int(events.x.max()) < 34
        assert int(events.y.max()) < 34
        place = events.y.astype(int) * 34 + events.x
        order = np.lexsort((events.t, place))
        gaps = np.diff(events.t[order])[np.diff(place[order]) == 0]
        assert gaps.min() >= 1000 * camera.refractory - 1
        assert 1000 < len(events) < 9000


def test_a_blank_page_gives_leak_alone() -> None:
    """34 x 34 pixels, .3284 ON and .0279 OFF events a second over .308 s: 117 and 10 events, Poisson."""
    blank = torch.zeros(40, 1, 28, 28)
    found = simulate(blank)
    on = sum(int(events.p.sum()) for events in found)
    off = sum(len(events) for events in found) - on
    seconds = 40 * 34 * 34 * 0.308
    assert abs(on - Camera().leak_on * seconds) < 5 * math.sqrt(Camera().leak_on * seconds)
    assert abs(off - Camera().leak_off * seconds) < 5 * math.sqrt(Camera().leak_off * seconds)
    silent = dataclasses.replace(Camera(), leak_on=0.0, leak_off=0.0)
    assert len(simulate(blank[:1], silent)[0]) == 0


def test_more_events_than_there_was_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate(digits(2))
    monkeypatch.setattr("threegen.datasets.saccades._ROOM", 10)
    again = simulate(digits(2))
    assert all(np.array_equal(a.array, b.array) for a, b in zip(whole, again, strict=True))


def test_photographs_in_a_closed_loop() -> None:
    """Colour, four sensor pixels per image pixel, six loops of 200 ms; the loop comes back to where it began."""
    photos = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    motion = Loop()
    camera = Camera(height=128, width=128, scale=4.0, screen="photo", motion=motion)
    x, y = motion.places(np.array([0.0, 200.0, 50.0, 100.0]), np.zeros((1, 8)))
    assert x[0].tolist() == [-10, -10, 0, 10]
    assert y[0].tolist() == [0, 0, -10, 0]
    first, second = simulate(photos, camera)
    assert (first.height, first.width) == (128, 128)
    assert 1_190_000 < int(first.t[-1]) <= 1_200_000
    assert not np.array_equal(first.array, second.array)


def test_simulated_frames_are_those_of_the_events() -> None:
    data = load_data("mnist").test.take(5)
    made = simulate_data(data, THREE_SACCADES, seed=2, scale=0.25, most=1.0)
    assert made.shape == (3, 2, 34, 34)
    events = simulate(data.inputs, seed=2)
    expected = torch.stack([to_frames(one, THREE_SACCADES) for one in events])
    assert torch.equal(made.batch(torch.arange(5)).inputs, (expected / 4).clamp(max=1))
    assert torch.equal(simulate_data(data, 10, binary=True).frames.amax(), torch.tensor(1, dtype=torch.uint8))
    part = made.holdout(2, seed=0).train
    assert isinstance(part, Dataset)
    assert part.inputs.shape == (3, 3, 2, 34, 34)


def test_bad_arguments() -> None:
    with pytest.raises(ShapeError, match="the camera takes images"):
        simulate(torch.zeros(3, 784))
    with pytest.raises(ConfigError, match=r"needs values in 0\.\.1"):
        simulate(255 * torch.ones(1, 1, 28, 28))
    with pytest.raises(ConfigError, match="eps must be a finite number above"):
        Camera(eps=0.0)
    with pytest.raises(ConfigError, match="screen is 'black'"):
        Camera(screen="black")
    x, _ = straight(fitted_saccades()).places(np.array([0.0, 52.5, 105.0]), np.zeros((1, 8)))
    assert x[0, 1] == pytest.approx((x[0, 0] + x[0, 2]) / 2)


@pytest.mark.skipif(not REAL.is_file(), reason="the 1,000 real N-MNIST recordings are not here")
def test_the_fit_on_recordings_that_were_not_fitted(tmp_path: Path) -> None:
    """Sixty of them: correlations within reach of the goals; a straight way and an inverted picture fail."""
    found = run_study("camera", quick=True, out=tmp_path)["figures"]["judged"]
    assert missed({**found["fitted"], "mean events": 0.0}) == []
    assert found["fitted"]["volume r"] > 0.7
    assert abs(found["fitted"]["mean events"]) < 0.04  # 60 recordings: the goal of 3 % holds on all 500
    assert {"profile r", "volume r"} <= set(missed(found["straight way"]))
    assert {"count r", "volume r"} <= set(missed(found["inverted picture"]))
    assert (tmp_path / "camera.svg").is_file()
