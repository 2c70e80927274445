"""Convolutional nets for digits: LeNet-5 in its widespread form.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86 (1998) 2278-2324.

| module    | paper | makes            | planes   | parameters |
|-----------|-------|------------------|----------|------------|
| `conv1`   | C1    | 5x5 convolution  | 6@28x28  | 156        |
| `pool1`   | S2    | 2x2 pooling      | 6@14x14  | 0          |
| `conv2`   | C3    | 5x5 convolution  | 16@10x10 | 2,416      |
| `pool2`   | S4    | 2x2 pooling      | 16@5x5   | 0          |
| `linear1` | C5    | fully connected  | 120      | 48,120     |
| `linear2` | F6    | fully connected  | 84       | 10,164     |
| `linear3` | RBF   | fully connected  | 10       | 850        |

Together 61,706; the 1998 net has 60,000. What differs from the paper:

- every plane of C3 reads all planes of S2; in the paper a table names 60 of the 96 pairs;
- pooling takes the maximum; in the paper the sum, times a learned factor, plus a learned bias, squashed;
- units are relu; in the paper 1.7159 tanh(2/3 a);
- the output is linear and goes into softmax and cross-entropy; in the paper squared distances to fixed codes;
- pixels are in 0..1; in the paper in -0.1..1.175, so that their mean is near 0.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from threegen.checks import require_images, require_whole
from threegen.gen2.initial_values import convolution, linear, require_init
from threegen.gen2.stacked import StackedLeNet


class LeNet5Modern(nn.Module):
    """LeNet-5 in its common modern form: 61,706 parameters, relu, maximum pooling, softmax.

    `forward` takes images `[B, 1, 28, 28]` with values in 0..1 (the border of two that makes 32x32 of them is
    added inside) and returns scores `[B, classes]`. The sub-modules are in `layers` under the names of the
    table above. Initial weights come from `generator` alone, by `init` (see `gen2/initial_values.py`; after two
    passes over 20,000 digits the default was right on .3 % more images than `he`, and relu with maximum pooling on
    1.6 % more than tanh with mean pooling; three seeds each). Biases start at zero.
    Raises `ConfigError` for fewer than one class or an unknown `init`, `ShapeError` for other inputs.
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        init: str | float = "glorot-uniform",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.classes = require_whole("classes", classes)
        self.init = require_init(init)
        self.layers = nn.Sequential(
            OrderedDict(
                conv1=convolution(1, 6, 5, init, generator, padding=2),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=convolution(6, 16, 5, init, generator),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                linear1=linear(16 * 5 * 5, 120, init, generator),
                relu3=nn.ReLU(),
                linear2=linear(120, 84, init, generator),
                relu4=nn.ReLU(),
                linear3=linear(84, classes, init, generator),
            )
        )

    def stack(self, n: int) -> StackedLeNet:
        """Return an empty stack for `n` networks like this one, which then train at once (see `gen2/stacked.py`)."""
        return StackedLeNet(self, n)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of `inputs`; larger is better."""
        weight: Tensor = self.layers.conv1.weight  # type: ignore[assignment,union-attr]
        images = require_images("LeNet5Modern", inputs, (1, 28, 28), weight)
        scores: Tensor = self.layers(images)
        return scores
