"""The nets and images that the tests of explanations share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIXTURES = Path(__file__).parents[1] / "fixtures"
STYLES = (
    "module",
    "module in place",
    "functional",
    "functional in place",
    "torch",
    "method",
    "method in place",
    "clamp",
)


class Classic(nn.Module):
    """conv32 - conv64 - pool - dense128 - dense10, with relu written in one of many ways."""

    def __init__(self, style: str = "module") -> None:
        super().__init__()
        self.style = style
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)
        self.act = nn.ReLU(inplace=style == "module in place")
        self.drop1, self.drop2 = nn.Dropout(0.25), nn.Dropout(0.5)

    def relu(self, x: Tensor) -> Tensor:
        if self.style.startswith("module"):
            return self.act(x)
        if self.style == "method in place":
            x.relu_()
            return x
        ways = {"torch": torch.relu, "method": Tensor.relu, "clamp": lambda y: y.clamp(min=0)}
        if self.style in ways:
            return ways[self.style](x)
        return F.relu(x, inplace=self.style == "functional in place")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        x = self.drop1(F.max_pool2d(x, 2)).flatten(1)
        return self.fc2(self.drop2(self.relu(self.fc1(x))))


@cache
def _weights() -> dict[str, Tensor]:
    with np.load(FIXTURES / "keras_cnn_weights.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


@cache
def fixtures() -> dict[str, Tensor]:
    with np.load(FIXTURES / "fixtures_mnist.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


def classic(style: str = "module", *, training: bool = True) -> Classic:
    """Return the trained net; in training mode, so that a method that forgets eval mode meets dropout."""
    net = Classic(style)
    net.load_state_dict(_weights())
    return net.train(training)


class Pooled(nn.Module):
    """A net that ends in global mean pooling and one linear layer, with a softmax if wanted."""

    def __init__(self, *, softmax: bool = False, functional: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.norm = nn.Conv2d(1, 6, 3, padding=1, stride=2), nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 4)
        self.functional, self.softmax = functional, softmax

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv1(x)))
        x = F.relu(self.conv2(x))
        x = self.head(x.mean((2, 3)) if self.functional else self.pool(x).flatten(1))
        return F.softmax(x, 1) if self.softmax else x


class Convolutional(nn.Module):
    """Every operation that the incremental path knows: strides, padding, dilation, groups, both poolings."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=2, padding=2),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(6, 8, 3, padding=2, dilation=2, groups=2),
            nn.Tanh(),
            nn.AvgPool2d(2, stride=1),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(8 * 6 * 6, 12),
            nn.Sigmoid(),
            nn.Linear(12, 5),
        )
        norm = self.body[1]
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
