"""Spiking convolutional networks, written as a string of layers such as 15C5-P2-40C5-P2-300-10 (`layer_strings`).

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + W_l * x_l[t] + b_l     o_l[t] = 1 where u_l[t] >= threshold
    x_l[t] = mean of o_{l-1}[t] over k x k windows after Pk, else o_{l-1}[t] score = 1/T sum_t o_L[t]

Wu, Deng, Li, Zhu and Shi, "Spatio-temporal backpropagation for training high-performance spiking neural networks",
Frontiers in Neuroscience 12:331 (2018): `15C5` is a convolution with 15 kernels of 5 by 5, `P2` averages spikes over
windows of 2 by 2, `300` is a fully connected layer. Neurons follow every convolution and every full layer.

Shapes: T time steps, B examples, C channels, H x W places, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_images, require_sizes
from threegen.errors import ConfigError
from threegen.functional.spiking.conv_blocks import ConvLayer
from threegen.functional.spiking.time_blocks import Layer, LinearLayer, Neurons, Source
from threegen.gen3.initial_values import EXPECTED_RATE, fill_spiking, spiking_linear
from threegen.gen3.layer_strings import LayerPlan, parse_layers
from threegen.gen3.networks import SpikingNet, for_last_layer, require_spatial
from threegen.gen3.neuron_options import NeuronOptions, make_neurons
from threegen.gen3.neurons import LIF
from threegen.gen3.normalisation import NeuNorm, ThresholdBatchNorm
from threegen.gen3.shortcuts import Join
from threegen.gen3.steps import at_every_step, weights_of

# In deep nets activity dies out unless every layer passes on as much as it gets. If its summed input fluctuates by this
# many thresholds, a neuron of decay .5 fires at about 15 %: its potential fluctuates by gain / sqrt(1 - .5^2).
GAIN = 0.84
# The mean square of a mean over four places that fire at 15 %: .05 if they were independent, .15 if always together.
POOLED_SQUARE = 0.08
LARGEST_POOL = 15  # counts of larger windows do not fit a byte
SHORTCUTS = ("current", "spikes")


class SpikingConvNet(SpikingNet):
    """A convolutional spiking net, such as `SpikingConvNet("15C5-P2-40C5-P2-300-10")`; see `layer_strings`.

    `shape` is that of one image, (C, H, W). `steps` is T. `shortcut` says how the signal x that enters a residual block
    joins its end: "current" adds threshold * x (or a 1 x 1 convolution of x, for another number of channels) to the
    summed input of the second neurons, so that spikes stay 0 or 1, as in Zheng et al., AAAI 2021; "spikes" adds x to
    the spikes that come out (spike-element-wise ADD, Fang et al., "Deep residual learning in spiking neural networks",
    NeurIPS 2021). With zero weights both blocks pass on their input. The other options are those of `SpikingMLP`;
    `recurrent` is for hidden full layers. Raises `ConfigError`.
    """

    def __init__(
        self,
        layers: str = "15C5-P2-40C5-P2-300-10",
        *,
        shape: Sequence[int] = (1, 28, 28),
        steps: int = 10,
        encoder: nn.Module | str | None = None,
        readout: str | nn.Module = "rate",
        recurrent: bool = False,
        shortcut: str = "current",
        gradient: str = "space-time",
        init: str = "input",
        backend: str = "auto",
        generator: torch.Generator | None = None,
        **neurons: Unpack[NeuronOptions],
    ) -> None:
        plans, one = parse_layers(layers), make_neurons(neurons)
        decay = one.constants.decay
        super().__init__(steps, encoder, readout, backend, gradient, votes=plans[-1].votes, decay=decay)
        self.layers, self.plans, self.threshold = layers, plans, one.constants.threshold
        self.shape = tuple(require_sizes("shape", shape, least_length=3))
        self.shortcut = require_choice("shortcut", shortcut, SHORTCUTS)
        self.shortcuts, self.joins, self.norms = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        gains = one.gain(init, GAIN, steps), one.gain("input", GAIN, steps)
        places = self._add_synapses(*gains, generator)
        for number, plan in enumerate(self.plans):
            last = number == len(self.plans) - 1
            own = for_last_layer(neurons, readout) if last else neurons
            size = plan.outputs if recurrent and not plan.kernel and not last else 0
            self.neurons.append(make_neurons(own, recurrent=size, generator=generator, layer=places[number]))
        require_spatial(self)

    def _add_synapses(self, gain: float, last_gain: float, generator: torch.Generator | None) -> list[tuple[int, ...]]:
        """Make the layers, drawing in order; `gain` is the fluctuation of their summed input, in thresholds.

        Returns the shape of each layer of neurons, [C, H, W] or [N].
        """
        places: list[tuple[int, ...]] = []
        channels, height, width = self.shape
        entering, square = channels, EXPECTED_RATE
        for number, plan in enumerate(self.plans):
            alpha = 0.5**0.5 if plan.block == 2 and self.shortcut == "current" else 1.0
            if plan.block == 1:
                entering = channels
            if plan.kernel:
                own = {"padding": plan.padding, "bias": not plan.batch_norm}
                convolution = nn.utils.skip_init(  # type: ignore[no-untyped-call]
                    nn.Conv2d, channels, plan.outputs, plan.kernel, **own
                )
                fill_spiking(convolution, gain, self.threshold, square, generator)
                synapse: nn.Module = convolution
                channels = plan.outputs
                height, width = (one + 2 * plan.padding - plan.kernel + 1 for one in (height, width))
                places.append((channels, height, width))
                height, width = height // plan.pool, width // plan.pool
                if min(height, width) < 1:
                    raise ConfigError(
                        f"layers {self.layers!r} reduce images of shape {self.shape} to nothing; use "
                        f"smaller kernels or less pooling"
                    )
            else:
                inputs, channels = channels * height * width, plan.outputs * plan.votes
                own_gain = last_gain if number == len(self.plans) - 1 else gain
                full = spiking_linear(inputs, channels, self.threshold, generator, own_gain, square)
                synapse, height, width = full, 1, 1
                places.append((channels,))
            if plan.batch_norm:
                synapse = nn.Sequential(synapse, ThresholdBatchNorm(channels, self.threshold, alpha))
            self.synapses.append(synapse)
            if plan.block == 2:
                projected = entering != channels
                if projected:
                    self.shortcuts[str(number)] = self._projection(entering, plan, gain, square, generator)
                same = projected or self.shortcut == "spikes"
                self.joins[str(number)] = Join(1.0 if same else self.threshold)
            if plan.neu_norm:
                self.norms[str(number)] = NeuNorm(channels)
            square = EXPECTED_RATE if plan.pool == 1 else POOLED_SQUARE
        return places

    def _projection(
        self, entering: int, plan: LayerPlan, gain: float, square: float, generator: torch.Generator | None
    ) -> nn.Module:
        """Return the 1 x 1 convolution by which the shortcut of a block changes the number of channels."""
        if self.shortcut == "spikes":
            raise ConfigError(
                f'shortcut="spikes" adds spikes to spikes, but a block of {self.layers!r} turns {entering} channels '
                f'into {plan.outputs}; put a convolution before it, or use shortcut="current"'
            )
        layer: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Conv2d, entering, plan.outputs, 1, bias=False
        )
        fill_spiking(layer, gain * 0.5**0.5, self.threshold, square, generator)
        if not plan.batch_norm:
            return layer
        return nn.Sequential(layer, ThresholdBatchNorm(plan.outputs, self.threshold, 0.5**0.5))

    def pixels(self, x: Tensor) -> Tensor:
        """Return images [B, C, H, W] unchanged. Raises `ShapeError`."""
        return require_images("SpikingConvNet", x, self.shape, self.any_weight)

    @property
    def one_input(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W)."""
        return self.shape

    def kept(self, layer: int) -> int:
        """Return the first layer whose incoming signal is still needed behind `layer`: a shortcut begins there."""
        return layer if self.plans[layer].block == 1 else layer + 1

    def summed_input(self, layer: int, signals: Mapping[int, Tensor]) -> Tensor:
        """Return the summed input [T, B, ...] of a layer, with that of the shortcut which ends there."""
        currents = super().summed_input(layer, signals)
        if self.plans[layer].block != 2 or self.shortcut != "current":
            return currents
        entering, place = signals[layer - 1], str(layer)
        if place in self.shortcuts:
            entering = at_every_step(self.shortcuts[place], entering)
        return cast(Tensor, self.joins[place](currents, entering))

    def between(
        self, layer: int, spikes: Tensor, signals: Mapping[int, Tensor], remembered: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the spikes normalised, pooled, and flattened before a full layer, [T, B, ...]."""
        plan = self.plans[layer]
        if plan.block == 2 and self.shortcut == "spikes":
            spikes = self.joins[str(layer)](spikes, signals[layer - 1])
        if plan.neu_norm:
            spikes, remembered = self.norms[str(layer)](spikes, remembered)
        if plan.pool > 1:
            pooled = F.avg_pool2d(spikes.flatten(0, 1), plan.pool)
            spikes = pooled.view(*spikes.shape[:2], *pooled.shape[1:])
        last_map = plan.kernel and not self.plans[layer + 1].kernel
        return spikes.flatten(2) if last_map else spikes, remembered

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
            inside = Neurons(cast(LIF, neuron).constants_now(), keep)
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
            largest = max(largest, len(weight))
            channels, height, width, scale = plan.outputs, 1, 1, 1.0
        return layers, 2 * largest  # convolutions are fastest in blocks half as large as those of gathered rows

    def _source(self, pixels: Tensor, generator: torch.Generator | None, *, given: bool = False) -> Source:
        """Return the source of the images' spikes, channels last for a convolution."""
        source = super()._source(pixels, generator, given=given)
        if not self.plans[0].kernel:
            return source
        return lambda first, steps: source(first, steps).permute(0, 1, 3, 4, 2).contiguous()

    def _obstacle(self, x: Tensor) -> str | None:
        """Return why the compiled way cannot be taken, or None if it can."""
        for plan, synapse in zip(self.plans, self.synapses, strict=True):
            if plan.block:
                return "residual blocks have no kernel"
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
                return "a convolution was inserted that the kernels do not support"
        return super()._obstacle(x)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"layers={self.layers}, shape={self.shape}, steps={self.steps}"
