"""Spiking convolutional networks, written as a string of layers such as 15C5-P2-40C5-P2-300-10.

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + W_l * x_l[t] + b_l     o_l[t] = 1 where u_l[t] >= threshold
    x_l[t] = mean of o_{l-1}[t] over k x k windows behind Pk, else o_{l-1}[t]      score = 1/T sum_t o_L[t]

Wu, Deng, Li, Zhu and Shi, "Spatio-temporal backpropagation for training high-performance spiking neural networks",
Frontiers in Neuroscience 12:331 (2018): `15C5` is a convolution with 15 kernels of 5 by 5, `P2` averages spikes over
windows of 2 by 2, `300` is a fully connected layer. Behind every convolution and every full layer there are neurons.

Shapes: T time steps, B examples, C channels, H x W places, K classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_images, require_sizes, require_whole
from threegen.errors import ConfigError
from threegen.functional.conv_blocks import ConvLayer
from threegen.functional.event_driven import to_event_layout
from threegen.functional.time_blocks import Layer, LinearLayer, Neurons, Source
from threegen.gen3.encoders import Encoder
from threegen.gen3.networks import EXPECTED_RATE, SpikingNet, spiking_linear, weights_of
from threegen.gen3.neurons import LIF

# Deep nets die out unless every layer hands on as much as it gets. With a summed input that fluctuates by this many
# thresholds a neuron of decay .5 fires at about 15 %: its potential fluctuates by gain / sqrt(1 - .5^2).
GAIN = 0.84
# The mean square of a mean over four places that fire at 15 %: .05 were they independent, .15 if always together.
POOLED_SQUARE = 0.08
_CONVOLUTION = re.compile(r"(\d+)C(\d+)(S?)")
_POOLING = re.compile(r"P(\d+)")
LARGEST_POOL = 15  # counts of larger windows do not fit a byte
_FULL = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer of neurons: `outputs` channels or neurons, `kernel` 0 where it is fully connected, `pool` behind it."""

    outputs: int
    kernel: int = 0
    padding: int = 0
    pool: int = 1


