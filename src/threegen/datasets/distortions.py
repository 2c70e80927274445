"""Distorted copies of images, redrawn in each pass: shifts, scales, shears and elastic deformations.

    value(p) = image(A p + t + d(p))        p a place of the new image, measured from its centre

A scales each axis by its own factor and shears horizontally, t shifts, and d is a smooth random field: independent
normal numbers at the knots of a grid, spread by Gaussian bumps of `smoothing` pixels, so that each component of d has
the standard deviation `elastic` at every place. Values between pixels are interpolated bilinearly; beyond the border
the image is 0.

LeCun et al., Proceedings of the IEEE 86 (1998), section III.A (shifts, scales, squeezes, shears); Simard, Steinkraus
and Platt, "Best practices for convolutional neural networks applied to visual document analysis", ICDAR (2003),
section 2 (elastic).
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_number
from threegen.datasets.dataset import Dataset
from threegen.errors import ShapeError
from threegen.randomness import make_generator

_CHUNK = 1000  # images at a time, so that their data stay in the cache


@dataclass(frozen=True)
class Distortions:
    """The strength of distortions; each number is drawn for each image and pass.

    shift: both axes by U(-shift, shift) pixels. scale: each axis by a factor in 1 -+ scale. shear: each row moves by
    U(-shear, shear) times its height above the centre. elastic: standard deviation of the smooth field in pixels;
    smoothing: its scale in pixels.

    Call it on a data set (`Distortions()(data.train)`, or as a `Stage`'s `transform`) to get one that `fit` gets
    distorted differently in each pass. Raises `ConfigError` for numbers out of range.
    """

    shift: float = 1.0
    scale: float = 0.1
    shear: float = 0.15
    elastic: float = 0.7
    smoothing: float = 4.0

    def __post_init__(self) -> None:
        for name in ("shift", "shear", "elastic"):
            require_number(name, getattr(self, name), least=0.0)
        require_number("scale", self.scale, least=0.0, below=1.0)
        require_number("smoothing", self.smoothing, above=0.0)

    def __call__(self, data: Dataset) -> DistortedDataset:
        """Return `data` with distortions that are redrawn in each pass."""
        return DistortedDataset(data, self)

    def draw(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one distorted copy of each of `images` `[N, C, H, W]`; raises `ShapeError` for other shapes."""
        if images.dim() != 4 or not images.is_floating_point():
            raise ShapeError(f"distortions take floating images [N, C, H, W], got {images.dtype} {list(images.shape)}")
        parts = [_sample(part, self.places(part, generator)) for part in torch.split(images, _CHUNK)]
        return torch.cat(parts) if parts else images.clone()

    def places(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the source position of each new pixel, [N, H, W, 2] as (x, y) in pixels from the centre."""
        count, _, height, width = images.shape
        like = {"dtype": images.dtype, "device": images.device}

        def uniform(most: float) -> Tensor:
            draws = torch.rand(count, 1, 1, generator=generator).to(**like)  # type: ignore[call-overload]
            spread: Tensor = (2.0 * draws - 1.0) * most
            return spread

        x = (torch.arange(width, **like) - (width - 1) / 2).view(1, 1, -1)  # type: ignore[call-overload]
        y = (torch.arange(height, **like) - (height - 1) / 2).view(1, -1, 1)  # type: ignore[call-overload]
        across = (1.0 + uniform(self.scale)) * x + uniform(self.shear) * y + uniform(self.shift)
        along = (1.0 + uniform(self.scale)) * y + uniform(self.shift)
        places = torch.stack([across.expand(-1, height, width), along.expand(-1, height, width)], 3)
        if self.elastic:
            bumps_y, bumps_x = (_bumps(size, self.smoothing).to(**like) for size in (height, width))  # type: ignore[call-overload]
            knots = torch.randn(count, 2, bumps_y.shape[1], bumps_x.shape[1], generator=generator).to(**like)  # type: ignore[call-overload]
            fields = (knots @ bumps_x.T).transpose(2, 3) @ bumps_y.T  # [N, 2, W, H]
            places = places + self.elastic * fields.permute(0, 3, 2, 1)
        return places


class DistortedDataset(Dataset):
    """A data set that is distorted differently in each pass; its own inputs are the original images.

    A pass depends only on (seed of `fit`, stage, pass), so that a resumed run gets the same images. Parts of it
    (`take`, `subset`, `holdout`) are not distorted: take parts first, distort last.
    """

    def __init__(self, data: Dataset, distortions: Distortions) -> None:
        if len(data.shape) != 3:
            raise ShapeError(f"distortions take images [N, C, H, W], {data.name} has {list(data.inputs.shape)}")
        super().__init__(data.inputs, data.targets, data.classes, f"{data.name}-distorted")
        self.distortions = distortions

    def for_pass(self, seed: int, stage: int, epoch: int) -> Dataset:
        """Return the images of this pass, distorted."""
        generator = make_generator(seed, "distortions", stage, epoch)
        return Dataset(self.distortions.draw(self.inputs, generator), self.targets, self.classes, self.name)

    def fingerprint(self) -> str:
        """Return a fingerprint of the images and of how they are distorted."""
        text = f"{super().fingerprint()} {astuple(self.distortions)}"
        return hashlib.sha256(text.encode()).hexdigest()


def _bumps(size: int, smoothing: float) -> Tensor:
    """Return Gaussian bumps [size, knots] whose squares sum to 1 at each place."""
    reach, step = 2.0 * smoothing, smoothing / 2.0
    knots = torch.arange(-reach, size - 1 + reach + step, step)
    bumps = torch.exp(-0.5 * ((torch.arange(size).unsqueeze(1) - knots) / smoothing) ** 2)
    return bumps / bumps.square().sum(1, keepdim=True).sqrt()


def _sample(images: Tensor, places: Tensor) -> Tensor:
    """Return the images' values at `places` [N, H, W, 2], in pixels from the centre."""
    height, width = images.shape[2:]
    halves = torch.tensor([width / 2, height / 2], dtype=images.dtype, device=images.device)
    return F.grid_sample(images, places / halves, mode="bilinear", padding_mode="zeros", align_corners=False)
