"""Moved and distorted digits: the accuracy of a neocognitron, an MLP and a convolutional net."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.gen1.neocognitron_2003 import Neocognitron2003
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.registry.self_organisation import self_organisation
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import dress, lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy, balanced
from threegen.training.evaluate import evaluation_mode
from threegen.training.fit import fit

SHIFTS = (0, 1, 2, 3, 4, 5, 6)
SCALES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
NOISES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SHEARS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SHOWN = ("S1", "C1", "S2", "C2", "S3", "C3")


def warped(images: Tensor, matrix: Tensor) -> Tensor:
    """Return `images` `[N, 1, H, W]` transformed by `matrix` `[2, 3]`, which maps output places to input places."""
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def shifted(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Return each image moved by that many pixels in one of eight directions, drawn per image; pixels outside are
    lost."""
    angle = torch.randint(8, (len(images),), generator=generator) * (math.pi / 4)
    moved = (pixels * torch.stack([angle.cos(), angle.sin()], 1)).round().long()
    found = torch.zeros_like(images)
    for number, (down, right) in enumerate(moved.tolist()):
        found[number, 0] = _pushed(images[number, 0], down, right)
    return found


def _pushed(image: Tensor, down: int, right: int) -> Tensor:
    """Return one image `[H, W]` moved by whole pixels."""
    high, wide = image.shape
    around = F.pad(image, (abs(right), abs(right), abs(down), abs(down)))
    return around[abs(down) - down : abs(down) - down + high, abs(right) - right : abs(right) - right + wide]


def scaled(images: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Return the images `size` times as large."""
    return warped(images, torch.tensor([[1 / size, 0.0, 0.0], [0.0, 1 / size, 0.0]]))


def noisy(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Return the images with Gaussian noise on every pixel, clipped to 0..1."""
    return (images + deviation * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def sheared(images: Tensor, slant: float, generator: torch.Generator) -> Tensor:
    """Return the images slanted: each row moves by `slant` times its distance from the middle, to either side."""
    left = warped(images[::2], torch.tensor([[1.0, slant, 0.0], [0.0, 1.0, 0.0]]))
    right = warped(images[1::2], torch.tensor([[1.0, -slant, 0.0], [0.0, 1.0, 0.0]]))
    found = torch.empty_like(images)
    found[::2], found[1::2] = left, right
    return found


DISTORTIONS: dict[str, tuple[Callable[[Tensor, float, torch.Generator], Tensor], tuple[float, ...]]] = {
    "shift in pixels": (shifted, SHIFTS),
    "size": (scaled, SCALES),
    "noise, deviation": (noisy, NOISES),
    "shear": (sheared, SHEARS),
}


def trained(train: Dataset, settings: Settings) -> dict[str, nn.Module]:
    """Return the three nets, each trained on the same digits, neither moved nor distorted."""
    seed = settings.seed
    planes = (24, 40, 400) if settings.quick else (120, 350, 1500)
    neocognitron = Neocognitron2003(planes=planes, thinning=3 if settings.quick else 2)
    passes = 2 if settings.quick else 3
    fit(neocognitron, self_organisation(neocognitron, top_epochs=passes), train, seed=seed, progress=settings.progress)
    nets: dict[str, nn.Module] = {
        "MLP": MLP([784, 300, 10], generator=make_generator(seed, "mlp")),
        "LeNet-5 (modern)": LeNet5Modern(generator=make_generator(seed, "lenet")),
    }
    for net in nets.values():
        epochs = 5 if settings.quick else 20
        fit(net, Backprop(), train, optimizer="adam", epochs=epochs, batch_size=32, seed=seed)
    return {"neocognitron": neocognitron, **nets}


def measure(settings: Settings) -> dict[str, Any]:
    """Train on 3,000 digits (quick: 200), test on 1,000 distorted digits (quick: 100) at every strength."""
    data = load_data("mnist")
    train = balanced(data.train, 200 if settings.quick else 3000, make_generator(settings.seed, "digits"))
    test = data.test.take(100 if settings.quick else 1000)
    nets = trained(train, settings)
    curves: dict[str, Any] = {}
    for kind, (distort, strengths) in DISTORTIONS.items():
        right: dict[str, list[float]] = {name: [] for name in nets}
        for strength in strengths:
            images = distort(test.inputs, strength, make_generator(settings.seed, kind, str(strength)))
            seen = Dataset(images, test.targets, test.classes, test.name)
            for name, net in nets.items():
                right[name].append(accuracy(net, seen))
        curves[kind] = {"strengths": list(strengths), "accuracy": right}
    return {"digits": len(train), "tested": len(test), "curves": curves, "maps": shown(nets["neocognitron"], test)}


def shown(net: nn.Module, test: Dataset) -> dict[str, Any]:
    """Return the strongest planes of every layer for one digit and for the same digit moved by two pixels."""
    if not isinstance(net, Neocognitron2003):
        return {}
    image = test.inputs[:1]
    both = torch.cat([image, _pushed(image[0, 0], 2, 2)[None, None]])
    with evaluation_mode(net):
        maps = net.maps(both, SHOWN)
    found: dict[str, Any] = {}
    for name, cells in maps.items():
        strongest = cells[0].amax((1, 2)).argsort(descending=True, stable=True)[:6]
        found[name] = cells[:, strongest].mul(1000).round().div(1000).tolist()
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw one panel per distortion, and the cells of a digit and of the same digit moved."""
    figure, axes = panels(2, 2)
    for axis, (kind, found) in zip(axes, figures["curves"].items(), strict=True):
        lines(axis, found["accuracy"], x=found["strengths"], across=kind, up="accuracy", marker="o")
        axis.set_ylim(0, 1)
    files = save(figure, folder, "accuracy")
    maps = figures["maps"]
    figure, axes = panels(2 * len(maps), 6, width=0.9, height=0.9, many=True)
    for row, (name, both) in enumerate(maps.items()):
        for moved, planes in enumerate(both):
            for column in range(6):
                axis = axes[(2 * row + moved) * 6 + column]
                axis.set_axis_off()
                if column < len(planes):
                    axis.imshow(planes[column], cmap="gray_r", vmin=0)
            dress(axes[(2 * row + moved) * 6], title=f"{name}{', moved by 2' if moved else ''}")
    return files + save(figure, folder, "cells")


STUDY = Study(
    name="shift-tolerance",
    title="Digits that move",
    about="C-cells tolerate small shifts of a feature: a neocognitron, an MLP and a convolutional net, trained on the "
    "same undistorted digits, are tested on moved, scaled, slanted and noisy ones.",
    source="After Fukushima, Biological Cybernetics 36 (1980), figures 6 and 7: shifted and distorted digits",
    measure=measure,
    draw=draw,
)
