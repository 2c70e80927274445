"""Movements of an image in front of the camera: the three strokes of N-MNIST, the closed loop of CIFAR10-DVS, a line.

A motion gives the place of the image's upper left corner on the sensor, in pixels, at times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
_KNOTS = 257  # of a stroke's curve


class Motion(Protocol):
    """The position of the image over time."""

    @property
    def lasts(self) -> float:
        """The length of a recording in milliseconds."""
        ...

    def places(self, milliseconds: Array, shifts: Array) -> tuple[Array, Array]:
        """Return columns and rows `[N, T]` at the times `[T]`; `shifts` `[N, 8]` are standard normal, per recording."""
        ...


@dataclass(frozen=True)
class Stroke:
    """One movement: from `begin`, for `lasts` milliseconds, by `dx` and `dy` pixels.

    Its speed rises as a raised cosine over the share `rise` of its length and falls as one over the share `fall`.
    """

    begin: float
    lasts: float
    rise: float
    fall: float
    dx: float
    dy: float

    def progress(self, u: Array) -> Array:
        """Return the share of the path covered at the shares `u` of the time; 0 before and 1 after it."""
        knots = np.linspace(0.0, 1.0, _KNOTS)
        up = 0.5 - 0.5 * np.cos(np.pi * np.minimum(knots / self.rise, 1.0))
        down = 0.5 - 0.5 * np.cos(np.pi * np.minimum((1.0 - knots) / self.fall, 1.0))
        speed = up * down
        done = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
        found: Array = np.interp(u, knots, done / done[-1])
        return found


@dataclass(frozen=True)
class Saccades:
    """Strokes one after another from the corner (`x0`, `y0`).

    Each begins with a jitter of `jitter` milliseconds (standard deviation) per recording. Between the strokes the image
    sways by `sway` pixels (standard deviation per recording and axis; 0 holds it still).
    """

    strokes: Sequence[Stroke]
    x0: float
    y0: float
    jitter: float = 2.1
    sway: float = 0.0
    lasts: float = 308.0

    def places(self, milliseconds: Array, shifts: Array) -> tuple[Array, Array]:
        """See `Motion.places`; numbers 0 to 2 of `shifts` delay the strokes, 3 and 4 move the whole recording."""
        x = np.full((len(shifts), len(milliseconds)), self.x0)
        y = np.full((len(shifts), len(milliseconds)), self.y0)
        for number, stroke in enumerate(self.strokes):
            begin = stroke.begin + self.jitter * shifts[:, number % 3, None]
            done = stroke.progress((milliseconds[None] - begin) / stroke.lasts)
            x += stroke.dx * done
            y += stroke.dy * done
        return x + self.sway * shifts[:, 3, None], y + self.sway * shifts[:, 4, None]


@dataclass(frozen=True)
class Loop:
    """The closed loop of CIFAR10-DVS: four diagonal segments of `side` pixels each way, repeated.

    (0, 0), (s, -s), (2s, 0), (s, s), (0, 0): the authors' settings, as a re-implementation gives them, are s = 10
    pixels of the camera, 50 ms per segment and 6 loops. The loop is centred.
    """

    side: float = 10.0
    segment: float = 50.0
    loops: int = 6
    x0: float = 0.0
    y0: float = 0.0
    lasts: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lasts", 4 * self.segment * self.loops)

    def places(self, milliseconds: Array, shifts: Array) -> tuple[Array, Array]:
        """See `Motion.places`; every recording moves alike."""
        corners = np.arange(5) * self.segment
        at = np.mod(milliseconds, 4 * self.segment)
        x = self.x0 + np.interp(at, corners, np.array([-1.0, 0.0, 1.0, 0.0, -1.0]) * self.side)
        y = self.y0 + np.interp(at, corners, np.array([0.0, -1.0, 0.0, 1.0, 0.0]) * self.side)
        return np.tile(x, (len(shifts), 1)), np.tile(y, (len(shifts), 1))


@dataclass(frozen=True)
class Line:
    """Straight paths at constant speed between corners (milliseconds, x, y)."""

    corners: Sequence[tuple[float, float, float]]

    @property
    def lasts(self) -> float:
        """The time of the last corner."""
        return self.corners[-1][0]

    def places(self, milliseconds: Array, shifts: Array) -> tuple[Array, Array]:
        """See `Motion.places`; every recording moves alike."""
        times, x, y = zip(*self.corners, strict=True)
        place = np.interp(milliseconds, times, x), np.interp(milliseconds, times, y)
        return np.tile(place[0], (len(shifts), 1)), np.tile(place[1], (len(shifts), 1))


def straight(motion: Motion, corners: Sequence[float] = (0.0, 105.0, 212.0, 308.0)) -> Line:
    """Return the path through the same places at `corners` (milliseconds) at constant speed between them.

    A control: N-MNIST's strokes are often modelled like this, but its recordings move differently.
    """
    x, y = motion.places(np.array(corners), np.zeros((1, 8)))
    return Line([(time, float(a), float(b)) for time, a, b in zip(corners, x[0], y[0], strict=True)])


def fitted_saccades() -> Saccades:
    """Return the strokes of N-MNIST as fitted to 500 of its recordings (`scripts/fit_camera.py`).

    Three large strokes, and three small ones: before the first, and between them.
    """
    return Saccades(
        (
            Stroke(1.33, 89.36, 0.582, 0.504, 1.794, 5.344),
            Stroke(105.73, 88.43, 0.555, 0.551, 3.333, -5.431),
            Stroke(213.79, 85.71, 0.353, 0.461, -5.407, -0.504),
            Stroke(-3.23, 49.33, 0.377, 0.641, -0.397, 0.486),
            Stroke(96.74, 34.87, 0.583, 0.572, 0.491, -0.308),
            Stroke(182.47, 37.21, 0.423, 0.467, 0.198, 0.375),
        ),
        x0=0.35,
        y0=1.238,
        jitter=1.048,
    )
