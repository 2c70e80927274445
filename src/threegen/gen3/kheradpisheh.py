"""A deep spiking net whose two layers learn by STDP alone, and a linear read-out of what they see.

    image -> differences of Gaussians, local gain -> the strongest first, in 15 steps
    S1 -> C1 -> S2 -> C2 -> scores    S: u[t] = sum of w over inputs that fired by t; a spike where u > threshold
                                      C1: the earliest spike of a square;  C2: 1 where a neuron of a square has fired
    scores = V c + b                  c: the bits of C2; V and b are those of a linear support vector machine

While S2 learns, only the map that fires first is passed on at each position of C1. Neither layer sees a label. Weights
are never negative and nothing leaks, so a neuron has fired by the last step if its potential over all inputs is above
its threshold.

Kheradpisheh, Ganjtabesh, Thorpe and Masquelier, "STDP-based spiking deep convolutional neural networks for object
recognition", Neural Networks 99 (2018) 56-67; sizes and constants of the MNIST script that the group published later.

Shapes: B examples, C maps of H rows and W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_float, require_sizes
from threegen.errors import ShapeError
from threegen.functional.plasticity.rank_order import difference_of_gaussians
from threegen.gen3.grey_sizes import require_grey_sizes
from threegen.gen3.ordered_conv import OrderedConv, RankLatency
from threegen.gen3.parts import Cost, Use
from threegen.gen3.single_spikes import encoder_cost, fired_at, layer_cost


class Kheradpisheh2018(nn.Module):
    """The net of 2018 for grey images [B, 1, H, W] in 0..1: `s1` and `s2` learn by STDP, `readout` is linear.

    Args:
        classes: K.
        shape: of one image.
        maps: of S1 and S2.
        steps: in which an image is presented.
        generator: draws the weights of S1 and S2, normal around .8 with .05; `readout` starts at 0.

    Train it with `fit(model, kheradpisheh_stages(model), data)` and then `fit_svm(model, data)`.

    Raises:
        ConfigError: sizes that cannot be built.
        ShapeError: `forward` got other images.

    Example:
        >>> model = Kheradpisheh2018(maps=(4, 6), generator=torch.Generator().manual_seed(0))
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    needs_unit_range = True

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: Sequence[int] = (1, 28, 28),
        maps: Sequence[int] = (32, 150),
        steps: int = 15,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        first, second = require_sizes("maps", maps, least_length=2)[:2]
        self.shape, self.classes, self.steps = require_grey_sizes("Kheradpisheh2018", shape, classes, steps)
        filters = torch.stack([difference_of_gaussians(7, 1.0, 2.0), difference_of_gaussians(7, 2.0, 1.0)])
        self.encoder = RankLatency(steps, equal_bins=True, filters=filters.unsqueeze(1))
        self.s1 = OrderedConv(
            2, first, 5, steps=steps, padding=2, threshold=10.0, winners=5, radius=2, strict=True, generator=generator
        )
        self.s2 = OrderedConv(
            first,
            second,
            2,
            steps=steps,
            padding=1,
            threshold=1.0,
            winners=8,
            radius=1,
            strict=True,
            generator=generator,
        )
        inputs = int(torch.tensor(self.c2_shape).prod())
        self.readout = nn.Linear(inputs, self.classes)
        for parameter in self.readout.parameters():
            nn.init.zeros_(parameter)

    @property
    def c1_shape(self) -> tuple[int, int, int]:
        """The shape of C1's spike times, `(C, H, W)`."""
        return len(self.s1.weight), self.shape[1] // 2 + 1, self.shape[2] // 2 + 1

    @property
    def c2_shape(self) -> tuple[int, int, int]:
        """The shape of C2's bits, `(C, H, W)`."""
        _, height, width = self.c1_shape
        return len(self.s2.weight), (height + 1) // 2 + 1, (width + 1) // 2 + 1

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return the spike times [B, 2, H, W] (uint8) of images [B, 1, H, W]. Raises `ShapeError`."""
        require_float("Kheradpisheh2018", images, self.s1.weight)
        if images.dim() != 4 or tuple(images.shape[1:]) != self.shape:
            raise ShapeError(
                f"Kheradpisheh2018 expects images [B, {', '.join(map(str, self.shape))}], got {list(images.shape)}"
            )
        found: Tensor = self.encoder(images)
        return found.to(torch.uint8)

    @torch.no_grad()
    def c1(self, encoded: Tensor) -> Tensor:
        """Return C1's spike times (uint8): the earliest of 2 x 2 places of S1, padded by one place of silence."""
        return F.max_pool2d(-fired_at(self.s1, encoded).float(), 2, padding=1).neg().to(torch.uint8)

    @torch.no_grad()
    def c1_alone(self, encoded: Tensor) -> Tensor:
        """Return what S2 learns from: C1's spike times with, at each place, the one map whose spike is earliest.

        Of several in the same step the first map stays.
        """
        times = self.c1(encoded)
        first = torch.zeros_like(times, dtype=torch.bool).scatter_(1, times.argmin(1, keepdim=True), True)
        return torch.where(first, times, self.steps).to(torch.uint8)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the bits of C2 [B, C, H, W] as floats: 1 where one of 2 x 2 neurons of S2 fires at all."""
        times = self.c1(self.encode(images))
        silent = fired_at(self.s2, times) >= self.steps
        return 1.0 - F.max_pool2d(-silent.to(self.s2.weight.dtype), 2, padding=1).neg()

    part = "single spikes"

    @torch.no_grad()
    def cost(self, use: Use) -> list[Cost]:
        """Return what answers cost: the encoder, S1 and S2, and the read-out, an addition for each bit and class."""
        images, scores = use.inputs[0], use.output
        encoded = self.encode(images)
        rows = [encoder_cost(self.encoder, encoded, scores)]
        rows += [layer_cost(layer, times, scores) for layer, times in ((self.s1, encoded), (self.s2, self.c1(encoded)))]
        read = int(self.features(images).sum()) * self.classes + len(images) * self.classes
        return [*rows, Cost("read-out", {"ac": read}, scores, fed_by="spikes", shape=(self.classes,))]

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [B, K] for images [B, 1, H, W] in 0..1. Raises `ShapeError`, `ConfigError`."""
        scores: Tensor = self.readout(self.features(images).flatten(1))
        return scores
