"""LeNet of 1989: the first convolutional net trained by back-propagation, for handwritten zip codes.

    u = sum_j w_j x_j + b            kernels are shared over a plane, biases are not
    x = 1.7159 tanh(2/3 u)           in every layer, the output too
    E = mean of (x_k - t_k)^2        t = 1 for the class, -1 for the others

LeCun, Boser, Denker, Henderson, Howard, Hubbard and Jackel, "Backpropagation applied to handwritten zip code
recognition", Neural Computation 1 (1989) 541-551.

| layer    | units     | reads                                   | connections | parameters      |
|----------|-----------|-----------------------------------------|-------------|-----------------|
| `h1`     | 12@8x8    | the 16x16 image, 5x5, every second place | 19,968      | 300 + 768       |
| `h2`     | 12@4x4    | 8 of the 12 planes of H1, 5x5, likewise  | 38,592      | 2,400 + 192     |
| `h3`     | 30        | all of H2                               | 5,790       | 5,790           |
| `output` | 10        | all of H3                               | 310         | 310             |

Together 64,660 connections and 9,760 parameters. Outside the image and H1 there are units whose state is -1. The paper
does not say which eight planes a plane of H2 reads; here planes 0-3 read 0-7, planes 4-7 read 4-11 and planes 8-11 read
0-3 and 8-11. The constants of the tanh are those of the 1998 paper.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_images, require_labels, require_number, require_whole
from threegen.errors import ShapeError
from threegen.functional.convolutional.lenet_1989_fused import learn_one_by_one
from threegen.gen2.lenet_units import BuiltLayers, ScaledTanh, UnitBias, fill_by_fan_in
from threegen.machine.torch_private import has_hooks

SIDE = 16
READS = ((0, 1, 2, 3, 4, 5, 6, 7), (4, 5, 6, 7, 8, 9, 10, 11), (0, 1, 2, 3, 8, 9, 10, 11))
_READS = np.array(READS)


class Shrink(nn.Module):
    """Images `[B, 1, 28, 28]` in 0..1 to `[B, 1, 16, 16]` in -1..1.

    The border of `cut` pixels, empty in MNIST except for rare strokes, is cut off, so that digits fill the small image
    as the paper's do; each of the 16 x 16 pixels is the mean of those under it.
    """

    def __init__(self, cut: int = 2) -> None:
        super().__init__()
        self.cut = cut

    def forward(self, images: Tensor) -> Tensor:
        """Return the shrunk images."""
        inner = images[..., self.cut : 28 - self.cut, self.cut : 28 - self.cut]
        return F.adaptive_avg_pool2d(inner, SIDE) * 2.0 - 1.0


class Reads(nn.Module):
    """The planes of H1 in the order in which the three groups of H2 read them: 12 in, 24 out."""

    planes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("planes", torch.tensor(READS).flatten(), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Return `states` `[B, 12, H, W]` as `[B, 24, H, W]`."""
        return states.index_select(1, self.planes)