def parse_layers(text: str) -> list[LayerPlan]:
    """Return the layers of a string such as `"15C5-P2-40C5-P2-300-10"`.

    `15C5`: 15 kernels of 5 by 5 without padding, `15C5S`: with padding that keeps the size (odd kernels only); `P2`
    behind a convolution: mean over 2 by 2; a number: a full layer. The last one is the classes. Raises `ConfigError`.
    """
    hint = f'layers must be a text such as "15C5-P2-40C5-P2-300-10", got {text!r}'
    if not isinstance(text, str):
        raise ConfigError(hint)
    plans: list[LayerPlan] = []
    for word in text.split("-"):
        full = bool(plans) and plans[-1].kernel == 0
        if (found := _CONVOLUTION.fullmatch(word)) and not full:
            kernel = int(found[2])
            if found[3] and kernel % 2 == 0:
                raise ConfigError(f"{hint}: {word!r} keeps the size, which takes an odd kernel")
            plans.append(LayerPlan(int(found[1]), kernel, kernel // 2 if found[3] else 0))
        elif (found := _POOLING.fullmatch(word)) and plans and plans[-1].kernel and plans[-1].pool == 1:
            last = plans.pop()
            plans.append(LayerPlan(last.outputs, last.kernel, last.padding, int(found[1])))
        elif _FULL.fullmatch(word):
            plans.append(LayerPlan(int(word)))
        else:
            raise ConfigError(
                f"{hint}: {word!r} is no layer here; convolutions (15C5) come first, P2 behind one, then numbers"
            )
    if plans[-1].kernel:
        raise ConfigError(f"{hint}: it must end with the number of classes")
    for plan in plans:
        require_whole(f"outputs in {text!r}", plan.outputs)
        require_whole(f"pooling in {text!r}", plan.pool)
        require_whole(f"kernel in {text!r}", plan.kernel, least=0)
    return plans


class SpikingConvNet(SpikingNet):
    """A convolutional spiking net, such as `SpikingConvNet("15C5-P2-40C5-P2-300-10")`; see `parse_layers`.

    `shape` is that of one image, (C, H, W). `steps` is T. The other options are those of `SpikingMLP`.
    Raises `ConfigError`.
    """

    def __init__(
        self,
        layers: str = "15C5-P2-40C5-P2-300-10",
        *,
        shape: Sequence[int] = (1, 28, 28),
        steps: int = 10,
        encoder: Encoder | None = None,
        decay: float = 0.5,
        threshold: float = 0.5,
        reset: str = "hard",
        surrogate: str = "rectangular",
        surrogate_width: float = 1.0,
        detach_reset: bool = False,
        readout: str = "rate",
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(steps, encoder, readout, backend)
        self.layers = layers
        self.plans = parse_layers(layers)
        self.shape = tuple(require_sizes("shape", shape, least_length=3))
        channels, height, width = self.shape
        square = EXPECTED_RATE
        for plan in self.plans:
            if plan.kernel:
                self.synapses.append(spiking_convolution(channels, plan, threshold, generator, square))
                channels = plan.outputs
                height = (height + 2 * plan.padding - plan.kernel + 1) // plan.pool
                width = (width + 2 * plan.padding - plan.kernel + 1) // plan.pool
                if min(height, width) < 1:
                    raise ConfigError(f"layers {layers!r} leave no place of images of shape {self.shape}")
            else:
                inputs = channels * height * width
                full = spiking_linear(inputs, plan.outputs, threshold, generator, GAIN, square)
                self.synapses.append(to_event_layout(full))
                channels, height, width = plan.outputs, 1, 1
            square = EXPECTED_RATE if plan.pool == 1 else POOLED_SQUARE
            self.neurons.append(LIF(decay, threshold, reset, surrogate, surrogate_width, detach_reset))

    def pixels(self, x: Tensor) -> Tensor:
        """Return images [B, C, H, W] as they are. Raises `ShapeError`."""
        return require_images("SpikingConvNet", x, self.shape, cast(Tensor, self.synapses[0].weight))

    def between(self, layer: int, spikes: Tensor) -> Tensor:
        """Return the spikes pooled, and flattened in front of a full layer, [T, B, ...]."""
        plan = self.plans[layer]
        if plan.pool > 1:
            pooled = F.avg_pool2d(spikes.flatten(0, 1), plan.pool)
            spikes = pooled.view(*spikes.shape[:2], *pooled.shape[1:])
        last_map = plan.kernel and not self.plans[layer + 1].kernel
        return spikes.flatten(2) if last_map else spikes

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the spikes [T, B, C, H, W] of images in 0..1; flat [T, B, D] for a net without convolutions."""
        spikes = super().encode(x, generator)
        return spikes if self.plans[0].kernel else spikes.flatten(2)

    def blocks(self, keep: bool) -> tuple[list[Layer], int]:
        """Return the net as layers for time blocks, and how many values an example its largest layer has."""
        layers: list[Layer] = []
        channels, height, width = self.shape
        scale, largest = 1.0, 0
        for number, (plan, synapse, neuron) in enumerate(zip(self.plans, self.synapses, self.neurons, strict=True)):
            inside = Neurons(cast(LIF, neuron).constants, keep)
            weight, bias = weights_of(synapse)
            if plan.kernel:
                layers.append(
                    ConvLayer(
                        weight, bias, inside, scale=scale, padding=plan.padding, pool=plan.pool, first=number == 0
                    )
                )
                height, width = (one + 2 * plan.padding - plan.kernel + 1 for one in (height, width))
                largest = max(largest, plan.outputs * height * width)
                channels, height, width = plan.outputs, height // plan.pool, width // plan.pool
                scale = 1 / plan.pool**2
                continue
            last = number == len(self.plans) - 1
            picture = (channels, height, width) if height * width > 1 else None
            layers.append(LinearLayer(weight, bias, inside, scale=scale, first=number == 0, last=last, picture=picture))
            largest = max(largest, plan.outputs)
            channels, height, width, scale = plan.outputs, 1, 1, 1.0
        return layers, largest

    def _source(self, pixels: Tensor, generator: torch.Generator | None) -> Source:
        """Return what gives the spikes of the images, channels last for a convolution."""
        source = super()._source(pixels, generator)
        if not self.plans[0].kernel:
            return source
        return lambda first, steps: source(first, steps).permute(0, 1, 3, 4, 2).contiguous()

    def _obstacle(self, x: Tensor) -> str | None:
        """Return why the compiled way cannot be taken, or None where it can."""
        for plan, synapse in zip(self.plans, self.synapses, strict=True):
            if plan.pool > LARGEST_POOL:
                return f"a window of {plan.pool} by {plan.pool} holds more spikes than a byte can count"
            simple = ((1, 1), (1, 1), 1, (plan.padding, plan.padding), "zeros")
            if isinstance(synapse, nn.Conv2d) and simple != (
                synapse.stride,
                synapse.dilation,
                synapse.groups,
                synapse.padding,
                synapse.padding_mode,
            ):
                return "a convolution was put in that the kernels do not know"
        return super()._obstacle(x)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"layers={self.layers}, shape={self.shape}, steps={self.steps}"


def spiking_convolution(
    channels: int, plan: LayerPlan, threshold: float, generator: torch.Generator | None, square: float
) -> nn.Conv2d:
    """Return a convolution with the initial values of `spiking_linear`, for the inputs that one place sees."""
    layer = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, channels, plan.outputs, plan.kernel, padding=plan.padding
    )
    bound = GAIN * threshold * math.sqrt(3 / (channels * plan.kernel**2 * square))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return cast(nn.Conv2d, layer)
