"""A simulated event camera: an image that moves in front of it becomes events, as in N-MNIST and CIFAR10-DVS.

    I = (1 - m)^gamma, blurred          a dark digit m on a bright ground
    L = ln(I + eps)   ->   V            low pass with tau (1 + eps) / (I + eps): a dark pixel is slow
    ON where V - ref >= C_on,  OFF where ref - V >= C_off;  ref moves by the threshold
    dead for `refractory`, then ref <- pull V + (1 - pull) ref; leak: random events

V is linear within a time step, and the time at which it crosses a threshold is interpolated. Thresholds differ from
pixel to pixel by exp(spread z), the same in all recordings of one sensor, and from event to event by 1 + jitter z.

The default is the camera of N-MNIST as fitted to real recordings (`threegen study camera` evaluates it on others).
After Lichtsteiner, Posch and Delbruck, IEEE Journal of Solid-State Circuits 43 (2008), for the pixel, and Orchard et
al., Frontiers in Neuroscience 9:437 (2015), for the strokes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_choice, require_number, require_unit_range, require_whole
from threegen.datasets.camera_kernels import many_images
from threegen.datasets.events.stream import EVENT, Events
from threegen.datasets.motions import Motion, fitted_saccades
from threegen.errors import ShapeError
from threegen.randomness import derive_seed

Array = np.ndarray[Any, Any]
BLOCK = 256  # images of 34 x 34 pixels simulated at a time; fewer on a larger sensor
SCREENS = {"dark": 1.0, "bright": 0.0, "photo": -1.0}  # the light of the background; a photo has none
_ROOM = 12_000  # events of a recording of 34 x 34 pixels for which memory is first allocated
_PIXELS = 34 * 34


@dataclass(frozen=True)
class Camera:
    """A simulated sensor and the movement of the image in front of it.

    Args:
        height, width: the sensor's size in pixels.
        scale: sensor pixels per image pixel; 4 shows a CIFAR image 128 pixels wide.
        screen: "dark" shows 1 - m on a bright background, a dark digit, as in N-MNIST's recordings; "bright" shows m on
            a dark background; "photo" shows m and continues its border values outside.
        eps: light added to all intensities (0..1) before the logarithm.
        gamma: exponent of the screen.
        blur: standard deviation of the optics in pixels.
        on, off: thresholds in log intensity.
        spread: standard deviation of the log of a pixel's thresholds. jitter: of each event's, as a share.
        refractory: dead time after an event, milliseconds. pull: how far the reference moves to V at its end, 0..1.
        tau: time constant of the pixel in full light, milliseconds.
        leak_on, leak_off: random events per pixel and second (leak and shot noise).
        hot: pixels (row, column) that fire `hot_rate` times per second.
        step: the time step, milliseconds.
        motion: the movement of the image. sensor: seed of the pixels' thresholds: one number is one sensor.
    """

    height: int = 34
    width: int = 34
    scale: float = 1.0
    screen: str = "dark"
    eps: float = 0.2633
    gamma: float = 0.9954
    blur: float = 0.5741
    on: float = 0.1924
    off: float = 0.1785
    spread: float = 0.0624
    jitter: float = 0.1732
    refractory: float = 1.281
    pull: float = 0.2711
    tau: float = 0.716
    leak_on: float = 0.3284
    leak_off: float = 0.0279
    step: float = 1.0
    motion: Motion = field(default_factory=fitted_saccades)
    sensor: int = 0

    def __post_init__(self) -> None:
        require_choice("screen", self.screen, SCREENS)
        require_whole("height", self.height)
        require_whole("width", self.width)
        for name in ("scale", "eps", "gamma", "on", "off", "step"):
            require_number(name, getattr(self, name), above=0.0)
        for name in ("blur", "spread", "jitter", "refractory", "tau", "leak_on", "leak_off"):
            require_number(name, getattr(self, name), least=0.0)
        require_number("pull", self.pull, least=0.0, most=1.0)
        require_whole("sensor", self.sensor, least=0)

    def thresholds(self) -> tuple[Array, Array]:
        """Return the ON and OFF thresholds of all pixels, each `[height, width]`."""
        random = np.random.Generator(np.random.PCG64(derive_seed("sensor", self.sensor)))
        z = random.standard_normal((2, self.height, self.width))
        return self.on * np.exp(self.spread * z[0]), self.off * np.exp(self.spread * z[1])


def simulate(images: Tensor, camera: Camera | None = None, *, seed: int = 0, first: int = 0) -> list[Events]:
    """Return the events of each image.

    Args:
        images: `[N, 1, H, W]` or `[N, H, W]` in 0..1, white ink on black as in MNIST.
        camera: the sensor; by default that of N-MNIST.
        seed: drives noise and jitter. An image's events depend only on (`seed`, `first` + its index), not on the other
            images or on the number of cores.
        first: the number of the first image.

    Raises `ShapeError` for other shapes and `ConfigError` for values outside 0..1.

    Example:
        events = tg.datasets.simulate(data.test.inputs[:10])
        frames = tg.datasets.to_frames(events[0], 10)
    """
    found: list[Events] = []
    known = camera or Camera()
    for _, array, offsets in simulate_blocks(images, known, seed=seed, first=first):
        for begin, end in pairwise(offsets.tolist()):
            found.append(Events(array[begin:end], known.height, known.width))
    return found


def simulate_blocks(
    images: Tensor, camera: Camera, *, seed: int = 0, first: int = 0, block: int | None = None
) -> Iterator[tuple[int, Array, Array]]:
    """Yield (place of the first image, its block's events `[E]`, offsets `[n + 1]`), `block` images at a time.

    By default as many images as keep the memory of a block within some tens of megabytes. Other arguments and errors as
    in `simulate`.
    """
    grey = _grey(images)
    size = max(1, BLOCK * _PIXELS // (camera.height * camera.width)) if block is None else require_whole("block", block)
    on, off = camera.thresholds()
    times = np.arange(round(camera.motion.lasts / camera.step) + 1) * camera.step
    constants = _constants(camera)
    for start in range(0, len(grey), size):
        part = grey[start : start + size]
        keys = np.array([derive_seed(seed, "recording", first + start + n) for n in range(len(part))], np.uint64)
        canvas, margin = draw_canvas(part, camera)
        x, y = camera.motion.places(times, _shifts(keys))
        row, fy = _whole_and_rest(margin - y)
        column, fx = _whole_and_rest(margin - x)
        yield start, *_run(canvas, row, column, fy, fx, keys, on, off, constants)


def _run(canvas: Array, row: Array, column: Array, fy: Array, fx: Array, keys: Array, *fixed: Array) -> Any:
    """Return the events of one block and their offsets; the buffer grows if a recording has more events."""
    room, counts = max(_ROOM, _ROOM * fixed[0].size // _PIXELS), np.zeros(len(canvas), np.int64)
    while True:
        out = np.empty((len(canvas), room), np.int64)
        many_images(out, counts, canvas, row, column, fy, fx, keys, *fixed)
        if not len(counts) or counts.max() <= room:
            break
        room = int(counts.max())
    offsets = np.concatenate([[0], np.cumsum(counts)])
    array = np.empty(int(offsets[-1]), EVENT)
    width = fixed[0].shape[1]
    for n, (begin, end) in enumerate(pairwise(offsets.tolist())):
        code = out[n, : counts[n]]
        place = (code & 0xFFFFFF) >> 1
        some = array[begin:end]
        some["t"], some["p"], some["y"], some["x"] = code >> 24, code & 1, place // width, place % width
    return array, offsets


def _grey(images: Tensor) -> Array:
    if images.dim() not in (3, 4) or not images.is_floating_point() or 0 in images.shape[1:]:
        raise ShapeError(f"the camera takes images [N, 1, H, W] or [N, H, W] in 0..1, got {list(images.shape)}")
    if images.dim() == 4 and images.shape[1] not in (1, 3):
        raise ShapeError(f"the camera takes grey or colour images, got {list(images.shape)}")
    if len(images):
        require_unit_range("the images", images)
    if images.dim() == 4 and images.shape[1] == 3:  # luma of ITU-R BT.601
        images = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    elif images.dim() == 4:
        images = images[:, 0]
    return np.ascontiguousarray(images.detach().cpu().numpy(), np.float64)


def draw_canvas(grey: Array, camera: Camera) -> tuple[Array, float]:
    """Return intensities `[N, h, w]` with a margin of background around the image, blurred, and the margin's width."""
    light = (1.0 - grey if camera.screen == "dark" else grey) ** camera.gamma
    ground = SCREENS[camera.screen]
    if camera.scale != 1.0:
        light = _enlarged(light, camera.scale)
    reach = math.ceil(3.0 * camera.blur)
    margin = reach + 2
    mode: Any = {"mode": "edge"} if ground < 0 else {"mode": "constant", "constant_values": ground}
    light = np.pad(light, ((0, 0), (margin, margin), (margin, margin)), **mode)
    if camera.blur > 0:
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / camera.blur) ** 2)
        for axis in (1, 2):
            light = _blurred(light, taps / taps.sum(), axis)
    if ground >= 0:
        light = np.where(np.abs(light - ground) < 1e-9, ground, light)
    return np.ascontiguousarray(light), float(margin)


