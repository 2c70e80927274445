"""A convolutional net written as a string of layers: the artificial counterpart of `SpikingConvNet`.

    16C5 - P2 - 32C5 - P2 - 128 - 10       16 kernels of 5 x 5, averages over 2 x 2, 32 kernels, averages, 128 units
                                           behind each convolution and each hidden layer: normalisation, rectifier

The notation is that of Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018); the rectifier is that of
Nair and Hinton, ICML 2010, batch normalisation that of Ioffe and Szegedy, ICML 2015.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_images, require_number, require_sizes
from threegen.errors import ConfigError
from threegen.gen2.initial_values import convolution, linear, require_init
from threegen.gen2.spike_activations import FOR_SPIKES

_PART = re.compile(
    r"(?P<planes>[1-9]\d*)C(?P<kernel>[1-9]\d*)(p(?P<padding>\d+))?"
    r"|(?P<pool>[PM])(?P<window>[1-9]\d*)|(?P<units>[1-9]\d*)"
)
RECTIFIERS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, **FOR_SPIKES}


class ConvNet(nn.Module):
    """A convolutional net such as `ConvNet("16C5-P2-32C5-P2-128-10")`.

    `16C5` is a convolution without a border (`16C5p2` has one of two zeros), `P2` averages over windows of 2 x 2, `M2`
    takes their maximum, a number is a full layer; the last one gives the scores. `shape` is that of one image.
    `batch_norm` normalises after every convolution, `bias=False` leaves out all biases. `activation` is "relu", or one
    that is trained for spikes (see `spike_activations`): "clipped", "steps" (four), "one-step", "soft-lif". Initial
    weights come only from `generator`, by `init`. Raises `ConfigError` for invalid layers, `ShapeError` for inputs of
    another shape.
    """

    def __init__(
        self,
        layers: str = "16C5-P2-32C5-P2-128-10",
        *,
        shape: Sequence[int] = (1, 28, 28),
        activation: str = "relu",
        batch_norm: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        init: str | float = "he",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.description = layers
        self.shape = tuple(require_sizes("shape", shape, least_length=3))
        self.activation = require_choice("activation", activation, RECTIFIERS)
        self.batch_norm, self.bias = bool(batch_norm), bool(bias)
        self.dropout = require_number("dropout", dropout, least=0.0, below=1.0)
        self.init = require_init(init)
        self.layers = nn.Sequential(self._build(_parts(layers), generator))

    def _build(self, parts: Sequence[re.Match[str]], generator: torch.Generator | None) -> OrderedDict[str, nn.Module]:
        found: OrderedDict[str, nn.Module] = OrderedDict()
        channels, height, width = self.shape
        flat, numbers = False, {"conv": 0, "pool": 0, "linear": 0}

        def named(kind: str, module: nn.Module) -> None:
            numbers[kind] += 1
            found[f"{kind}{numbers[kind]}"] = module

        for place, part in enumerate(parts):
            if part["planes"]:
                planes, kernel, padding = int(part["planes"]), int(part["kernel"]), int(part["padding"] or 0)
                layer = convolution(channels, planes, kernel, self.init, generator, padding=padding)
                named("conv", self._without_bias(layer))
                channels, height, width = planes, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
                if self.batch_norm:
                    found[f"norm{numbers['conv']}"] = nn.BatchNorm2d(planes, affine=self.bias)
                found[f"relu{numbers['conv']}"] = RECTIFIERS[self.activation]()
            elif part["pool"]:
                size = int(part["window"])
                named("pool", nn.AvgPool2d(size) if part["pool"] == "P" else nn.MaxPool2d(size))
                height, width = height // size, width // size
            else:
                if not flat:
                    found["flatten"], flat = nn.Flatten(), True
                    channels, height, width = channels * height * width, 1, 1
                units, last = int(part["units"]), place == len(parts) - 1
                named("linear", self._without_bias(linear(channels, units, self.init, generator)))
                channels = units
                if not last:
                    found[f"linear-relu{numbers['linear']}"] = RECTIFIERS[self.activation]()
                    if self.dropout:
                        found[f"dropout{numbers['linear']}"] = nn.Dropout(self.dropout)
            if min(height, width) < 1:
                raise ConfigError(f"layers {self.description!r} reduce images of shape {self.shape} to nothing")
        return found

    def _without_bias(self, layer: nn.Conv2d | nn.Linear) -> nn.Module:
        if not self.bias:
            layer.bias = None
        return layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of images `[B, *shape]`; larger is better."""
        images = require_images("ConvNet", inputs, self.shape, next(self.layers.parameters()))
        scores: Tensor = self.layers(images)
        return scores

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"layers={self.description}, shape={list(self.shape)}"


def _parts(layers: str) -> list[re.Match[str]]:
    """Return the parts of a string of layers; raises `ConfigError`."""
    parts: list[re.Match[str]] = []
    for text in str(layers).split("-"):
        part = _PART.fullmatch(text)
        if part is None:
            raise ConfigError(
                f"layers {layers!r}: {text!r} is not a layer; write 16C5 (convolution), 16C5p2 (with a border), P2 or "
                "M2 (pooling) or 128 (units), joined by -"
            )
        if parts and parts[-1]["units"] and not part["units"]:
            raise ConfigError(f"layers {layers!r}: {text!r} comes after a full layer; convolutions come first")
        parts.append(part)
    if not parts[-1]["units"]:
        raise ConfigError(f"layers {layers!r} must end with the number of classes, such as 10")
    return parts
