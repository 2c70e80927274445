"""Residual nets for small pictures: blocks that add a learned change to their input.

    x <- relu(x + norm(W2 * relu(norm(W1 * x))))       * a convolution of 3 x 3; norm: batch normalisation

Kaiming He, Xiangyu Zhang, Shaoqing Ren and Jian Sun, "Deep residual learning for image recognition", CVPR (2016),
section 4.2: a convolution of 16 planes, then three groups of n blocks with 16, 32 and 64 planes, the picture halved
before the second and the third, the mean of each plane, one full layer: 6 n + 2 layers. If planes are added, the
shortcut fills them with zeros and takes every second place (option A), so it has no parameters.

| n | layers | parameters (3 planes in, 10 classes) |
|---|--------|--------------------------------------|
| 1 | 8      | 75,290                               |
| 3 | 20     | 269,722                              |
| 5 | 32     | 464,154                              |
| 9 | 56     | 853,018                              |

`width` multiplies the planes, as in Zagoruyko and Komodakis, "Wide residual networks", BMVC (2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_images, require_number, require_sizes, require_whole
from threegen.errors import ConfigError
from threegen.gen2.initial_values import convolution, linear

_GROUPS = (16, 32, 64)


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 whose result is added to the input: `[B, planes_in, H, W]` to `[B, planes, H', W']`.

    `stride` 2 halves the picture. Weights are drawn by He's scheme, only from `generator`.
    """

    def __init__(self, planes_in: int, planes: int, stride: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.stride, self.added = stride, planes - planes_in
        self.conv1 = _plain(convolution(planes_in, planes, 3, "he", generator, stride=stride, padding=1))
        self.norm1 = nn.BatchNorm2d(planes)
        self.relu1 = nn.ReLU()
        self.conv2 = _plain(convolution(planes, planes, 3, "he", generator, padding=1))
        self.norm2 = nn.BatchNorm2d(planes)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return `relu(shortcut(x) + residual(x))`."""
        residual = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        if self.stride > 1 or self.added:
            before = self.added // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))
        joined: Tensor = self.relu2(x + residual)
        return joined


class ResNet(nn.Module):
    """A residual net for pictures of about 32 x 32, as in section 4.2 of the paper; `ResNet(10)` is ResNet-20.

    Args:
        classes: how many scores it returns.
        shape: that of one image, `(C, H, W)`.
        blocks: n, the blocks of each of the three groups; the net has 6 n + 2 layers.
        width: a factor for the planes of all groups (16, 32, 64).
        generator: draws the initial weights, by He's scheme.

    `forward` takes images `[B, *shape]` and returns scores `[B, classes]`; larger is better. Raises `ConfigError` for
    settings that cannot work, `ShapeError` for inputs of another shape.
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: Sequence[int] = (3, 32, 32),
        blocks: int = 3,
        width: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.classes, self.blocks = require_whole("classes", classes), require_whole("blocks", blocks)
        self.shape = tuple(require_sizes("shape", shape, least_length=3))
        self.width = require_number("width", width, above=0.0)
        if len(self.shape) != 3 or min(self.shape[1:]) < 4:
            raise ConfigError(f"ResNet halves a picture twice; shape is (C, H, W) of 4 x 4 or more, got {self.shape}")
        planes = [max(1, round(group * self.width)) for group in _GROUPS]
        self.conv = _plain(convolution(self.shape[0], planes[0], 3, "he", generator, padding=1))
        self.norm = nn.BatchNorm2d(planes[0])
        self.relu = nn.ReLU()
        last, groups = planes[0], []
        for number, wanted in enumerate(planes):
            for place in range(self.blocks):
                groups.append(ResidualBlock(last, wanted, 2 if number and not place else 1, generator))
                last = wanted
        self.groups = nn.Sequential(*groups)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.scores = linear(last, self.classes, "he", generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of images `[B, *shape]`."""
        images = require_images("ResNet", inputs, self.shape, self.conv.weight)
        states = self.groups(self.relu(self.norm(self.conv(images))))
        scores: Tensor = self.scores(self.pool(states).flatten(1))
        return scores

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"shape={list(self.shape)}, layers={6 * self.blocks + 2}, width={self.width:g}"


def _plain(layer: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution without a bias: the normalisation after it has one."""
    layer.bias = None
    return layer
