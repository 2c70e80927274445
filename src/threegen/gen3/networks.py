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
from threegen.functional.neurons import NeuronState
from threegen.gen3.encoders import Bernoulli, Encoder
from threegen.gen3.neurons import LIF

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
        rates = spikes.mean(0)
        if self.training:
            return rates
        rank = currents.detach().sum(0).argsort(-1).argsort(-1)
        return rates + rank * (0.1 / (len(spikes) * rank.shape[-1]))


class PotentialReadout(nn.Module):
    """The summed input of the last layer: what its potential would be without leak and reset."""

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, K] of the last layer."""
        return currents.sum(0)


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


class SpikingMLP(nn.Module):
    """A fully connected spiking net, such as `SpikingMLP([784, 800, 10])`; sizes list inputs, hidden layers, classes.

    `steps` is T. `encoder` (default `Bernoulli()`) turns the flattened image into spikes. The neuron options are those
    of `LIF`. `readout` is "rate" (see `RateReadout`) or "potential" (see `PotentialReadout`). `generator` draws the
    initial weights. Raises `ConfigError`.
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
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sizes = require_sizes("sizes", sizes)
        self.steps = require_whole("steps", steps)
        if encoder is not None and not isinstance(encoder, nn.Module):
            raise ConfigError(f"encoder must be a module such as Bernoulli(), got {encoder!r}")
        self.encoder = Bernoulli() if encoder is None else encoder
        self.synapses = nn.ModuleList()
        self.neurons = nn.ModuleList()
        for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False):
            self.synapses.append(spiking_linear(inputs, outputs, threshold, generator))
            self.neurons.append(LIF(decay, threshold, reset, surrogate, surrogate_width, detach_reset))
        self.readout = READOUTS[require_choice("readout", readout, READOUTS)]()

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return scores [B, K] of images [B, 1, H, W] or vectors [B, D] in 0..1.

        `generator` draws the spikes; None takes torch's own. Raises `ShapeError`, `ConfigError`, `NumericError`.
        """
        spikes = currents = self.encode(x, generator)
        for synapse, neuron in zip(self.synapses, self.neurons, strict=True):
            currents = synapse(spikes)
            spikes, _ = neuron(currents)
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
            currents = synapse(spikes)
            spikes, last = neuron(currents, None if state is None else state[layer], trace=potentials)
            fired.append(spikes)
            after.append(last)
        return Record(inputs, fired, potentials, self.readout(spikes, currents), after)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the spikes [T, B, D] of images or vectors in 0..1."""
        weight = cast(Tensor, self.synapses[0].weight)
        pixels = require_features("SpikingMLP", x, self.sizes[0], weight)
        return cast(Tensor, self.encoder(pixels, self.steps, generator))

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"sizes={self.sizes}, steps={self.steps}"


def spiking_linear(
    inputs: int, outputs: int, threshold: float, generator: torch.Generator | None, gain: float = 0.4
) -> nn.Linear:
    """Return a linear layer whose summed input fluctuates by about `gain` thresholds when its inputs fire at 15 %.

    Weights are uniform with variance (gain * threshold)^2 / (inputs * 0.15), biases zero: neurons are then neither
    silent nor saturated at the start, whatever the threshold and the width of the layer.
    """
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = gain * threshold * math.sqrt(3 / (inputs * EXPECTED_RATE))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return cast(nn.Linear, layer)
