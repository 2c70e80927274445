"""VGG: a deep net of 3 x 3 convolutions and 2 x 2 maximum pooling.

| configuration | planes of the convolutions, M: maximum over 2 x 2    | parameters (224 x 224, 1000 classes) |
|---------------|------------------------------------------------------|--------------------------------------|
| A             | 64 M 128 M 256 256 M 512 512 M 512 512 M             | 132,863,336                          |
| B             | 64 64 M 128 128 M 256 256 M 512 512 M 512 512 M      | 133,047,848                          |
| D             | 64 64 M 128 128 M 256 x 3 M 512 x 3 M 512 x 3 M      | 138,357,544                          |

After them come two full layers of 4096 units with dropout, and the scores. Karen Simonyan and Andrew Zisserman, "Very
deep convolutional networks for large-scale image recognition", ICLR (2015), table 1. Batch normalisation (Ioffe and
Szegedy, ICML 2015) is not in the paper; with it small nets train reliably.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_images, require_number, require_sizes, require_whole
from threegen.errors import ConfigError
from threegen.gen2.initial_values import convolution, linear

CONFIGURATIONS: dict[str, tuple[tuple[int, ...], ...]] = {  # planes between the poolings
    "A": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "B": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "D": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
}


class VGG(nn.Module):
    """A VGG net; `VGG(1000, shape=(3, 224, 224))` is configuration A of the paper, 132,863,336 parameters.

    Args:
        classes: how many scores it returns.
        shape: that of one image, `(C, H, W)`; a side that is odd is pooled up.
        configuration: "A", "B" or "D" of the paper's table 1.
        width: a factor for the planes of all convolutions.
        hidden: the units of the two full layers.
        batch_norm: normalise after each convolution, which then has no bias.
        dropout: the share of hidden units left out.
        generator: draws the initial weights, by He's scheme.

    `forward` takes images `[B, *shape]` and returns scores `[B, classes]`; larger is better. Raises `ConfigError` for
    settings that cannot work, `ShapeError` for inputs of another shape.
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: Sequence[int] = (3, 32, 32),
        configuration: str = "A",
        width: float = 1.0,
        hidden: int = 4096,
        batch_norm: bool = False,
        dropout: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.classes, self.hidden = require_whole("classes", classes), require_whole("hidden", hidden)
        self.configuration = require_choice("configuration", configuration, CONFIGURATIONS)
        self.shape = tuple(require_sizes("shape", shape, least_length=3))
        if len(self.shape) != 3:
            raise ConfigError(f"VGG takes pictures, shape (C, H, W), got {self.shape}")
        self.width = require_number("width", width, above=0.0)
        self.batch_norm, self.dropout = bool(batch_norm), require_number("dropout", dropout, least=0.0, below=1.0)
        self.features = nn.Sequential(OrderedDict(self._convolutions(generator)))
        height, width_left = self.shape[1:]
        for _ in CONFIGURATIONS[configuration]:
            height, width_left = -(-height // 2), -(-width_left // 2)
        last = self._scaled(512) * height * width_left
        self.classifier = nn.Sequential(
            OrderedDict[str, nn.Module](
                fc1=linear(last, self.hidden, "he", generator),
                relu1=nn.ReLU(),
                dropout1=nn.Dropout(self.dropout),
                fc2=linear(self.hidden, self.hidden, "he", generator),
                relu2=nn.ReLU(),
                dropout2=nn.Dropout(self.dropout),
                fc3=linear(self.hidden, self.classes, "he", generator),
            )
        )

    def _scaled(self, planes: int) -> int:
        return max(1, round(planes * self.width))

    def _convolutions(self, generator: torch.Generator | None) -> Iterator[tuple[str, nn.Module]]:
        planes, number = self.shape[0], 0
        for group, wanted in enumerate(CONFIGURATIONS[self.configuration], start=1):
            for full in wanted:
                number += 1
                layer = convolution(planes, self._scaled(full), 3, "he", generator, padding=1)
                planes = self._scaled(full)
                if self.batch_norm:
                    layer.bias = None
                yield f"conv{number}", layer
                if self.batch_norm:
                    yield f"norm{number}", nn.BatchNorm2d(planes)
                yield f"relu{number}", nn.ReLU()
            yield f"pool{group}", nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of images `[B, *shape]`."""
        first: Tensor = self.features[0].weight  # type: ignore[assignment]
        images = require_images("VGG", inputs, self.shape, first)
        scores: Tensor = self.classifier(self.features(images).flatten(1))
        return scores

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"configuration={self.configuration}, width={self.width:g}, shape={list(self.shape)}"
