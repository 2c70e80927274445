"""AlexNet, the net that won ImageNet 2012, and its one-tower successor, which torchvision calls AlexNet too.

    conv 96@11/4 - N - P | conv 256@5 - N - P | conv 384@3 | conv 384@3 | conv 256@3 - P | 4096 | 4096 | 1000
    N   b_i = a_i / (k + alpha sum_j a_j^2)^beta,  j the n = 5 planes around i;  k = 2, alpha = 1e-4, beta = .75
    P   the maximum over 3x3 places, every second one: neighbouring windows overlap

Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 25 (2012).
The second variant: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997.

| layer | planes          | groups | parameters | note                                                        |
|-------|-----------------|--------|------------|-------------------------------------------------------------|
| conv1 | 96@55x55 | 1 | 34,944 | the paper prints an input of 224; 227 gives 55 |
| conv2 | 256@27x27       | 2      | 307,456    | two groups: each plane sees the planes of its own GPU alone |
| conv3 | 384@13x13       | 1      | 885,120    | sees both                                                   |
| conv4 | 384@13x13       | 2      | 663,936    |                                                             |
| conv5 | 256@13x13 | 2 | 442,624 | 6x6 places after the last pooling |
| fc6   | 4096            |        | 37,752,832 | half of the units dropped in training                       |
| fc7   | 4096            |        | 16,781,312 | likewise                                                    |
| fc8   | 1000            |        | 4,097,000  |                                                             |

Together 60,965,224. torch's `LocalResponseNorm` divides alpha by n, so it gets n alpha = 5e-4 here. The other variant
has 64-192-384-256-256 planes, no groups, no normalisation, dropout *before* fc6 and fc7: 61,100,840 parameters.

`variant="small"` is the net of 2012 for pictures of about 32 x 32: its first kernel is 5 x 5 and moves by one place,
every other layer is as above. At width 1/4 and 10 classes in colour it has 1,796,458 parameters.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from threegen.checks import require_choice, require_images, require_number, require_whole
from threegen.errors import ConfigError
from threegen.gen2.alexnet_towers import Towers, require_pair
from threegen.gen2.response_norm import ResponseNorm, run_parts
from threegen.machine.memory import require_weights

VARIANTS = ("2012", "one-weird-trick", "small")
_OF_THE_PAPER = ("2012", "small")  # normalised, in groups, with the paper's initial values
# planes, kernel, stride, padding, groups, initial bias, normalised, pooled
_CONVOLUTIONS = {
    "2012": (
        (96, 11, 4, 0, 1, 0.0, True, True),
        (256, 5, 1, 2, 2, 1.0, True, True),
        (384, 3, 1, 1, 1, 0.0, False, False),
        (384, 3, 1, 1, 2, 1.0, False, False),
        (256, 3, 1, 1, 2, 1.0, False, True),
    ),
    "one-weird-trick": (
        (64, 11, 4, 2, 1, 0.0, False, True),
        (192, 5, 1, 2, 1, 0.0, False, True),
        (384, 3, 1, 1, 1, 0.0, False, False),
        (256, 3, 1, 1, 1, 0.0, False, False),
        (256, 3, 1, 1, 1, 0.0, False, True),
    ),
    "small": (
        (96, 5, 1, 2, 1, 0.0, True, True),
        (256, 5, 1, 2, 2, 1.0, True, True),
        (384, 3, 1, 1, 1, 0.0, False, False),
        (384, 3, 1, 1, 2, 1.0, False, False),
        (256, 3, 1, 1, 2, 1.0, False, True),
    ),
}
_FAN_IN = (363, 1200, 2304, 1728, 1728, 9216, 4096, 4096)  # of the net of 2012, conv1 to fc8
_SIDES = {"2012": 227, "one-weird-trick": 224, "small": 32}


class AlexNet(nn.Module):
    """AlexNet: 60,965,224 parameters as of 2012; `variant="one-weird-trick"`: torchvision's, 61,100,840.

    `forward` takes images `[B, channels, size, size]` and returns scores `[B, classes]`. For the net of 2012 their
    values are in 0..1; internally `mean` is subtracted and pixels are scaled to 0..255, the scale of the paper's
    initial values: N(0, .01), biases 1 in conv2, conv4, conv5, fc6 and fc7, else 0. Where a unit has fewer inputs than
    in the full net, the deviation grows with the root of that, so that potentials keep their magnitude. The other
    variant takes images as torchvision normalises them and starts from torch's own U(-1/sqrt(F), 1/sqrt(F));
    `load_state_dict` takes torchvision's weights unchanged.

    width: a factor for all planes and hidden units, for small machines. size: the images' side (by default 227, 224).
    picture: the side of smaller pictures that are enlarged to `size` inside (bilinearly). dropout: the share of
    units left out. Initial weights come only from `generator`; dropout draws from torch's generator.
    devices: two of them, such as ("cuda:0", "cuda:1"), split the net as the paper did (see `alexnet_towers`).
    Raises `ConfigError` for settings that cannot work, `ResourceError` for weights that do not fit into memory,
    `ShapeError` for other inputs.
    """

    def __init__(
        self,
        classes: int = 1000,
        *,
        variant: str = "2012",
        width: float = 1.0,
        channels: int = 3,
        size: int | None = None,
        picture: int | None = None,
        mean: float = 0.5,
        dropout: float = 0.5,
        devices: Sequence[str | torch.device] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.variant = require_choice("variant", variant, VARIANTS)
        self.width = require_number("width", width, above=0.0)
        self.classes, self.channels = require_whole("classes", classes), require_whole("channels", channels)
        self.size = _SIDES[variant] if size is None else require_whole("size", size)
        self.picture = self.size if picture is None else require_whole("picture", picture)
        self.mean = require_number("mean", mean)
        self.dropout = require_number("dropout", dropout, least=0.0, below=1.0)
        side = _last_side(variant, self.size)
        last = self._scaled(256)
        pooled = side if variant in _OF_THE_PAPER else 6
        hidden = self._scaled(4096)
        sizes = (last * pooled * pooled, hidden, hidden, classes)
        require_weights("AlexNet", pairwise(sizes))
        if variant in _OF_THE_PAPER:
            self.features = nn.Sequential(OrderedDict(self._named_convolutions()))
            self.classifier = nn.Sequential(OrderedDict(self._named_layers(sizes)))
        else:
            self.features = nn.Sequential(*(part for _, part in self._named_convolutions()))
            self.avgpool = nn.AdaptiveAvgPool2d(6)
            self.classifier = nn.Sequential(*self._successor_layers(sizes))
        self._fill(generator)
        self.devices: tuple[str, ...] = ()
        if devices is not None:
            self.devices = require_pair(devices, variant in _OF_THE_PAPER)
            self.halves = Towers(self.features, self.classifier, self.devices)
            del self.features, self.classifier

    def whole_state(self) -> dict[str, Tensor]:
        """Return the weights under the names that the net has on one device, wherever they are."""
        return self.halves.joined() if self.devices else dict(self.state_dict())

    def _scaled(self, units: int) -> int:
        """Return the number of planes or units at this width: even, for the groups."""
        return max(2, 2 * round(units * self.width / 2))

    def _named_convolutions(self) -> Iterator[tuple[str, nn.Module]]:
        planes = self.channels
        for number, row in enumerate(_CONVOLUTIONS[self.variant], start=1):
            wanted, kernel, stride, padding, groups, _, normalised, pooled = row
            out = self._scaled(wanted)
            options = {"stride": stride, "padding": padding, "groups": groups}
            yield f"conv{number}", skip_init(nn.Conv2d, planes, out, kernel, **options)  # type: ignore[no-untyped-call]
            yield f"relu{number}", nn.ReLU()
            if normalised:
                yield f"norm{number}", ResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
            if pooled:
                yield f"pool{number}", nn.MaxPool2d(3, 2)
            planes = out

    def _named_layers(self, sizes: tuple[int, ...]) -> Iterator[tuple[str, nn.Module]]:
        for number, (inputs, outputs) in enumerate(pairwise(sizes), start=6):
            yield f"fc{number}", skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
            if number < 8:
                yield f"relu{number}", nn.ReLU()
                yield f"dropout{number}", nn.Dropout(self.dropout)

    def _successor_layers(self, sizes: tuple[int, ...]) -> Iterator[nn.Module]:
        for number, (inputs, outputs) in enumerate(pairwise(sizes), start=6):
            if number < 8:
                yield nn.Dropout(self.dropout)
            yield skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
            if number < 8:
                yield nn.ReLU()

    @torch.no_grad()
    def _fill(self, generator: torch.Generator | None) -> None:
        layers = [part for part in self.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
        biases = [row[5] for row in _CONVOLUTIONS[self.variant]] + [1.0, 1.0, 0.0]
        for layer, bias, full in zip(layers, biases, _FAN_IN, strict=True):
            if self.variant in _OF_THE_PAPER:
                deviation = 0.01 * math.sqrt(full / layer.weight[0].numel())
                layer.weight.normal_(0.0, deviation, generator=generator)
                layer.bias.fill_(bias)  # type: ignore[union-attr]
            else:
                bound = 1.0 / math.sqrt(layer.weight[0].numel())
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)  # type: ignore[union-attr]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of `inputs`; larger is better."""
        weight: Tensor = next(self.halves.parameters()) if self.devices else self.features[0].weight  # type: ignore
        images = require_images("AlexNet", inputs, (self.channels, self.picture, self.picture), weight)
        if self.picture != self.size:
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", align_corners=False)
        if self.training and images.device.type == "cpu":  # planes side by side: quicker convolutions and normalisation
            images = images.contiguous(memory_format=torch.channels_last)
        if self.devices:
            split: Tensor = self.halves((images - self.mean) * 255.0)
            return split
        if self.variant in _OF_THE_PAPER:
            states = run_parts(self.features, (images - self.mean) * 255.0)
        else:
            states = self.avgpool(self.features(images))
        scores: Tensor = self.classifier(states.flatten(1))
        return scores


def _last_side(variant: str, size: int) -> int:
    """Return the side of the planes after the last pooling; raises `ConfigError` if it is zero."""
    side = _side_left(variant, size)
    if side < 1:
        least = next(one for one in range(size + 1, 228) if _side_left(variant, one) > 0)
        raise ConfigError(f"size is {size}; {variant} needs images of at least {least} x {least}")
    return side


def _side_left(variant: str, size: int) -> int:
    side = size
    for _, kernel, stride, padding, _, _, _, pooled in _CONVOLUTIONS[variant]:
        side = (side + 2 * padding - kernel) // stride + 1
        side = (side - 3) // 2 + 1 if pooled else side
        if side < 1:
            return 0
    return side
