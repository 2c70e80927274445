"""Spiking networks trained by spatio-temporal back-propagation (STBP).

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + W_l o_{l-1}[t] + b_l       o_l[t] = 1 where u_l[t] >= threshold
    o_0[t] = spikes of the image                                            score  = 1/T sum_t o_L[t]

Wu, Deng, Li, Zhu and Shi, "Spatio-temporal backpropagation for training high-performance spiking neural networks",
Frontiers in Neuroscience 12:331 (2018): equations 1 to 5 and the rate read-out of its loss. The gradient flows through
layers and through time, with a surrogate for the spike's slope; any loss of the scores does, `Backprop` trains it.

Shapes: T time steps, B examples, D inputs, N neurons of a layer, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_features, require_sizes, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.encoding import draw_spikes
from threegen.functional.event_driven import to_event_layout
from threegen.functional.neurons import NeuronState
from threegen.functional.time_blocks import Layer, LinearLayer, Neurons, Source, run_in_blocks, steps_per_block
from threegen.gen3.encoders import Bernoulli, Encoder, Latency, Poisson
from threegen.gen3.neurons import LIF
from threegen.memory import require_weights
from threegen.randomness import draw_key

# The spike rate that the initial weights reckon with; the mean intensity of MNIST is 0.13.
EXPECTED_RATE = 0.15


class RateReadout(nn.Module):
    """The paper's read-out: the mean spikes of each neuron of the last layer; ties go to the higher potential.

    Rates are multiples of 1/T, so ties are common. In eval mode a tenth of 1/T is therefore shared out by the rank of
    the summed input current: the order of the classes is then that of (rate, potential). In training mode the scores
    are the bare rates, so losses are those of the paper. The gradient of a score is that of the rate in both modes.
    """

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, K] of the last layer."""
        return self.from_sums(spikes.sum(0), currents.sum(0), len(spikes))

    def from_sums(self, counts: Tensor, summed: Tensor, steps: int) -> Tensor:
        """Return scores [B, K] from spikes and input currents [B, K] summed over `steps` time steps."""
        rates = counts / steps
        if self.training:
            return rates
        rank = summed.detach().argsort(-1).argsort(-1)
        return rates + rank * (0.1 / (steps * rank.shape[-1]))


