"""The net of 2012 on two devices, as in its paper: each holds half of the kernels and units of every layer.

| layer          | a tower reads                                                                        |
|----------------|--------------------------------------------------------------------------------------|
| conv1          | the image                                                                            |
| norm1, norm2   | its own planes, and the two planes of the other tower next to the border between them |
| conv2, 4, 5    | its own planes                                                                       |
| conv3          | all planes: both towers exchange theirs                                              |
| fc6, fc7       | all units: both towers exchange theirs                                               |
| fc8            | its own units; the first device adds up both halves of the scores                    |

With the two planes next to the border it computes the same function as the net on one device, whose normalisation runs
over all planes, up to rounding. Krizhevsky, Sutskever and Hinton, NIPS 25 (2012), section 3.2 and figure 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from threegen.errors import ConfigError

_NEAR = 2  # planes of the other tower that the normalisation over five planes reads
_CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
_LAYERS = ("fc6", "fc7", "fc8")


def require_pair(devices: Sequence[str | torch.device], splits: bool) -> tuple[str, ...]:
    """Return the names of two devices; raises `ConfigError` for another number, or a net that cannot be split."""
    if not splits:
        raise ConfigError('devices= splits the nets that have groups: variant="2012" or "small"')
    if isinstance(devices, str) or len(devices) != 2:
        raise ConfigError(f'devices must be two, such as ("cuda:0", "cuda:1"), got {devices!r}')
    try:
        return tuple(str(torch.device(device)) for device in devices)
    except RuntimeError as problem:
        raise ConfigError(f"devices are {tuple(devices)!r}; torch says: {problem}") from problem


class Tower(nn.Module):
    """One device's half of every layer: `conv1` to `conv5`, `fc6` to `fc8`."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential, half: int) -> None:
        super().__init__()
        for name in _CONVOLUTIONS:
            self.add_module(name, _half_of_convolution(getattr(features, name), half))
        for name in ("fc6", "fc7"):
            self.add_module(name, _half_of_rows(getattr(classifier, name), half))
        self.add_module("fc8", _half_of_columns(classifier.fc8, half))  # type: ignore[arg-type]


class Towers(nn.Module):
    """Two towers; `forward` takes images `[B, C, S, S]` and returns scores `[B, classes]` on the first device."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential, devices: Sequence[str]) -> None:
        super().__init__()
        towers = [Tower(features, classifier, half) for half in (0, 1)]
        self.towers = nn.ModuleList(tower.to(device) for tower, device in zip(towers, devices, strict=True))
        self.norm: nn.LocalResponseNorm = features.norm1  # type: ignore[assignment]
        self.pool: nn.MaxPool2d = features.pool1  # type: ignore[assignment]
        self.dropout: nn.Dropout = classifier.dropout6  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        states = [images, images]
        for name in _CONVOLUTIONS:
            if name == "conv3":
                states = self._exchanged(states)
            states = [F.relu(layer(_beside(x, layer))) for x, layer in zip(states, self._layers(name), strict=True)]
            if name in ("conv1", "conv2"):
                states = self._normalised(states)
            if name in ("conv1", "conv2", "conv5"):
                states = [self.pool(x) for x in states]
        states = [x.flatten(1) for x in states]
        for name in ("fc6", "fc7"):
            both = self._exchanged(states)
            states = [self.dropout(F.relu(layer(x))) for x, layer in zip(both, self._layers(name), strict=True)]
        first, second = (layer(x) for x, layer in zip(states, self._layers("fc8"), strict=True))
        scores: Tensor = first + second.to(first.device)
        return scores

    def _layers(self, name: str) -> list[nn.Module]:
        return [getattr(tower, name) for tower in self.towers]

    def _exchanged(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Return all planes or units on each device."""
        return [torch.cat([x.to(own.device) for x in states], 1) for own in states]

    def _normalised(self, states: Sequence[Tensor]) -> list[Tensor]:
        first, second = states
        planes, near = first.shape[1], min(_NEAR, first.shape[1])
        left = torch.cat([first, second[:, :near].to(first.device)], 1)
        right = torch.cat([first[:, planes - near :].to(second.device), second], 1)
        return [self.norm(left)[:, :planes], self.norm(right)[:, near:]]

    def joined(self) -> dict[str, Tensor]:
        """Return the weights under the names of the net on one device, on the first device."""
        found: dict[str, Tensor] = {}
        for name in (*_CONVOLUTIONS, *_LAYERS):
            part = "features" if name in _CONVOLUTIONS else "classifier"
            first, second = self._layers(name)
            for kind in ("weight", "bias"):
                halves = [getattr(first, kind), getattr(second, kind)]
                if halves[1] is None:  # the scores have one bias
                    halves.pop()
                across = 1 if name == "fc8" and kind == "weight" else 0
                found[f"{part}.{name}.{kind}"] = torch.cat([x.detach().to(halves[0].device) for x in halves], across)
        return found


def _beside(x: Tensor, layer: nn.Module) -> Tensor:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return x.to(weight.device)


@torch.no_grad()
def _half_of_convolution(whole: nn.Conv2d, half: int) -> nn.Conv2d:
    """Return the first or the second half of the kernels; for a layer in two groups, one group."""
    weight, bias = whole.weight.chunk(2)[half], whole.bias
    options = {"stride": whole.stride, "padding": whole.padding}
    made: nn.Conv2d = skip_init(nn.Conv2d, weight.shape[1], weight.shape[0], whole.kernel_size, **options)  # type: ignore
    made.weight.copy_(weight)
    if bias is not None and made.bias is not None:
        made.bias.copy_(bias.chunk(2)[half])
    return made


@torch.no_grad()
def _half_of_rows(whole: nn.Linear, half: int) -> nn.Linear:
    weight = whole.weight.chunk(2)[half]
    made: nn.Linear = skip_init(nn.Linear, weight.shape[1], weight.shape[0])  # type: ignore[no-untyped-call]
    made.weight.copy_(weight)
    made.bias.copy_(whole.bias.chunk(2)[half])
    return made


@torch.no_grad()
def _half_of_columns(whole: nn.Linear, half: int) -> nn.Linear:
    """Return the layer for half of its inputs; the first half has the bias."""
    weight = whole.weight.chunk(2, dim=1)[half]
    made: nn.Linear = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=half == 0)  # type: ignore[no-untyped-call]
    made.weight.copy_(weight)
    if half == 0:
        made.bias.copy_(whole.bias)
    return made
