"""LeNet-5 as in the paper: connection table, trainable sub-sampling, radial-basis outputs. 60,000 parameters.

    convolution    x = f(sum_(k in table) w_k * x_k + b)                  f(a) = 1.7159 tanh(2/3 a)
    sub-sampling   x = f(c (x_1 + x_2 + x_3 + x_4) + b)                   one c and one b per plane
    output         y_i = sum_j (x_j - w_ij)^2                             w_i = -1 / +1: a drawing of digit i, fixed

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proceedings of the
IEEE 86 (1998) 2278-2324, section II.B.

| module | makes          | parameters | connections |
|--------|----------------|------------|-------------|
| `c1`   | 6@28x28        | 156        | 122,304     |
| `s2`   | 6@14x14        | 12         | 5,880       |
| `c3`   | 16@10x10       | 1,516      | 151,600     |
| `s4`   | 16@5x5         | 32         | 2,000       |
| `c5`   | 120            | 48,120     | 48,120      |
| `f6`   | 84             | 10,164     | 10,164      |
| `rbf`  | 10             | none moves | 840         |

Together 60,000 trainable parameters and 340,908 connections. The model returns -y: larger is better.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_images, require_whole
from threegen.errors import ConfigError
from threegen.functional.convolutional.lenet_5_fused import planes_of_lenet_5
from threegen.gen2.digit_codes import digit_codes
from threegen.gen2.lenet_units import BuiltLayers, ScaledTanh, fill_by_fan_in
from threegen.machine.torch_private import functions_are_watched

# Which planes of S2 each plane of C3 reads (the paper's table I): 60 of the 96 pairs.
C3_TABLE = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
    (0, 1, 2, 3, 4, 5),
)
_PAIRS = np.array([(o, i) for o, row in enumerate(C3_TABLE) for i in sorted(row)])
WHITE, BLACK = -0.1, 1.175
_SMALL = 64  # images; for larger batches torch's functions are fast enough


class Scaling(nn.Module):
    """Images `[B, 1, 28, 28]`, 0 is paper and 1 is ink, to `[B, 1, 32, 32]`, paper -0.1 and ink 1.175.

    The mean of a digit's pixels is then about 0 and their variance about 1.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the scaled images with their border of two."""
        scaled = F.pad(images * (BLACK - WHITE) + WHITE, (2, 2, 2, 2), value=WHITE)
        # With one plane both memory layouts are the same bytes; declared so, the planes of C1 are channels last, which
        # is faster for the following layers.
        return scaled.as_strided(scaled.shape, (32 * 32, 1, 32, 1)) if scaled.is_contiguous() else scaled


class Subsampling(nn.Module):
    """The sum over 2 x 2 places, times a trainable coefficient, plus a trainable bias; one of each per plane."""

    def __init__(self, planes: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(planes))
        self.bias = nn.Parameter(torch.zeros(planes))
        fill_by_fan_in(self.coefficient, 4, generator)

    def forward(self, states: Tensor) -> Tensor:
        """Return the potentials `[B, planes, H / 2, W / 2]` of `states` `[B, planes, H, W]`."""
        sums = F.avg_pool2d(states, 2, divisor_override=1)
        return sums * self.coefficient.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class TableConvolution(nn.Module):
    """A convolution whose planes read only some of the input planes; `table[o]` lists those of plane o.

    `kernels` `[pairs, k, k]` has one kernel for each pair, in the order of the table; `weight` is the same as the
    dense kernel `[out, in, k, k]` that torch convolves with, zero if there is no connection.
    """

    places: Tensor
    connection_table: Tensor

    def __init__(
        self, planes: int, table: Sequence[Sequence[int]], size: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.planes, self.table = planes, tuple(tuple(sorted(row)) for row in table)
        pairs = [(o, i) for o, row in enumerate(self.table) for i in row]
        self.kernels = nn.Parameter(torch.empty(len(pairs), size, size))
        self.bias = nn.Parameter(torch.zeros(len(self.table)))
        with torch.no_grad():
            for (o, _), kernel in zip(pairs, self.kernels, strict=True):
                fill_by_fan_in(kernel, len(self.table[o]) * size * size, generator)
        read = torch.zeros(len(self.table), planes, dtype=torch.bool)
        read[tuple(zip(*pairs, strict=True))] = True
        self.register_buffer("places", torch.tensor([o * planes + i for o, i in pairs]), persistent=False)
        self.register_buffer("connection_table", read, persistent=False)  # [out, in]

    @property
    def weight(self) -> Tensor:
        """The dense kernel [out, in, k, k]."""
        size = self.kernels.shape[1:]
        dense = self.kernels.new_zeros(len(self.table) * self.planes, *size)
        return dense.index_copy(0, self.places, self.kernels).view(len(self.table), self.planes, *size)

    def forward(self, states: Tensor) -> Tensor:
        """Return the potentials `[B, out, H - k + 1, W - k + 1]`."""
        return F.conv2d(states, self.weight, self.bias)


class RadialBasis(nn.Module):
    """Squared distances to fixed codes, negated: `[B, 84]` to `[B, 10]`."""

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, states: Tensor) -> Tensor:
        """Return minus the squared distance of `states` to each code."""
        return -(states.unsqueeze(1) - self.codes).square().sum(2)


