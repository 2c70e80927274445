"""A shallow spiking net that learns from reward alone: edges, one layer, and the class of its first spike.

    image -> |Gabor| in four directions -> highest of a square -> neighbours inhibit -> the strongest first, in 15 steps
    S2: u[t] = sum of w over inputs that fired by t; the first neuron above the threshold answers, by its class

At each place only the strongest direction sends a spike. While the layer learns, a random part of its maps is switched
off for some hundred images (dropout), so that all of them learn.

Mozafari, Kheradpisheh, Masquelier, Nowzari-Dalini and Ganjtabesh, "First-spike-based visual categorization using
reward-modulated STDP", IEEE Transactions on Neural Networks and Learning Systems 29 (2018) 6178-6190; filters and
inhibition of the authors' published script, whose tasks are faces, objects and toys. Sizes for digits are ours.

Shapes: B examples, C maps of H rows and W columns, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_float, require_number, require_unit_range, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.plasticity.rank_order import rank_latencies
from threegen.gen3.grey_sizes import require_grey_sizes
from threegen.gen3.ordered_conv import DecisionConv
from threegen.gen3.parts import Cost, Use
from threegen.gen3.single_spikes import layer_cost

DIRECTIONS = (67.5, 112.5, 157.5, 202.5)  # degrees
INHIBITION = (0.15, 0.12, 0.10, 0.07, 0.05)  # at a distance of 1, 2 ... places


def gabor_filter(size: int, direction: float) -> Tensor:
    """Return a Gabor filter [size, size] for edges of a direction in degrees; mean 0, largest value 1.

    Wavelength size / 2, deviation .8 of it, .3 of the squared distance along the edge (Mozafari et al. 2018).
    """
    if require_whole("size", size, least=3) % 2 == 0:
        raise ConfigError(f"size must be odd, so that the filter has a centre, got {size}")
    wavelength = size / 2
    deviation = 0.8 * wavelength
    across = torch.arange(size, dtype=torch.float64) - size // 2
    angle = math.radians(require_number("direction", direction))
    rows, columns = across.unsqueeze(1), across.unsqueeze(0)
    x = rows * math.cos(angle) - columns * math.sin(angle)
    y = rows * math.sin(angle) + columns * math.cos(angle)
    bell = torch.exp(-(x.square() + 0.3 * y.square()) / (2 * deviation**2))
    found = bell * torch.cos(2 * math.pi * x / wavelength)
    found = found - found.mean()
    return found / found.max()


def inhibit_weaker(values: Tensor, strengths: Sequence[float] = INHIBITION) -> Tensor:
    """Return maps [B, C, H, W] in which each value loses a share for each stronger value of its map around it.

    `strengths` are the shares at a distance of 1, 2 ... places, rows or columns, whichever is more. Never below 0.
    """
    radius = len(strengths)
    across = torch.arange(-radius, radius + 1).abs()
    distance = torch.maximum(across.unsqueeze(0), across.unsqueeze(1)).flatten()
    shares = torch.tensor([0.0, *strengths], dtype=values.dtype, device=values.device)[distance]
    batch, channels, height, width = values.shape
    around = F.unfold(values.reshape(batch * channels, 1, height, width), 2 * radius + 1, padding=radius)
    stronger = around > values.reshape(batch * channels, 1, -1)
    lost = (stronger.to(values.dtype) * shares.view(1, -1, 1)).sum(1).view(values.shape)
    return (values * (1.0 - lost)).clamp(min=0.0)


class GaborLatency(nn.Module):
    """Grey images [B, 1, H, W] in 0..1 to spike times [B, 4, H', W']: edges, pooled, inhibited, the strongest first.

    `pool` and `stride` are of the pooling, whose border is pool // 2 wide. Raises `ConfigError`.
    """

    needs_unit_range = True

    filters: Tensor

    def __init__(self, steps: int = 15, *, size: int = 5, pool: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.steps = require_whole("steps", steps)
        self.pool, self.stride = require_whole("pool", pool), require_whole("stride", stride)
        filters = torch.stack([gabor_filter(size, direction) for direction in DIRECTIONS])
        self.register_buffer("filters", filters.unsqueeze(1).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return spike times (int64), `steps` for never. Raises `ShapeError`, `ConfigError` for values out of 0..1."""
        require_unit_range("GaborLatency", require_float("GaborLatency", images))
        if images.dim() != 4 or images.shape[1] != 1:
            raise ShapeError(f"GaborLatency takes grey images [B, 1, H, W], got {list(images.shape)}")
        found = F.conv2d(images, self.filters.to(images), padding=self.filters.shape[-1] // 2).abs()
        found = inhibit_weaker(F.max_pool2d(found, self.pool, self.stride, padding=self.pool // 2))
        times = rank_latencies(found, self.steps, equal_bins=True)
        strongest = torch.zeros_like(times, dtype=torch.bool).scatter_(1, found.argmax(1, keepdim=True), True)
        return torch.where(strongest, times, self.steps)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"steps={self.steps}, pool={self.pool}, stride={self.stride}"


class Mozafari2018(nn.Module):
    """The shallow net for grey images [B, 1, H, W] in 0..1: `s2` learns from reward and answers by its first spike.

    Args:
        classes: K; it must divide `maps`.
        shape: of one image.
        maps: of S2.
        kernel: rows and columns of its fields, in pooled places.
        threshold: of its neurons.
        steps: in which an image is presented.
        pool: of the edges; their stride is `stride`.
        stride: between two squares.
        generator: draws the weights, normal around .8 with .05.

    Scores are the steps left after a class's first spike, plus the share of its potential; 0 if it never fires. Train
    it with `fit(model, shallow_reward_stages(model), data)`.

    Raises:
        ConfigError: sizes that cannot be built.
        ShapeError: `forward` got other images.

    Example:
        >>> model = Mozafari2018(maps=20, generator=torch.Generator().manual_seed(0))
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    needs_unit_range = True

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: Sequence[int] = (1, 28, 28),
        maps: int = 200,
        kernel: int = 12,
        threshold: float = 15.0,
        steps: int = 15,
        pool: int = 3,
        stride: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.steps = require_grey_sizes("Mozafari2018", shape, classes, steps)
        self.encoder = GaborLatency(steps, pool=pool, stride=stride)
        if min(self.c1_shape[1:]) < require_whole("kernel", kernel):
            raise ConfigError(f"a kernel of {kernel} places does not fit into maps {list(self.c1_shape)}")
        self.s2 = DecisionConv(
            len(DIRECTIONS),
            maps,
            kernel,
            classes=classes,
            steps=steps,
            threshold=threshold,
            bounds=(0.0, 1.0),
            strict=True,
            generator=generator,
        )

    @property
    def c1_shape(self) -> tuple[int, int, int]:
        """The shape of the pooled edges, `(C, H, W)`."""
        pool, stride = self.encoder.pool, self.encoder.stride
        height, width = ((size + 2 * (pool // 2) - pool) // stride + 1 for size in self.shape[1:])
        return len(DIRECTIONS), height, width

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return the spike times [B, 4, H, W] (uint8) of images [B, 1, H, W]. Raises `ShapeError`."""
        require_float("Mozafari2018", images, self.s2.weight)
        if images.dim() != 4 or tuple(images.shape[1:]) != self.shape:
            raise ShapeError(
                f"Mozafari2018 expects images [B, {', '.join(map(str, self.shape))}], got {list(images.shape)}"
            )
        found: Tensor = self.encoder(images)
        return found.to(torch.uint8)

    part = "single spikes"

    @torch.no_grad()
    def cost(self, use: Use) -> list[Cost]:
        """Return what answers cost: edges, pooling, inhibition and order, then S2 over all steps.

        Ordering n values is billed as n log2 n comparisons.
        """
        images, scores = use.inputs[0], use.output
        encoded = self.encode(images)
        filters, places = self.encoder.filters, encoded.numel()
        products = images.numel() * filters.numel()
        compared = places * (self.encoder.pool**2 - 1 + (2 * len(INHIBITION) + 1) ** 2 - 1 + 1)
        compared += places * math.ceil(math.log2(encoded[0].numel()))
        operations = {"mac": products, "mac_nonzero": products, "mul": places, "compare": compared}
        edges = Cost("encoder", operations, scores, fed_by="values", shape=tuple(encoded.shape[1:]))
        return [edges, layer_cost(self.s2, encoded, scores)]

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [B, K] for images [B, 1, H, W] in 0..1. Raises `ShapeError`, `ConfigError`.

        The weights of the neurons that fire first get the gradient of their potentials.
        """
        times = self.encode(images).long()
        fired, potentials = self.s2.fire(times)
        most = self.s2.weight[0].numel() * self.s2.bounds[1] + 1
        each = torch.where(fired < self.steps, self.steps - fired + potentials / most, 0.0)
        best = each.reshape(len(times), self.classes, -1).max(2)
        batch, offset = torch.arange(len(times)).unsqueeze(1), torch.arange(self.classes)
        place = best.indices + offset.to(best.indices) * (each[0].numel() // self.classes)
        size, wide = self.s2.weight.shape[-1], each.shape[3]
        feature, row, column = place // each[0, 0].numel(), place // wide % each.shape[2], place % wide
        windows = times.unfold(2, size, 1).unfold(3, size, 1)[batch, :, row, column]  # [B, K, C, k, k]
        when = fired.flatten(1).gather(1, place)
        arrived = (windows <= when.view(*when.shape, 1, 1, 1)) & (when < self.steps).view(*when.shape, 1, 1, 1)
        sums = (self.s2.weight[feature] * arrived).flatten(2).sum(2)
        return best.values.to(sums.dtype) + (sums - sums.detach()) / most
