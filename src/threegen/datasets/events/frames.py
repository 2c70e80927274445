"""Convert events to tensors: frames by time, by count and sliding, voxel grids and time surfaces.

Shapes: N events, T frames, [2, H, W] polarity (0 OFF first), rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_choice, require_number, require_whole
from threegen.datasets.events.stream import Array, Events
from threegen.errors import ConfigError

BY = ("time", "count")


def to_frames(
    events: Events,
    steps: int | Sequence[float],
    *,
    by: str = "time",
    milliseconds: float | None = None,
    binary: bool = False,
) -> Tensor:
    """Count the events of each pixel in `steps` parts of a recording.

    Args:
        events: the recording.
        steps: how many equal parts, or the boundaries between frames in milliseconds, such as (0, 103, 206, 310).
        by: "time" gives parts of equal length, "count" parts of equal numbers of events (the first ones have one more).
        milliseconds: parts of the time from 0 to this; None takes the time from the first to the last event.
        binary: 1 where there are events, instead of their number.

    Events outside the boundaries are left out. Returns float32 `[T, 2, H, W]`. Raises `ConfigError`.

    Example:
        to_frames(events, 10, milliseconds=300)        to_frames(events, (0, 103, 206, 310))
    """
    number = frame_numbers(events, steps, by=by, milliseconds=milliseconds)
    count = steps if isinstance(steps, int) else len(steps) - 1
    return _counted(events, number, count, binary)


def frame_numbers(
    events: Events, steps: int | Sequence[float], *, by: str = "time", milliseconds: float | None = None
) -> Array:
    """Return the frame of each event `[N]`, int64; -1 for events that belong to none. Arguments as in `to_frames`."""
    require_choice("by", by, BY)
    if not isinstance(steps, int):
        if by == "count" or milliseconds is not None:
            raise ConfigError("frames= already gives the times as boundaries; leave out by= and milliseconds=")
        return _between(events.t, steps)
    require_whole("steps", steps)
    if by == "count":
        return np.arange(len(events), dtype=np.int64) * steps // max(1, len(events))
    if milliseconds is None:
        begin, length = (int(events.t[0]), events.duration + 1) if len(events) else (0, 1)
    else:
        begin, length = 0, round(1000 * require_number("milliseconds", milliseconds, above=0.0))
    number: Array = (events.t - begin) * steps // length
    if milliseconds is not None:
        number[(number < 0) | (number >= steps)] = -1
    return number


def _between(t: Array, boundaries: Sequence[float]) -> Array:
    edges = np.array([1000.0 * float(edge) for edge in boundaries])
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ConfigError(f"boundaries must be at least two rising times in milliseconds, got {list(boundaries)!r}")
    number = np.searchsorted(edges, t, side="right") - 1
    number[number >= len(edges) - 1] = -1
    return number.astype(np.int64)


def _counted(events: Events, number: Array, count: int, binary: bool) -> Tensor:
    pixels = 2 * events.height * events.width
    place = number * pixels + (events.p * np.int64(events.height) + events.y) * events.width + events.x
    if len(number) and number.min() < 0:
        place = place[number >= 0]
    found = np.bincount(place, minlength=count * pixels)
    values = (found > 0).astype(np.float32) if binary else found.astype(np.float32)
    return torch.from_numpy(values).view(count, 2, events.height, events.width)


def to_sliding_frames(events: Events, window: float, stride: float, *, binary: bool = False) -> Tensor:
    """Count the events of each pixel in windows that may overlap, as frames of a movie.

    Args:
        events: the recording.
        window, stride: length of a window and distance of window starts, milliseconds; the first begins with the first
            event.
        binary: 1 where there are events, instead of their number.

    Returns float32 `[T, 2, H, W]`; the last window is the last that ends within the recording, at least one.
    """
    width = round(1000 * require_number("window", window, above=0.0))
    step = round(1000 * require_number("stride", stride, above=0.0))
    if not width or not step:
        raise ConfigError(f"window and stride must be at least a microsecond, got {window!r} and {stride!r} ms")
    begin = int(events.t[0]) if len(events) else 0
    count = max(0, events.duration + 1 - width) // step + 1
    starts = begin + step * np.arange(count)
    first, last = np.searchsorted(events.t, starts, "left"), np.searchsorted(events.t, starts + width, "left")
    index = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)]) if count else np.zeros(0, int)
    number = np.repeat(np.arange(count), last - first)
    return _counted(events.pick(index), number, count, binary)


def to_voxel_grid(events: Events, bins: int) -> Tensor:
    """Sum polarities (+1 ON, -1 OFF) with bilinear weights in time.

    An event at t* = (bins - 1) (t - t_first) / (t_last - t_first) gives 1 - |t* - b| to the bins b within 1. Returns
    float32 `[bins, H, W]`. Zhu, Yuan, Chaney and Daniilidis, CVPR 2019, equation 1.
    """
    require_whole("bins", bins)
    pixels = events.height * events.width
    place = events.y.astype(np.int64) * events.width + events.x
    sign = 2.0 * events.p - 1.0
    begin = int(events.t[0]) if len(events) else 0
    at = (bins - 1) * (events.t - begin) / max(1, events.duration)
    lower = np.minimum(at.astype(np.int64), bins - 1)
    share = at - lower
    grid = np.bincount(lower * pixels + place, sign * (1.0 - share), minlength=bins * pixels)
    inside = lower + 1 < bins
    upper = ((lower + 1) * pixels + place)[inside]
    grid += np.bincount(upper, (sign * share)[inside], minlength=bins * pixels)
    return torch.from_numpy(grid.astype(np.float32)).view(bins, events.height, events.width)


def to_time_surface(events: Events, steps: int, tau: float, *, milliseconds: float | None = None) -> Tensor:
    """Return the recency of each pixel's last event, exp(-(t_ref - t_last) / tau), at the ends of `steps` equal parts.

    Args:
        events: the recording.
        steps: how many surfaces.
        tau: decay, milliseconds.
        milliseconds: parts of the time from 0 to this; None takes the time from the first to the last event.

    Pixels without an event yet are 0. Returns float32 `[T, 2, H, W]`. Lagorce et al., IEEE TPAMI 39 (2017).
    """
    decay = 1000.0 * require_number("tau", tau, above=0.0)
    number = frame_numbers(events, steps, milliseconds=milliseconds)
    begin = int(events.t[0]) if milliseconds is None and len(events) else 0
    length = events.duration + 1 if milliseconds is None else round(1000 * milliseconds)
    pixels = 2 * events.height * events.width
    place = (events.p * np.int64(events.height) + events.y) * events.width + events.x
    last = np.full(pixels, -np.inf)
    out = np.empty((steps, pixels), np.float32)
    for step in range(steps):
        some = number == step
        last[place[some]] = events.t[some]  # of several events of a pixel the last is kept
        out[step] = np.exp((last - (begin + length * (step + 1) / steps)) / decay)
    return torch.from_numpy(out).view(steps, 2, events.height, events.width)