class LeNet5(nn.Module):
    """LeNet-5: 60,000 trainable parameters, 340,908 connections.

    `forward` takes images `[B, 1, 28, 28]` with values in 0..1 and returns the negated distances `[B, 10]`. Initial
    weights come only from `generator`, U(-2.4/F, 2.4/F) with F inputs per unit; biases start at zero. `codes` `[K, 84]`
    replaces the drawings of the ten digits, for other classes. Train it by the loss "map".

    In training mode batches of up to 64 images in float32 on the CPU use compiled kernels, with the same values and
    gradients up to rounding, unless a layer was exchanged or there are hooks or torch modes; these gradients cannot be
    differentiated again. `compiled=False` uses only torch's functions.

    Raises `ConfigError` for codes of another width, `ShapeError` for other inputs.
    """

    def __init__(
        self, *, codes: Tensor | None = None, compiled: bool = True, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.compiled = bool(compiled)
        own = digit_codes() if codes is None else codes.detach().clone()
        if own.dim() != 2 or own.shape[1] != 84 or not own.is_floating_point():
            raise ConfigError(f"codes must be floating numbers [classes, 84], got {own.dtype} {list(own.shape)}")
        self.classes = require_whole("classes", len(own))
        self.layers = nn.Sequential(
            OrderedDict(
                scaling=Scaling(),
                c1=nn.Conv2d(1, 6, 5),
                squash1=ScaledTanh(),
                s2=Subsampling(6, generator),
                squash2=ScaledTanh(),
                c3=TableConvolution(6, C3_TABLE, 5, generator),
                squash3=ScaledTanh(),
                s4=Subsampling(16, generator),
                squash4=ScaledTanh(),
                flatten=nn.Flatten(),
                c5=nn.Linear(16 * 5 * 5, 120),  # 5x5 on 5x5 places: a convolution with one site
                squash5=ScaledTanh(),
                f6=nn.Linear(120, 84),
                squash6=ScaledTanh(),
            )
        )
        self._built = BuiltLayers(self.layers)
        self.rbf = RadialBasis(own)
        with torch.no_grad():
            for part in self.layers:
                if isinstance(part, nn.Conv2d | nn.Linear):
                    fill_by_fan_in(part.weight, part.weight[0].numel(), generator)
                    part.bias.zero_()  # type: ignore[union-attr]

    def connections(self) -> dict[str, int]:
        """Return how many connections each layer has: for each unit one per input, and one for its bias."""
        layers = self.layers
        counts = {}
        for name, sites in (("c1", 28 * 28), ("c3", 10 * 10), ("c5", 1), ("f6", 1)):
            counts[name] = sites * sum(p.numel() for p in getattr(layers, name).parameters())
        for name, sites in (("s2", 14 * 14), ("s4", 5 * 5)):
            counts[name] = sites * getattr(layers, name).coefficient.numel() * (2 * 2 + 1)
        counts["rbf"] = self.rbf.codes.numel()
        return counts

    def last_units(self, inputs: Tensor) -> Tensor:
        """Return the states of F6 `[B, 84]`, the last units before the fixed output."""
        weight: Tensor = self.layers.c1.weight  # type: ignore[assignment,union-attr]
        images = require_images("LeNet5", inputs, (1, 28, 28), weight)
        if self.compiled and self.training and self._nobody_watches(images):
            return self._quickly(images)
        states: Tensor = self.layers(images)
        return states

    def _nobody_watches(self, images: Tensor) -> bool:
        """Return whether the compiled kernels may replace the modules."""
        if not 0 < len(images) <= _SMALL or images.requires_grad or not torch.is_grad_enabled():
            return False
        if images.dtype != torch.float32 or images.device.type != "cpu":
            return False
        return not functions_are_watched() and self._built.are_in(self.layers)

    def _quickly(self, images: Tensor) -> Tensor:
        """The same as `layers(images)`, C1 to S4 compiled."""
        parts: dict[str, nn.Module] = dict(self.layers.named_children())
        named = dict(self.layers.named_parameters())
        below = (
            "c1.weight",
            "c1.bias",
            "s2.coefficient",
            "s2.bias",
            "c3.kernels",
            "c3.bias",
            "s4.coefficient",
            "s4.bias",
        )
        states = planes_of_lenet_5(parts["scaling"](images), _PAIRS, *(named[name] for name in below))
        for name in ("c5", "squash5", "f6", "squash6"):
            states = parts[name](states)
        return states

    def score_units(self, states: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of the last units' states; this part has no trainable weights."""
        scores: Tensor = self.rbf(states)
        return scores

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the negated distances `[B, classes]`; larger is better."""
        return self.score_units(self.last_units(inputs))
