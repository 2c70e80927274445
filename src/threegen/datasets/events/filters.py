"""Events in, events out: crop, flip, denoise, drop, jitter, hot pixels, sub-sampling, stabilisation.

Each is a plain function; the given recording is not changed.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from threegen.checks import require_choice, require_number, require_whole
from threegen.datasets.events.kernels import supported
from threegen.datasets.events.stream import Array, Events
from threegen.datasets.motions import Motion, fitted_saccades
from threegen.errors import ConfigError
from threegen.randomness import draw_key

AXES = ("horizontal", "vertical", "polarity", "time")
_AROUND = {
    4: ((-1, 0), (0, -1), (0, 1), (1, 0)),
    8: ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)),
}
_NEVER = -(1 << 60)


def crop(events: Events, top: int, left: int, height: int, width: int) -> Events:
    """Return the events of a rectangle, as a sensor of that size. Raises `ConfigError` if it leaves the sensor."""
    for name, value, least in (("top", top, 0), ("left", left, 0), ("height", height, 1), ("width", width, 1)):
        require_whole(name, value, least=least)
    if top + height > events.height or left + width > events.width:
        raise ConfigError(
            f"rows {top}..{top + height - 1} and columns {left}..{left + width - 1} leave the sensor of "
            f"{events.height} x {events.width} pixels"
        )
    x, y = events.x.astype(np.int64) - left, events.y.astype(np.int64) - top
    return _moved(dataclasses.replace(events, height=height, width=width), x, y)


def crop_time(events: Events, start: int, end: int) -> Events:
    """Return the events with start <= t < end, microseconds; times are kept."""
    begin, stop = np.searchsorted(events.t, [start, max(start, end)], "left")
    return events.pick(slice(int(begin), int(stop)))


def flip(events: Events, axis: str) -> Events:
    """Mirror a recording: "horizontal" (columns), "vertical" (rows), "polarity" (ON and OFF), or "time" (backwards).

    With time reversed, brightening becomes darkening, so polarities are swapped too.
    """
    require_choice("axis", axis, AXES)
    array = events.array.copy()
    if axis == "horizontal":
        array["x"] = events.width - 1 - array["x"]
    elif axis == "vertical":
        array["y"] = events.height - 1 - array["y"]
    else:
        array["p"] ^= 1
    if axis == "time" and len(array):
        array["t"] = array["t"][0] + array["t"][-1] - array["t"]
        array = array[::-1].copy()
    return dataclasses.replace(events, array=array)


def denoise(events: Events, milliseconds: float = 10.0, *, neighbours: int = 4) -> Events:
    """Keep the events that follow another in the neighbourhood in less than `milliseconds`.

    `neighbours` is 4 or 8 pixels around, the pixel itself not among them. Delbruck, "Frame-free dynamic digital
    vision" (2008).
    """
    if neighbours not in _AROUND:
        raise ConfigError(f"neighbours must be 4 or 8, got {neighbours!r}")
    within = round(1000 * require_number("milliseconds", milliseconds, above=0.0))
    keep = np.empty(len(events), np.bool_)
    last = np.full((events.height, events.width), _NEVER, np.int64)
    t, x, y = (np.ascontiguousarray(events.array[name]).astype(np.int64) for name in "txy")
    supported(t, x, y, events.height, events.width, within, np.array(_AROUND[neighbours], np.int64), last, keep)
    return events.pick(keep)


def without_hot_pixels(events: Events, hertz: float) -> Events:
    """Leave out the pixels that fire more often than `hertz` over the recording, from its first to its last event."""
    require_number("hertz", hertz, above=0.0)
    place = events.y.astype(np.int64) * events.width + events.x
    counts = np.bincount(place, minlength=events.height * events.width)
    hot = counts > hertz * events.duration / 1e6
    return events.pick(~hot[place])


def drop(events: Events, share: float, generator: torch.Generator | None = None) -> Events:
    """Leave out each event with probability `share`, 0..1."""
    require_number("share", share, least=0.0, most=1.0)
    return events.pick(_random(generator).random(len(events)) >= share)


def jitter(
    events: Events, *, pixels: float = 0.0, microseconds: float = 0.0, generator: torch.Generator | None = None
) -> Events:
    """Move each event by normal noise: `pixels` and `microseconds` are standard deviations.

    Events that leave the sensor are left out; the rest is sorted by time.
    """
    require_number("pixels", pixels, least=0.0)
    require_number("microseconds", microseconds, least=0.0)
    noise = _random(generator).standard_normal((3, len(events)))
    x, y = (np.rint(events.array[name] + pixels * row).astype(np.int64) for name, row in zip("xy", noise, strict=False))
    array = events.array.copy()
    array["t"] += np.rint(microseconds * noise[2]).astype(np.int64)
    found = _moved(dataclasses.replace(events, array=array), x, y)
    return found.pick(np.argsort(found.t, kind="stable"))


def shrink(events: Events, factor: int) -> Events:
    """Sum `factor` x `factor` pixels into one: all events are kept, on a smaller sensor. An incomplete last block is
    kept too."""
    require_whole("factor", factor)
    height, width = -(-events.height // factor), -(-events.width // factor)
    small = dataclasses.replace(events, height=height, width=width)
    return _moved(small, events.x.astype(np.int64) // factor, events.y.astype(np.int64) // factor)


def stabilise(events: Events, motion: Motion | None = None) -> Events:
    """Shift each event back by the movement of the image, so that a digit of N-MNIST does not move.

    `motion` is that of the camera; None takes the strokes fitted to N-MNIST. The image stays where it began. Events
    that leave the sensor are left out.
    """
    known = motion or fitted_saccades()
    times = np.concatenate([[0.0], events.t / 1000.0])
    columns, rows = (part[0] for part in known.places(times, np.zeros((1, 8))))
    x = np.rint(events.x - (columns[1:] - columns[0])).astype(np.int64)
    y = np.rint(events.y - (rows[1:] - rows[0])).astype(np.int64)
    return _moved(events, x, y)


def _moved(events: Events, x: Array, y: Array) -> Events:
    """Return the events at new places; those off the sensor are left out."""
    inside = (x >= 0) & (x < events.width) & (y >= 0) & (y < events.height)
    array = events.array[inside]
    array["x"], array["y"] = x[inside], y[inside]
    return dataclasses.replace(events, array=array)


def _random(generator: torch.Generator | None) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(draw_key(generator)))
