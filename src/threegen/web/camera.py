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
from threegen.gen3.encoders import Encoder
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.parts import ENCODER, Cost, Use
from threegen.randomness import make_generator

DATA = EVENT_SETS["n-mnist"]


class SimulatedCamera(Encoder):
    """The camera as an encoder: drawings [B, 1, 28, 28] in 0..1 become events [T, B, 2 H W], OFF before ON.

    `cut` says how events become frames, which must be binary; `seed` draws the noise.
    """

    def __init__(self, cut: FrameOptions, *, seed: int = 0) -> None:
        super().__init__()
        self.cut, self.sensor, self.seed = cut, Camera(), seed
        self.latest: tuple[bytes, Tensor] | None = None

    def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return events [T, B, 2 H W]."""
        return torch.cat([self.frames(one[None]) for one in x]).flatten(2).transpose(0, 1)

    def frames(self, drawing: Tensor) -> Tensor:
        """Return one drawing [1, 1, 28, 28] as frames [1, T, 2, H, W].

        The frames of the last drawing are kept, because an answer, its cost and its pictures need the same ones.
        """
        key = drawing.detach().contiguous().numpy().tobytes()
        if self.latest is None or self.latest[0] != key:
            events = simulate(drawing.detach(), self.sensor, seed=self.seed)[0]
            self.latest = key, self.cut.frames(events)[None]
        return self.latest[1]

    def cost(self, use: Use) -> Cost:
        """Return no operations: a sensor makes the events, not the net."""
        return Cost(ENCODER, {}, use.output, "spikes", spikes=use.output)


class BehindCamera(SpikingMLP):
    """A spiking net for events that also takes drawings [B, 1, 28, 28] in 0..1, which the camera records first.

    The layers are those of `net`, not copies. `cut` and `seed` are those of `SimulatedCamera`.
    """

    def __init__(self, net: SpikingMLP, cut: FrameOptions, *, seed: int = 0) -> None:
        steps = cut.steps if isinstance(cut.steps, int) else len(cut.steps) - 1
        super().__init__(net.sizes, steps=steps, generator=make_generator("replaced at once"))
        self.synapses, self.neurons, self.readout = net.synapses, net.neurons, net.readout
        self.camera = self.encoder = SimulatedCamera(cut, seed=seed)

    @property
    def planes(self) -> tuple[int, int, int]:
        """The shape of a frame: OFF and ON events, rows, columns."""
        return 2, self.camera.sensor.height, self.camera.sensor.width

    @property
    def lasts(self) -> float:
        """How long all frames together last, milliseconds."""
        steps, whole = self.camera.cut.steps, self.camera.cut.milliseconds or self.camera.sensor.motion.lasts
        return float(whole if isinstance(steps, int) else steps[-1])

    def pixels(self, x: Tensor) -> Tensor:
        """Return drawings as the camera takes them: unchanged."""
        return x

    def receptive_fields(self) -> Tensor:
        """Return what the first units respond to [units, H, W]: weights of ON events less those of OFF events."""
        off, on = self.any_weight.detach().reshape(-1, *self.planes).unbind(1)
        return on - off


def reads_recordings_of_digits(facts: Mapping[str, Any]) -> bool:
    """Return whether a net with these facts takes recordings of the camera that is simulated here."""
    return facts["data"] == DATA.name and len(facts["shape"]) == 4 and tuple(facts["shape"][2:]) == DATA.size


def behind_camera(net: Any, facts: Mapping[str, Any]) -> BehindCamera:
    """Return the net of `facts` behind the camera; raises `ConfigError` for another net than `SpikingMLP`."""
    options = facts["data_options"]
    if not isinstance(net, SpikingMLP) or not options.get("binary"):
        raise ConfigError(
            f"{facts['name']} takes recordings; of such nets the page can show a SpikingMLP trained on binary frames "
            "(--binary)"
        )
    return BehindCamera(net, frame_options(DATA, options.get("frames"), options.get("milliseconds"), binary=True))