def _blurred(light: Array, taps: Array, axis: int) -> Array:
    reach = len(taps) // 2
    widths = [(0, 0), (0, 0), (0, 0)]
    widths[axis] = (reach, reach)
    padded = np.pad(light, widths, mode="edge")
    size = light.shape[axis]
    return np.asarray(sum(tap * padded.take(range(k, k + size), axis) for k, tap in enumerate(taps)))


def _enlarged(light: Array, scale: float) -> Array:
    """Return images `scale` times as large, bilinear, as a screen shows them."""
    size = [max(1, round(side * scale)) for side in light.shape[1:]]
    tensor = torch.from_numpy(light)[:, None]
    larger = torch.nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)
    return np.asarray(larger[:, 0].numpy())


def _whole_and_rest(places: Array) -> tuple[Array, Array]:
    whole = np.floor(places)
    return whole.astype(np.int64), np.ascontiguousarray(places - whole)


def _shifts(keys: Array) -> Array:
    """Return eight standard normal numbers for each recording, from its key."""
    return np.stack([np.random.Generator(np.random.PCG64(int(key))).standard_normal(8) for key in keys])


def _constants(camera: Camera) -> Array:
    """Return the numbers of the kernel, times in microseconds, in the order of `camera_kernels`."""
    numbers: Sequence[float] = (
        camera.eps,
        1e3 * camera.refractory,
        camera.pull,
        1e3 * camera.tau,
        camera.jitter,
        camera.leak_on / 1e6,
        camera.leak_off / 1e6,
        1e3 * camera.step,
        SCREENS[camera.screen],
    )
    return np.array(numbers, np.float64)
