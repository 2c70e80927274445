"""The compiled part of the camera simulator: the events of an image that moves in front of a sensor, for many images.

Each pixel has the state V (filtered log intensity), a reference, two thresholds and an end of its dead time. Random
numbers come from a counter hashed with a key per image and pixel, so an image's events depend only on its key, not on
the number of cores or on the other images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from threegen.machine.compiler import parallel, serial
from threegen.machine.draws import GOLDEN, hashed

numba: Any = None
_HIGH = np.uint64(11)
_UNIT = 2.0**-53
_PIXELS = np.uint64(1 << 32)

# places of the numbers in `constants`
EPS, REFRACTORY, PULL, TAU, JITTER, LEAK_ON, LEAK_OFF, STEP, GROUND = range(9)


@serial
def uniform(key: Any, counter: Any) -> Any:
    """Return number `counter` of the stream `key`: a fraction in (0, 1)."""
    return (np.float64(hashed(key + GOLDEN * counter) >> _HIGH) + 0.5) * _UNIT


@serial
def normal(key: Any, counter: Any) -> Any:
    """Return a standard normal number (Box and Muller) from numbers `counter` and `counter + 1`."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, counter)))
    return radius * math.cos(2.0 * math.pi * uniform(key, counter + np.uint64(1)))


@serial
def log_light(image: Any, r: int, c: int, row: Any, column: Any, fy: Any, fx: Any, k: int, eps: Any) -> Any:
    """Return intensity and log intensity at pixel (r, c) at step k, bilinear; outside the image, its border values."""
    height, width = image.shape
    top, left = r + row[k], c + column[k]
    below, right = min(max(top + 1, 0), height - 1), min(max(left + 1, 0), width - 1)
    top, left = min(max(top, 0), height - 1), min(max(left, 0), width - 1)
    upper = image[top, left] + (image[top, right] - image[top, left]) * fx[k]
    lower = image[below, left] + (image[below, right] - image[below, left]) * fx[k]
    light = upper + (lower - upper) * fy[k]
    return light, math.log(light + eps)


@serial
def sees_ground(image: Any, top: int, bottom: int, left: int, right: int, ground: Any) -> Any:
    """Return whether all of the image that a pixel ever sees is `ground`."""
    height, width = image.shape
    for i in range(min(max(top, 0), height - 1), min(max(bottom, 0), height - 1) + 1):
        for j in range(min(max(left, 0), width - 1), min(max(right, 0), width - 1) + 1):
            if image[i, j] != ground:
                return False
    return True


@serial
def keep(out: Any, count: int, time: Any, place: int, on: int) -> int:
    """Append an event, as one whole number that sorts by time, then place; return the new count, also beyond `out`."""
    if count < len(out):
        out[count] = (np.int64(time) << 24) | np.int64(place << 1 | on)
    return count + 1


@serial
def leak_events(out: Any, count: int, key: Any, place: int, begin: Any, end: Any, on: int, rate: Any) -> int:
    """Append the random events of a pixel, `rate` per microsecond."""
    if rate <= 0.0:
        return count
    counter = np.uint64((1 << 40) + (on << 39))
    time = begin - math.log(uniform(key, counter)) / rate
    while time < end:
        count = keep(out, count, time, place, on)
        counter += np.uint64(1)
        time -= math.log(uniform(key, counter)) / rate
    return count


@serial
def one_pixel(
    out: Any, count: int, image: Any, r: int, c: int, place: int, motion: Any, key: Any, on: Any, off: Any, k0: Any
) -> int:
    """Append the events of the pixel (r, c) with the thresholds `on` and `off`; return the new count."""
    row, column, fy, fx = motion
    steps, step, eps, pull = len(row) - 1, k0[STEP], k0[EPS], k0[PULL]
    light, level = log_light(image, r, c, row, column, fy, fx, 0, eps)
    reference, drawn, dead = level, np.uint64(0), 0.0
    up, down = on, off
    waiting = False  # for the end of the dead time
    for k in range(1, steps + 1):
        begin = (k - 1) * step
        light, goal = log_light(image, r, c, row, column, fy, fx, k, eps)
        tau = k0[TAU] * (1.0 + eps) / (light + eps)
        after = level + (goal - level) * (step / (step + tau))
        here, moving = begin, True
        while moving:
            moving = False
            if waiting:
                if dead >= begin + step:
                    break
                here, waiting = max(dead, begin), False
                reference += pull * (level + (after - level) * ((here - begin) / step) - reference)
            at = level + (after - level) * ((here - begin) / step)
            polarity = -1
            if at >= reference + up or at <= reference - down:
                polarity, time = (1 if at >= reference + up else 0), here
            elif after >= reference + up:
                polarity, time = 1, begin + step * (reference + up - level) / (after - level)
            elif after <= reference - down:
                polarity, time = 0, begin + step * (reference - down - level) / (after - level)
            if polarity >= 0:
                reference += up if polarity == 1 else -down
                count = keep(out, count, time, place, polarity)
                factor = max(0.05, 1.0 + k0[JITTER] * normal(key, drawn))
                up, down = on * factor, off * factor
                drawn += np.uint64(2)
                dead, here, waiting, moving = time + k0[REFRACTORY], time, True, True
        level = after
    return count


@serial
def one_image(out: Any, image: Any, motion: Any, key: Any, on: Any, off: Any, k0: Any) -> int:
    """Fill `out` with the events of one image, sorted; return their number, which may exceed the buffer."""
    row, column, _, _ = motion
    height, width = on.shape
    end, count = (len(row) - 1) * k0[STEP], 0
    top, bottom, left, right = row.min(), row.max() + 1, column.min(), column.max() + 1
    for r in range(height):
        for c in range(width):
            place = r * width + c
            own = hashed(key + _PIXELS * np.uint64(place + 1))
            count = leak_events(out, count, own, place, 0.0, end, 1, k0[LEAK_ON])
            count = leak_events(out, count, own, place, 0.0, end, 0, k0[LEAK_OFF])
            if not sees_ground(image, r + top, r + bottom, c + left, c + right, k0[GROUND]):
                count = one_pixel(out, count, image, r, c, place, motion, own, on[r, c], off[r, c], k0)
    if count <= len(out):
        out[:count].sort()
    return count


@parallel
def many_images(
    out: Any, counts: Any, images: Any, row: Any, column: Any, fy: Any, fx: Any, keys: Any, on: Any, off: Any, k0: Any
) -> None:
    """Fill a row of `out` [N, room] and `counts` [N] for each image; images are independent."""
    for n in numba.prange(len(images)):
        motion = (row[n], column[n], fy[n], fx[n])
        counts[n] = one_image(out[n], images[n], motion, keys[n], on, off, k0)
