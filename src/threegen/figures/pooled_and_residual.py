"""Further converted nets in addition to that of `converted`: maximum pooling, shortcuts, and the net of Diehl et al.
(2015).

    maximum     16C5-BN-MP2-32C5-BN-MP2-128-10
    residual    16C3-BN-AP2-[16C3-BN-16C3-BN]-AP2-[32C3-BN-32C3-BN]-AP2-10, a shortcut past each bracket: the signal
                itself past the first, 1 x 1 kernels and normalisation past the second, where the planes become 32
    diehl       12C5-AP2-64C5-AP2-10, no biases, no normalisation, dropout of a half before the last layer

Hu, Tang and Pan, "Spiking deep residual networks", IEEE TNNLS 2021 (arXiv 2018): shortcuts with their own scale. Diehl,
Neil, Binas, Cook, Liu and Pfeiffer, IJCNN 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.conversion.convert import convert
from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import DistortedDataset
from threegen.datasets.load import load_data
from threegen.figures.converted import FOLDER, MOVED, taught
from threegen.figures.reproduce import Made
from threegen.gen2.conv_net import ConvNet
from threegen.gen2.initial_values import convolution, linear
from threegen.randomness import make_generator
from threegen.training.evaluate import evaluate

MAX_POOLED = "16C5-M2-32C5-M2-128-10"
STEPS = 8
RESIDUAL_EPOCHS = 4
DIEHL_EPOCHS, DIEHL_RATE = 20, 1e-3  # without normalisation
# The settings of the papers: largest activations and spike-coded images; percentiles and analog images.
DIEHL: dict[str, Any] = {
    "steps": 100,
    "method": "max",
    "per_channel": False,
    "initial": "zero",
    "reset": "zero",
    "input": "bernoulli",
    "readout": "rate",
}
RUECKAUER: dict[str, Any] = {"steps": 64, "method": "percentile", "per_channel": False, "initial": "zero"}


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 with normalisation, and a shortcut past them; `planes` is the number of output
    planes."""

    def __init__(self, inputs: int, planes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(convolution(before, planes, 3, "he", generator, padding=1), nn.BatchNorm2d(planes))
            for before in (inputs, planes)
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != planes:
            self.shortcut = nn.Sequential(convolution(inputs, planes, 1, "he", generator), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the planes [B, planes, H, W]."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def residual_net(generator: torch.Generator) -> nn.Sequential:
    """Return the small residual net for images [B, 1, 28, 28], untrained."""
    return nn.Sequential(
        convolution(1, 16, 3, "he", generator, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AvgPool2d(2),
        ResidualBlock(16, 16, generator),
        nn.AvgPool2d(2),
        ResidualBlock(16, 32, generator),
        nn.AvgPool2d(2),
        nn.Flatten(),
        linear(32 * 3 * 3, 10, "he", generator),
    )


def diehl_net(generator: torch.Generator) -> nn.Sequential:
    """Return the convolutional net of Diehl et al. for images [B, 1, 28, 28], untrained."""
    net = ConvNet("12C5-P2-64C5-P2-10", batch_norm=False, bias=False, generator=generator)
    *first, last = net.layers.children()
    return nn.Sequential(*first, nn.Dropout(0.5), last)


def max_pooled(seed: int, train: Dataset, *, folder: Path = FOLDER, progress: bool = False) -> tuple[nn.Module, float]:
    """Return the trained net with maximum pooling of a seed, and the seconds that it took."""
    net = ConvNet(MAX_POOLED, generator=make_generator(seed, "max-pool"))
    return net, taught(net, DistortedDataset(train, MOVED), seed, folder / f"max-pool-{seed}", progress=progress)


def residual(seed: int, train: Dataset, *, folder: Path = FOLDER, progress: bool = False) -> tuple[nn.Module, float]:
    """Return the trained residual net of a seed, and the seconds that it took."""
    net = residual_net(make_generator(seed, "residual"))
    return net, taught(
        net,
        DistortedDataset(train, MOVED),
        seed,
        folder / f"residual-{seed}",
        epochs=RESIDUAL_EPOCHS,
        progress=progress,
    )


def diehl(seed: int, train: Dataset, *, folder: Path = FOLDER, progress: bool = False) -> tuple[nn.Module, float]:
    """Return the trained net of Diehl et al. of a seed, and the seconds that it took; the images are not moved."""
    net = diehl_net(make_generator(seed, "diehl"))
    return net, taught(
        net, train, seed, folder / f"diehl-{seed}", epochs=DIEHL_EPOCHS, rate=DIEHL_RATE, progress=progress
    )


def converted_accuracy(made: tuple[nn.Module, float], seed: int, **options: Any) -> Made:
    """Return the test accuracy in per cent of the spiking copy of a trained net; `options` are those of `convert`."""
    net, seconds = made
    data = load_data("mnist")
    spiking = convert(net, data.train, seed=seed, **options)
    return Made(100 * evaluate(spiking, data.test, seed=seed).accuracy, seconds)


def max_pool_accuracy(seed: int, progress: bool) -> Made:
    """Return the test accuracy of the converted net with maximum pooling, default method, 8 steps."""
    return converted_accuracy(max_pooled(seed, load_data("mnist").train, progress=progress), seed, steps=STEPS)


def residual_accuracy(seed: int, progress: bool) -> Made:
    """Return the test accuracy of the converted residual net, default method, 8 steps."""
    return converted_accuracy(residual(seed, load_data("mnist").train, progress=progress), seed, steps=STEPS)


def diehl_accuracy(seed: int, progress: bool) -> Made:
    """Return the test accuracy of the net of Diehl et al., converted as in their paper."""
    return converted_accuracy(diehl(seed, load_data("mnist").train, progress=progress), seed, **DIEHL)


def rueckauer_accuracy(seed: int, progress: bool) -> Made:
    """Return the test accuracy of the net with maximum pooling, converted as Rueckauer et al. do."""
    return converted_accuracy(max_pooled(seed, load_data("mnist").train, progress=progress), seed, **RUECKAUER)
