"""Many `SpikingMLP`s as one stack of weights: the products are shared, neurons and spikes are separate.

See `gen2/stacked.py`. Legend: n networks, T time steps, B examples, O outputs of a layer, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from threegen.errors import ConfigError
from threegen.functional.spiking.neurons import LIFParameters, lif
from threegen.gen2.stacked import Stack
from threegen.gen3.encoders import Bernoulli, Latency, Poisson
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.readouts import PotentialReadout, RateReadout


class StackedSpikingMLP(Stack):
    """A stack of `SpikingMLP`s of one shape, encoder and read-out; the neurons' constants may differ.

    Raises `ConfigError` for nets with parts that are not the library's own or that have more state.
    """

    stream = "rule"  # the generator that `fit` hands to the model: it draws the spikes

    def __init__(self, template: nn.Module, n: int) -> None:
        own: Any = template
        plain = (
            own.gradient == "space-time"
            and type(own.encoder) in (Bernoulli, Poisson, Latency)
            and type(own.readout) in (RateReadout, PotentialReadout)
            and all(type(neuron) in (LIF, IF) and neuron.iterative and neuron.uniform for neuron in own.neurons)
            and all(type(synapse) is nn.Linear for synapse in own.synapses)
        )
        if not plain:
            raise ConfigError("only spiking nets of plain layers, neurons and read-outs can be stacked")
        super().__init__(template, n)
        self.net: Any = own
        self.constants: list[list[LIFParameters]] = [[] for _ in range(n)]

    def fits(self, model: nn.Module) -> bool:
        """Return whether the model has the same sizes, steps, encoder and read-out."""
        other: Any = model
        same = type(other) is type(self.net) and (other.sizes, other.steps) == (self.net.sizes, self.net.steps)
        return same and (repr(other.encoder), repr(other.readout)) == (repr(self.net.encoder), repr(self.net.readout))

    def put(self, place: int, model: nn.Module) -> None:
        """Copy a model's state and its neurons' constants to one slot."""
        StackedSpikingMLP(model, 0)  # raises for parts that cannot be stacked
        super().put(place, model)
        own: Any = model
        self.constants[place] = [neuron.constants for neuron in own.neurons]

    def keep(self, places: Sequence[int]) -> None:
        """Discard all networks but these."""
        super().keep(places)
        self.constants = [self.constants[place] for place in places]

    def scores(self, inputs: Tensor, generators: Sequence[torch.Generator], training: bool) -> Tensor:
        """Return scores `[n, B, K]` of inputs `[n, B, ...]` or, shared by all, `[1, B, ...]`."""
        net = self.net
        pixels = net.pixels(inputs.flatten(0, 1)).view(*inputs.shape[:2], -1).expand(self.n, -1, -1)
        drawn = [net.encoder(own, net.steps, generator) for own, generator in zip(pixels, generators, strict=True)]
        spikes = currents = torch.stack(drawn)  # [n, T, B, I]
        for layer in range(len(net.synapses)):
            weight = self.parameters[f"synapses.{layer}.weight"]
            bias = self.parameters[f"synapses.{layer}.bias"]
            rows = torch.baddbmm(bias.unsqueeze(1), spikes.flatten(1, 2), weight.transpose(1, 2))
            currents = rows.view(self.n, *spikes.shape[1:3], -1)
            spikes = torch.stack([lif(own, None, self.constants[i][layer])[0] for i, own in enumerate(currents)])
        net.readout.train(training)
        sums = spikes.sum(1).flatten(0, 1), currents.sum(1).flatten(0, 1)
        scores: Tensor = net.readout.from_sums(*sums, net.steps)
        return scores.view(self.n, inputs.shape[1], -1)
