"""Deep spiking nets whose neurons fire at most once: STDP below, reward-modulated STDP at the top, no separate
read-out.

    image -> differences of Gaussians, local gain -> the strongest first, in 15 steps
    S1 -> C1 -> S2 -> C2 -> S3       S: u[t] = sum of w over inputs that fired by t; a spike where u > threshold
                                     C: the earliest spike in a square
    answer: the class of the S3 neuron with the highest potential at the last step

Weights are never negative and there is no leak, so a neuron has fired by the last step if its potential over all inputs
is above its threshold: the answer does not depend on spike times. The times only determine what S1 and S2 learn.

Mozafari, Ganjtabesh, Nowzari-Dalini, Thorpe and Masquelier, "Bio-inspired digit recognition using reward-modulated
spike-timing-dependent plasticity in deep convolutional networks", Pattern Recognition 94 (2019) 87-95; sizes and
constants of the authors' published script.

Shapes: B examples, C maps of H rows and W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_float, require_sizes
from threegen.errors import ConfigError, ShapeError
from threegen.gen3.fast_way import replaced_method
from threegen.gen3.grey_sizes import require_grey_sizes
from threegen.gen3.ordered_conv import DecisionConv, OrderedConv, RankLatency
from threegen.gen3.parts import Cost, Use
from threegen.gen3.single_spikes import encoder_cost, layer_cost, pooled_times


class Mozafari2019(nn.Module):
    """The net of 2019 for grey images [B, 1, H, W] in 0..1: `s1`, `s2` (STDP) and `s3` (reward STDP), which answers.

    Args:
        classes: K; it must divide the last of `maps`.
        shape: the shape of one image. maps: the numbers of maps of S1, S2 and S3. steps: the time steps of a
            presentation. whole_pools: C2 also pools the last rows and columns, which do not fill a square (the script
            drops them). whole_view: each map of S3 has one neuron, whose kernel covers all of C2; otherwise 5 x 5
            kernels at all positions, two beyond the edge. bounds: of S3's weights.
        generator: draws the weights, normal around .8 with .05.

    Scores are 1 + P / most for the largest potential P among a class's neurons, `most` above every potential; 0 if none
    of them has an active input. Train it with `fit(model, deep_reward_stages(model), data)`.

    Raises:
        ConfigError: sizes that cannot be built.
        ShapeError: `forward` got other images.

    Example:
        >>> model = Mozafari2019(maps=(4, 6, 20), generator=torch.Generator().manual_seed(0))
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    needs_unit_range = True

    def __init__(
        self,
        classes: int = 10,
        *,
        shape: Sequence[int] = (1, 28, 28),
        maps: Sequence[int] = (30, 250, 200),
        steps: int = 15,
        whole_pools: bool = False,
        whole_view: bool = False,
        bounds: tuple[float, float] = (0.2, 0.8),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        first, second, third = require_sizes("maps", maps, least_length=3)[:3]
        self.shape, self.classes, self.steps = require_grey_sizes("Mozafari2019", shape, classes, steps)
        self.whole_pools = bool(whole_pools)
        self.encoder = RankLatency(steps, equal_bins=True)
        self.s1 = OrderedConv(
            6,
            first,
            5,
            steps=steps,
            padding=2,
            threshold=15.0,
            winners=5,
            radius=3,
            strict=True,
            generator=generator,
        )
        self.s2 = OrderedConv(
            first,
            second,
            3,
            steps=steps,
            padding=1,
            threshold=10.0,
            winners=8,
            radius=1,
            strict=True,
            generator=generator,
        )
        if min(self.c2_shape[1:]) < 1:
            raise ConfigError(f"images of {list(shape)} are too small for two pools of 2 and 3 pixels")
        self.s3 = DecisionConv(
            second,
            third,
            self._view() if whole_view else 5,
            classes=classes,
            steps=steps,
            padding=0 if whole_view else 2,
            bounds=bounds,
            strict=True,
            generator=generator,
        )

    def _view(self) -> int:
        """Return the side of C2, which a kernel that covers all of it has."""
        _, height, width = self.c2_shape
        if height != width:
            raise ConfigError(f"whole_view needs a square C2, images {list(self.shape)} give {height} x {width} places")
        return height

    @property
    def c1_shape(self) -> tuple[int, int, int]:
        """The shape of C1's spike times, `(C, H, W)`."""
        return len(self.s1.weight), self.shape[1] // 2, self.shape[2] // 2

    @property
    def c2_shape(self) -> tuple[int, int, int]:
        """The shape of C2's spike times, `(C, H, W)`."""
        extra = 2 if self.whole_pools else 0
        return len(self.s2.weight), (self.shape[1] // 2 + extra) // 3, (self.shape[2] // 2 + extra) // 3

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return the spike times [B, 6, H, W] (uint8) of images [B, 1, H, W]. Raises `ShapeError`."""
        require_float("Mozafari2019", images, self.s3.weight)
        if images.dim() != 4 or tuple(images.shape[1:]) != self.shape:
            raise ShapeError(f"Mozafari2019 expects images [B, {', '.join(map(str, self.shape))}], got {images.shape}")
        found: Tensor = self.encoder(images)
        return found.to(torch.uint8)

    @torch.no_grad()
    def c1(self, encoded: Tensor) -> Tensor:
        """Return C1's spike times (uint8) for encoded images [B, 6, H, W]."""
        return pooled_times(self.s1, encoded, 2)

    @torch.no_grad()
    def c2(self, pooled: Tensor) -> Tensor:
        """Return C2's spike times (uint8) for those of C1."""
        return pooled_times(self.s2, pooled, 3, self.whole_pools)

    @torch.no_grad()
    def features(self, encoded: Tensor) -> Tensor:
        """Return C2 for encoded images, 0 for neurons that fire at all and `steps` for those that do not (uint8).

        All inputs arrive in one step, which gives the same result as 15 steps in less time.
        """
        once = torch.where(encoded < self.steps, 0, self.steps).to(torch.uint8)
        fired = self.c2(torch.where(self.c1(once) < self.steps, 0, self.steps).to(torch.uint8))
        return torch.where(fired < self.steps, 0, self.steps).to(torch.uint8)

    def answer(self, features: Tensor) -> Tensor:
        """Return the scores [B, K] for C2's spike times [B, C, H, W]; S3's weights get a gradient."""
        if replaced_method(self.s3, ("fire",)) is None:
            weight = self.s3.weight.double()  # sums of float32 weights are exact in float64
            potentials = F.conv2d((features < self.steps).double(), weight, padding=self.s3.padding)
        else:
            potentials = self.s3.fire(features.long())[1].double()
        best = potentials.reshape(len(features), self.classes, -1).amax(2)
        most = self.s3.weight[0].numel() * self.s3.bounds[1] + 1
        return torch.where(best > 0, 1 + best / most, 0.0).to(self.s3.weight.dtype)

    part = "single spikes"

    @torch.no_grad()
    def cost(self, use: Use) -> list[Cost]:
        """Return what answers cost: the encoder, then S1, S2 and S3, an addition for each spike and neuron it reaches.

        Neurons of S1 and S2 compare with their threshold once in each of the `steps`, those of S3 at the end. Ordering
        n responses is counted as n log2 n comparisons.
        """
        images, scores = use.inputs[0], use.output
        encoded = self.encode(images)
        pooled = self.c1(encoded)
        layers = ((self.s1, encoded), (self.s2, pooled), (self.s3, self.c2(pooled)))
        encoder = encoder_cost(self.encoder, encoded, scores)
        return [encoder, *(layer_cost(layer, times, scores) for layer, times in layers)]

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [B, K] for images [B, 1, H, W] in 0..1. Raises `ShapeError`, `ConfigError`."""
        return self.answer(self.features(self.encode(images)))
