"""A warning during the training of a spiking net, naming layers that are silent or saturated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from threegen.errors import ShapeError, warn_user
from threegen.gen3.health import unhealthy_layers
from threegen.gen3.networks import SpikingNet
from threegen.randomness import make_generator
from threegen.training.evaluate import evaluation_mode
from threegen.training.loop import Callback, Training

LOOKED_AT = 64  # images


class SpikeHealth(Callback):
    """Runs a few images after every epoch and warns (`UserWarning`), once per layer, of silence and saturation.

    `x` [N, ...] are images that the net takes; the first 64 are used. It does nothing for models that do not spike.
    `train_run` and the command line add it by themselves.
    """

    def __init__(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ShapeError(f"SpikeHealth needs images [N, ...], got {list(x.shape)}")
        self.x = x[:LOOKED_AT]
        self.warned: set[str] = set()

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Warn of each layer that was not yet named."""
        model = run.model
        if not isinstance(model, SpikingNet) or len(self.x) == 0:
            return
        device = next((one.device for one in model.parameters()), torch.device("cpu"))
        with evaluation_mode(model):
            found = unhealthy_layers(model, self.x.to(device), make_generator("spike health"))
        for sentence in found:
            start = sentence.partition("(")[0]
            if start not in self.warned:
                self.warned.add(start)
                warn_user(f"{type(model).__name__}: {sentence}")