class LeNet1989(nn.Module):
    """LeNet of 1989: 9,760 parameters, 64,660 connections.

    `forward` takes images `[B, 1, 28, 28]` with values in 0..1 and returns the states of the output units
    `[B, classes]`, in -1.7159..1.7159. Initial weights come only from `generator`, `gain` times U(-2.4/F, 2.4/F) with F
    inputs per unit; the paper's gain is 1, with 3 the net learns faster at first (4.4 % against 4.6 % error after 23
    passes over 7,291 digits, on 10,000 held out). Biases start at zero. `cut` is the border that shrinking leaves out.
    Raises `ConfigError` for settings that cannot work, `ShapeError` for other inputs.
    """

    def __init__(
        self, classes: int = 10, *, cut: int = 2, gain: float = 3.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.classes = require_whole("classes", classes)
        self.gain = require_number("gain", gain, above=0.0)
        self.layers = nn.Sequential(
            OrderedDict(
                shrink=Shrink(require_whole("cut", cut, least=0)),
                border1=nn.ConstantPad2d(2, -1.0),
                h1=nn.Conv2d(1, 12, 5, stride=2, bias=False),
                bias1=UnitBias(12, 8),
                squash1=ScaledTanh(),
                border2=nn.ConstantPad2d(2, -1.0),
                reads=Reads(),
                h2=nn.Conv2d(24, 12, 5, stride=2, groups=3, bias=False),
                bias2=UnitBias(12, 4),
                squash2=ScaledTanh(),
                flatten=nn.Flatten(),
                h3=nn.Linear(12 * 4 * 4, 30),
                squash3=ScaledTanh(),
                output=nn.Linear(30, classes),
                squash4=ScaledTanh(),
            )
        )
        self._built = BuiltLayers(self.layers)
        self._fill(generator)

    @torch.no_grad()
    def _fill(self, generator: torch.Generator | None) -> None:
        for part in self.layers:
            if isinstance(part, nn.Conv2d | nn.Linear):
                fill_by_fan_in(part.weight, part.weight[0].numel(), generator)
                part.weight.mul_(self.gain)
            if isinstance(part, nn.Linear):
                part.bias.zero_()

    def connections(self) -> dict[str, int]:
        """Return the number of connections of each layer: for each unit one per input, and one for its bias."""
        counts = {}
        for name, sites in (("h1", 8 * 8), ("h2", 4 * 4), ("h3", 1), ("output", 1)):
            weight: Tensor = getattr(self.layers, name).weight
            counts[name] = sites * len(weight) * (weight[0].numel() + 1)
        return counts

    @torch.no_grad()
    def learn_one_by_one(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        """Learn from one image at a time: forward, backward, update; return the mean loss before the steps, 0-d.

        Labels `[B]` become 1 and -1; floating targets `[B, classes]` are taken as they are. The loss is the mean
        square over the outputs. Float32 on the CPU uses the compiled kernel (`convolutional.lenet_1989_fused`), which
        updates the weights in place; other types and devices, nets with frozen parameters, with a `forward` of their
        own, with hooks or with an exchanged layer use autograd step by step. Raises `DataError` for wrong labels,
        `ShapeError` for other inputs or targets.
        """
        weight = next(self.parameters())
        images = require_images("LeNet1989", inputs, (1, 28, 28), weight)
        wanted = self._signed(targets).to(weight)
        if not self._kernel_learns():
            return self._learn_plainly(images, wanted, rate)
        shrink: nn.Module = self.layers.shrink  # type: ignore[assignment]
        small = shrink(images).reshape(-1, SIDE, SIDE)
        named = dict(self.layers.named_parameters())
        arrays = [named[name].detach().view(shape).numpy() for name, shape in self._flat_shapes().items()]
        loss = learn_one_by_one(small.numpy(), wanted.numpy(), _READS, np.float32(rate), *arrays)
        return torch.tensor(loss, dtype=torch.float32)

    def _kernel_learns(self) -> bool:
        """Return whether the kernel does what autograd would: plain float32 weights, `forward` and layers as built."""
        if type(self).forward is not LeNet1989.forward or has_hooks(self) or not self._built.are_in(self.layers):
            return False
        return all(p.requires_grad and p.dtype == torch.float32 and p.device.type == "cpu" for p in self.parameters())

    def _flat_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter for the kernel: units, then the inputs of each."""
        return {
            "h1.weight": (12, 25),
            "bias1.bias": (12, 64),
            "h2.weight": (12, 200),
            "bias2.bias": (12, 16),
            "h3.weight": (30, 192),
            "h3.bias": (30,),
            "output.weight": (self.classes, 30),
            "output.bias": (self.classes,),
        }

    def _signed(self, targets: Tensor) -> Tensor:
        if targets.is_floating_point():
            if targets.shape[1:] != (self.classes,):
                raise ShapeError(f"targets {list(targets.shape)} do not fit {self.classes} scores")
            return targets
        return F.one_hot(require_labels(targets, self.classes).long(), self.classes) * 2.0 - 1.0

    def _learn_plainly(self, images: Tensor, wanted: Tensor, rate: float) -> Tensor:
        """The same by autograd, one example after the other."""
        total = images.new_zeros(())
        parameters: list[Tensor] = [p for p in self.parameters() if p.requires_grad]
        for image, target in zip(torch.split(images, 1), torch.split(wanted, 1), strict=True):
            with torch.enable_grad():
                loss = F.mse_loss(self(image), target)
                gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.add_(gradient, alpha=-rate)
            total += loss.detach()
        return total / len(images)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of `inputs`; larger is better."""
        images = require_images("LeNet1989", inputs, (1, 28, 28), next(self.parameters()))
        scores: Tensor = self.layers(images)
        return scores
