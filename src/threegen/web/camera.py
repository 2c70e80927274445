"""A net for recordings of an event camera on the page: a simulated camera records the drawing first.

The camera is that of N-MNIST (`datasets.saccades`): the drawing moves in front of it in three strokes, and the events
become frames like those that the net was trained on. The random numbers are the same for all drawings, so equal
drawings give equal events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.events.known import EVENT_SETS
from threegen.datasets.events.recordings import FrameOptions, frame_options
from threegen.datasets.saccades import Camera, simulate
from threegen.errors import ConfigError
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.trains import is_train
from threegen.randomness import make_generator

DATA = EVENT_SETS["n-mnist"]


class BehindCamera(SpikingMLP):
    """A spiking net for events that also takes drawings [B, 1, 28, 28] in 0..1, which the camera records first.

    The layers are those of `net`, not copies. `cut` says how events become frames; `seed` draws the camera's noise.
    """

    def __init__(self, net: SpikingMLP, cut: FrameOptions, *, seed: int = 0) -> None:
        steps = cut.steps if isinstance(cut.steps, int) else len(cut.steps) - 1
        super().__init__(net.sizes, steps=steps, generator=make_generator("replaced at once"))
        self.synapses, self.neurons, self.readout = net.synapses, net.neurons, net.readout
        self.cut, self.camera, self.seed = cut, Camera(), seed
        self.latest: tuple[bytes, Tensor] | None = None

    @property
    def planes(self) -> tuple[int, int, int]:
        """The shape of a frame: OFF and ON events, rows, columns."""
        return 2, self.camera.height, self.camera.width

    @property
    def lasts(self) -> float:
        """How long all frames together last, milliseconds."""
        steps = self.cut.steps
        return float(self.cut.milliseconds or self.camera.motion.lasts) if isinstance(steps, int) else float(steps[-1])

    def recorded(self, x: Tensor) -> Tensor:
        """Return drawings as frames [B, T, 2, H, W]; frames and spike trains are returned as they are.

        The frames of the last drawing are kept, because an answer, its cost and its pictures need the same ones.
        """
        if is_train(x, self.one_input):
            return x
        if len(x) != 1:
            return torch.cat([self.recorded(one[None]) for one in x])
        key = x.detach().contiguous().numpy().tobytes()
        if self.latest is None or self.latest[0] != key:
            self.latest = key, self.cut.frames(simulate(x.detach(), self.camera, seed=self.seed)[0])[None]
        return self.latest[1]

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return scores [B, K] of drawings [B, 1, 28, 28] or of frames."""
        return super().forward(self.recorded(x), generator)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the events [T, B, 2 H W] of drawings or frames."""
        return super().encode(self.recorded(x), generator)

    def receptive_fields(self) -> Tensor:
        """Return what the first units respond to [units, H, W]: weights of ON events less those of OFF events."""
        off, on = self.any_weight.detach().reshape(-1, *self.planes).unbind(1)
        return on - off


def reads_recordings_of_digits(facts: Mapping[str, Any]) -> bool:
    """Return whether a net with these facts takes recordings of the camera that is simulated here."""
    return facts["data"] == DATA.name and len(facts["shape"]) == 4 and tuple(facts["shape"][2:]) == DATA.size


def behind_camera(net: Any, facts: Mapping[str, Any]) -> BehindCamera:
    """Return the net of `facts` behind the camera; raises `ConfigError` for another net than `SpikingMLP`."""
    if not isinstance(net, SpikingMLP):
        raise ConfigError(
            f"{facts['name']} takes recordings; of such nets the page can show a SpikingMLP, this is a "
            f"{type(net).__name__}"
        )
    options = {key: facts["data_options"].get(key) for key in ("frames", "milliseconds")}
    return BehindCamera(net, frame_options(DATA, **options, binary=bool(facts["data_options"].get("binary"))))
