"""Augmentation of pictures: crops, flips, scales and colours, drawn independently for each picture and pass.

A picture of side S + m is cut to S x S at a random place, mirrored with probability 1/2, enlarged by a random factor,
and its colours are shifted along their principal components, for a whole batch at once:

    rgb <- rgb + [p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T        a_i ~ N(0, colour^2), one draw per picture and pass

p_i and l_i are eigenvectors and square roots of the eigenvalues of the 3 x 3 covariance of the colours in the training
pictures. The paper multiplies by the eigenvalue itself on its scale of 0..255, its published code by the root; the root
makes the shift independent of the scale of the values.

Krizhevsky, Sutskever and Hinton, NIPS 25 (2012), section 4.1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, ShapeError
from threegen.randomness import make_generator

DRAWS = 8  # random numbers per picture and pass: place (2), mirrored, scale, colours (3), one is free
_LOOKED_AT = 2000  # pictures from which the principal colours are computed


@dataclass(frozen=True)
class Augmentation:
    """The random changes of pictures in a training pass.

    Args:
        shift: for data in memory: the border of zeros around a picture, from which a window of its size is cut at a
            random place. Pictures on disk have a margin instead (see `PictureDataset`).
        flip: mirror left and right with probability 1/2.
        scale: enlarge the cut window by a factor drawn from U(1 - scale, 1 + scale).
        colour: the standard deviation of the shift along each principal colour, 0.1 in the paper; 0 keeps the colours.

    Call it on a data set, `Augmentation()(data.train)`, or pass it as a `Stage`'s `transform`: `fit` then gets other
    crops in each pass. A pass depends only on (seed of `fit`, stage, pass). Raises `ConfigError` for numbers out of
    range, `ShapeError` for data that are not pictures.
    """

    shift: int = 4
    flip: bool = True
    scale: float = 0.0
    colour: float = 0.0
    principal: tuple[tuple[float, ...], ...] = field(default=(), repr=False)  # columns p_i l_i, of the data

    def __post_init__(self) -> None:
        require_whole("shift", self.shift, least=0)
        require_number("scale", self.scale, least=0.0, below=1.0)
        require_number("colour", self.colour, least=0.0)

    def __call__(self, data: Dataset) -> Dataset:
        """Return `data`, augmented differently in each pass."""
        if len(data.shape) != 3:
            raise ShapeError(f"augmentation takes pictures [N, C, H, W], {data.name} has {list(data.shape)}")
        chosen = self
        if self.colour and data.shape[0] == 3:
            chosen = replace(self, principal=_columns(principal_colours(data)))
        augmented = getattr(data, "augmented", None)  # data on disk are cut and mirrored in worker processes
        return augmented(chosen) if callable(augmented) else AugmentedDataset(data, chosen)

    def places(self, draws: Tensor, margin: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return top, left (both int64 `[B]`) and mirrored (bool `[B]`) from uniform `draws` `[B, DRAWS]`."""
        top = (draws[:, 0] * (margin[0] + 1)).long().clamp_(max=margin[0])
        left = (draws[:, 1] * (margin[1] + 1)).long().clamp_(max=margin[1])
        return top, left, (draws[:, 2] < 0.5) & self.flip

    def cut(self, pictures: Tensor, draws: Tensor, size: tuple[int, int]) -> Tensor:
        """Return windows `[B, C, *size]` of `pictures` `[B, C, H, W]` (of any type), mirrored and scaled at random."""
        height, width = size
        margin = pictures.shape[2] - height, pictures.shape[3] - width
        top, left, mirrored = self.places(draws, margin)
        windows = pictures.new_empty((*pictures.shape[:2], height, width))
        plain = pictures.device.type == "cpu" and pictures.dtype in (torch.uint8, torch.float32)
        source: Any = pictures.numpy() if plain else pictures  # numpy cuts and mirrors in a fraction of torch's time
        target: Any = windows.numpy() if plain else windows
        for number, (y, x, turned) in enumerate(zip(top.tolist(), left.tolist(), mirrored.tolist(), strict=True)):
            window = source[number, :, y : y + height, x : x + width]
            if turned:
                window = window[:, :, ::-1] if plain else window.flip(2)
            target[number] = window
        return self._scaled(windows, draws) if self.scale else windows

    def _scaled(self, windows: Tensor, draws: Tensor) -> Tensor:
        factor = 1.0 + self.scale * (2.0 * draws[:, 3] - 1.0)
        theta = torch.zeros(len(windows), 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = 1.0 / factor
        theta = theta.to(windows.device)
        grid = F.affine_grid(theta, list(windows.shape), align_corners=False)
        values = F.grid_sample(windows.float(), grid, padding_mode="reflection", align_corners=False)
        return values if windows.is_floating_point() else values.round_().clamp_(0, 255).to(windows.dtype)

    def coloured(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return float `images` `[B, 3, H, W]` with their colours shifted, in 0..1; others unchanged."""
        if not self.colour or not self.principal:
            return images
        normal = math.sqrt(2.0) * torch.erfinv((2.0 * draws[:, 4:7] - 1.0).clamp(-0.999999, 0.999999))
        moved = (self.colour * normal @ torch.tensor(self.principal)).to(images.device)
        return images.add_(moved[:, :, None, None]).clamp_(0.0, 1.0)

    def describe(self) -> str:
        """Return the settings in words, for `run.json` and fingerprints."""
        return f"shift={self.shift}, flip={self.flip}, scale={self.scale}, colour={self.colour}"


def draw_pass(count: int, seed: int, stage: int, epoch: int) -> Tensor:
    """Return the uniform numbers `[count, DRAWS]` of one pass, which depend only on (seed, stage, epoch)."""
    return torch.rand(count, DRAWS, generator=make_generator(seed, "augmentation", stage, epoch))


def principal_colours(data: Dataset, pictures: int = _LOOKED_AT) -> tuple[Tensor, Tensor]:
    """Return eigenvalues `[3]` and eigenvectors `[3, 3]` (in columns) of the covariance of the colours, in 0..1.

    They are computed from `pictures` of the data, evenly spread. Raises `ConfigError` for pictures without colours.
    """
    if data.shape[0] != 3:
        raise ConfigError(f"{data.name} has pictures of {data.shape[0]} planes; principal colours need 3; set colour=0")
    total, products, seen = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), 0
    step = max(1, len(data) // require_whole("pictures", pictures))
    chosen = torch.arange(0, len(data), step)
    for index in torch.split(chosen, 64):
        values = data.batch(index).inputs.permute(1, 0, 2, 3).reshape(3, -1).double()
        total += values.sum(1)
        products += values @ values.T
        seen += values.shape[1]
    mean = total / seen
    values, vectors = torch.linalg.eigh(products / seen - torch.outer(mean, mean))
    signs = torch.where(vectors.sum(0) < 0, -1.0, 1.0)  # the sign of an eigenvector is arbitrary
    return values.clamp_(min=0.0), vectors * signs


def _columns(found: tuple[Tensor, Tensor]) -> tuple[tuple[float, ...], ...]:
    values, vectors = found
    return tuple(tuple(row) for row in (vectors * values.sqrt()).T.float().tolist())


class AugmentedDataset(Dataset):
    """Pictures in memory that are cut, mirrored and coloured differently in each pass of `fit`.

    Its own inputs are the original pictures. Parts of it (`take`, `subset`, `holdout`) are not augmented: take parts
    first, augment last.
    """

    def __init__(self, data: Dataset, augmentation: Augmentation) -> None:
        super().__init__(data.inputs, data.targets, data.classes, f"{data.name}-augmented")
        self.augmentation = augmentation

    def for_pass(self, seed: int, stage: int, epoch: int) -> Dataset:
        """Return the pictures of this pass; they are cut when a batch is read."""
        return _AugmentedPass(self, draw_pass(len(self), seed, stage, epoch))

    def fingerprint(self) -> str:
        """Return a fingerprint of the pictures and of how they are augmented."""
        return hashlib.sha256(f"{super().fingerprint()} {self.augmentation.describe()}".encode()).hexdigest()


class _AugmentedPass(Dataset):
    def __init__(self, data: AugmentedDataset, draws: Tensor) -> None:
        super().__init__(data.inputs, data.targets, data.classes, data.name)
        self.augmentation, self.draws = data.augmentation, draws

    def batch(self, index: Tensor) -> Batch:
        """Return the examples at `index` `[B]`, augmented."""
        batch = super().batch(index)
        draws, border = self.draws[index.cpu()], self.augmentation.shift
        size = (batch.inputs.shape[2], batch.inputs.shape[3])
        windows = self.augmentation.cut(F.pad(batch.inputs, (border,) * 4), draws, size)
        batch.inputs = self.augmentation.coloured(windows, draws)
        return batch


def ten_crops(pictures: Tensor, size: int) -> Iterator[Tensor]:
    """Yield the ten windows `[B, C, size, size]` of the paper: four corners and the middle, each also mirrored.

    Shape: `pictures` are `[B, C, H, W]`, at least `size` high and wide; else `ShapeError`.
    """
    height, width = pictures.shape[2:]
    if min(height, width) < size:
        raise ShapeError(f"crops of {size} x {size} do not fit into pictures of {height} x {width}")
    down, right = height - size, width - size
    corners: Sequence[tuple[int, int]] = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    for top, left in corners:
        window = pictures[:, :, top : top + size, left : left + size]
        yield window
        yield window.flip(3)


class TenCrops(torch.nn.Module):
    """A classifier that averages its probabilities over `ten_crops`; scores are their logarithms.

    `model` takes `[B, C, size, size]`; this takes larger pictures. Source: Krizhevsky et al. (2012), section 4.1.
    """

    def __init__(self, model: torch.nn.Module, size: int) -> None:
        super().__init__()
        self.model, self.size = model, require_whole("size", size)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logarithms `[B, classes]` of the mean probabilities."""
        shares: list[Any] = [self.model(window).softmax(1) for window in ten_crops(pictures, self.size)]
        return torch.stack(shares).mean(0).clamp_min(1e-30).log()