class PotentialReadout(nn.Module):
    """The summed input of the last layer: what its potential would be without leak and reset."""

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, K] of the last layer."""
        return self.from_sums(spikes, currents.sum(0), len(spikes))

    def from_sums(self, counts: Tensor, summed: Tensor, steps: int) -> Tensor:
        """Return scores [B, K] from input currents [B, K] summed over `steps` time steps."""
        return summed


BACKENDS = ("auto", "fused", "plain")
READOUTS: dict[str, type[nn.Module]] = {"rate": RateReadout, "potential": PotentialReadout}


@dataclass(frozen=True, slots=True)
class Record:
    """What happened inside a spiking net: everything is [T, B, ...] unless said otherwise.

    `inputs` the encoded input, `spikes` and `potentials` (before the reset) one tensor a layer, `scores` [B, K],
    `state` one `NeuronState` a layer after the last step: hand it to the next `run` to go on.
    """

    inputs: Tensor
    spikes: list[Tensor]
    potentials: list[Tensor]
    scores: Tensor
    state: list[NeuronState]


class SpikingNet(nn.Module):
    """What all spiking nets share: an encoder, layers of synapses and neurons, a read-out, and two ways to compute.

    `backend` is "plain" (PyTorch, step by step through layers, on any device: the definition), "fused" (compiled
    kernels in blocks of time steps that visit only the spikes that are there, CPU) or "auto": fused where it can be,
    plain elsewhere, and plain where hooks on the layers want to see them at work. Both draw the same spikes.
    """

    def __init__(self, steps: int, encoder: Encoder | None, readout: str, backend: str) -> None:
        super().__init__()
        self.steps = require_whole("steps", steps)
        self.backend = require_choice("backend", backend, BACKENDS)
        if encoder is not None and not isinstance(encoder, nn.Module):
            raise ConfigError(f"encoder must be a module such as Bernoulli(), got {encoder!r}")
        self.encoder = Bernoulli() if encoder is None else encoder
        self.synapses = nn.ModuleList()
        self.neurons = nn.ModuleList()
        self.readout = READOUTS[require_choice("readout", readout, READOUTS)]()

    def pixels(self, x: Tensor) -> Tensor:
        """Return images as the encoder takes them; raises `ShapeError`."""
        raise NotImplementedError(f"{type(self).__name__} must write pixels")

    def between(self, layer: int, spikes: Tensor) -> Tensor:
        """Return what the neurons of `layer` hand on to the next one [T, B, ...]: pooled, flattened, as they are."""
        return spikes

    def blocks(self, keep: bool) -> tuple[list[Layer], int]:
        """Return the net as layers for time blocks, and how many values an example its largest layer has."""
        layers: list[Layer] = []
        for number, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            inside = Neurons(cast(LIF, neuron).constants, keep)
            first, last = number == 0, number == len(self.synapses) - 1
            layers.append(LinearLayer(*weights_of(synapse), inside, first=first, last=last))
        return layers, max(len(layer.weight) for layer in layers)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return scores [B, K] of images [B, C, H, W], or of vectors [B, D] where the net takes them, in 0..1.

        `generator` draws the spikes; None takes torch's own. Raises `ShapeError`, `ConfigError`, `NumericError`.
        """
        obstacle = "it was asked to be" if self.backend == "plain" else self._obstacle(x)
        if obstacle is None:
            return self._forward_in_blocks(self.pixels(x), generator)
        if self.backend == "fused":
            raise ConfigError(f'backend="fused" cannot run here: {obstacle}; use backend="auto"')
        spikes = currents = self.encode(x, generator)
        for layer, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            currents = at_every_step(synapse, spikes)
            fired, _ = neuron(currents)
            spikes = self.between(layer, fired)
        return cast(Tensor, self.readout(spikes, currents))

    def run(
        self, x: Tensor, state: Sequence[NeuronState] | None = None, generator: torch.Generator | None = None
    ) -> Record:
        """Return the `Record` of a forward pass, from rest or from the `state` that an earlier record holds.

        Raises what `forward` raises, and `ShapeError` where `state` is of another net or batch.
        """
        if state is not None and len(state) != len(self.neurons):
            raise ShapeError(f"the state is of {len(state)} spiking layers, the net has {len(self.neurons)}")
        inputs = spikes = currents = self.encode(x, generator)
        fired: list[Tensor] = []
        potentials: list[Tensor] = []
        after: list[NeuronState] = []
        for layer, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            currents = at_every_step(synapse, spikes)
            train, last = neuron(currents, None if state is None else state[layer], trace=potentials)
            fired.append(train)
            after.append(last)
            spikes = self.between(layer, train)
        return Record(inputs, fired, potentials, self.readout(spikes, currents), after)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the spikes [T, B, ...] of images or vectors in 0..1."""
        return cast(Tensor, self.encoder(self.pixels(x), self.steps, generator))

    def _obstacle(self, x: Tensor) -> str | None:
        """Return why the compiled way cannot be taken, or None where it can."""
        weight = next(self.synapses.parameters())
        if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
            return f"the weights are {weight.dtype} on {weight.device.type}"
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return "under autocast and torch.compile torch chooses the kernels"
        if x.requires_grad:
            return "the gradient of the image is asked for"
        if len(x) == 0:
            return "the batch is empty"
        if type(self.encoder) not in (Bernoulli, Poisson, Latency):
            return f"{type(self.encoder).__name__} may send more than spikes"
        for module in self.modules():
            known = type(module) in (nn.Linear, nn.Conv2d, LIF) or module in (self.encoder, self.readout, self)
            if not known and not isinstance(module, nn.ModuleList | nn.AvgPool2d):
                return f"{type(module).__name__} has no kernel"
            if module is not self and (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks):
                return "there are hooks on its layers"
        return None

    def _forward_in_blocks(self, pixels: Tensor, generator: torch.Generator | None) -> Tensor:
        weights = [one for synapse in self.synapses for one in weights_of(synapse)]
        keep = torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in weights)
        layers, largest = self.blocks(keep)
        block = steps_per_block(self.steps, len(pixels), largest, pixels.element_size())
        source = self._source(pixels, generator)
        counts, summed = run_in_blocks(layers, source, self.steps, block, weights)
        return cast(RateReadout | PotentialReadout, self.readout).from_sums(counts, summed, self.steps)

    def _source(self, pixels: Tensor, generator: torch.Generator | None) -> Source:
        """Return what gives the spikes of the image, as bytes, block by block."""
        chances = self.encoder.chances(pixels)
        if chances is None:
            train = self.encoder(pixels, self.steps, generator).to(torch.uint8)
            return lambda first, steps: train[first : first + steps]
        key = draw_key(generator)
        return lambda first, steps: draw_spikes(chances, steps, key, first)


def at_every_step(synapse: nn.Module, spikes: Tensor) -> Tensor:
    """Return what `synapse` makes of the spikes [T, B, ...] of every step, [T, B, ...]."""
    if isinstance(synapse, nn.Linear):
        return cast(Tensor, synapse(spikes))
    merged: Tensor = synapse(spikes.flatten(0, 1))
    return merged.view(*spikes.shape[:2], *merged.shape[1:])


def weights_of(synapse: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a linear or convolutional layer."""
    known = cast(nn.Linear, synapse)
    return known.weight, known.bias


class SpikingMLP(SpikingNet):
    """A fully connected spiking net, such as `SpikingMLP([784, 800, 10])`; sizes list inputs, hidden layers, classes.

    `steps` is T. `encoder` (default `Bernoulli()`) turns the flattened image into spikes. The neuron options are those
    of `LIF`. `readout` is "rate" (see `RateReadout`) or "potential" (see `PotentialReadout`). `backend` is "plain",
    "fused" or "auto" (see `SpikingNet`). `generator` draws the initial weights. Raises `ConfigError`,
    and `ResourceError` for weights that do not fit into memory.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
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
        self.sizes = require_sizes("sizes", sizes)
        require_weights("SpikingMLP", zip(self.sizes, self.sizes[1:], strict=False))
        for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False):
            self.synapses.append(to_event_layout(spiking_linear(inputs, outputs, threshold, generator)))
            self.neurons.append(LIF(decay, threshold, reset, surrogate, surrogate_width, detach_reset))

    def pixels(self, x: Tensor) -> Tensor:
        """Return images or vectors as the encoder takes them, [B, D]. Raises `ShapeError`."""
        return require_features("SpikingMLP", x, self.sizes[0], cast(Tensor, self.synapses[0].weight))

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"sizes={self.sizes}, steps={self.steps}"


def spiking_linear(
    inputs: int,
    outputs: int,
    threshold: float,
    generator: torch.Generator | None,
    gain: float = 0.4,
    square: float = EXPECTED_RATE,
) -> nn.Linear:
    """Return a linear layer whose summed input fluctuates by about `gain` thresholds when its inputs fire at 15 %.

    Weights are uniform with variance (gain * threshold)^2 / (inputs * square), biases zero: neurons are then neither
    silent nor saturated at the start, whatever the threshold and the width of the layer. `square` is the mean square
    of an input: the rate of single spikes, less for averaged ones.
    """
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = gain * threshold * math.sqrt(3 / (inputs * square))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return cast(nn.Linear, layer)
