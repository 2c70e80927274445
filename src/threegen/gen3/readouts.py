"""Read-outs of spiking nets: from the spikes and the summed input of the last layer to one score per class.

    rate        s = 1/T sum_t o[t]                  ties go to the higher potential
    potential   s = sum_t I[t]
    first-spike s = -(silent steps before the first spike)         ties go to the higher potential
    leaky       s = u[T],  u[t] = decay * u[t-1] + I[t]        the potential of leaky neurons that never fire
    votes       s_k = mean of the scores above over the `votes` neurons of class k: the voting layer of Wu et al.,
                "Direct training for spiking neural networks: faster, larger, better", AAAI 2019

Shapes: T time steps, B examples, K classes, N = K * votes neurons of the last layer, those of one class adjacent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number, require_whole
from threegen.errors import ConfigError
from threegen.functional.spiking.first_spikes import first_spike_times
from threegen.gen3.parts import Cost, Use, nonzero


class Readout(nn.Module):
    """The base of all read-outs: `votes` neurons vote for each class."""

    part = "read-out"
    reads_spikes = False  # whether the spikes of the last layer are used, not only its input

    def __init__(self, votes: int = 1) -> None:
        super().__init__()
        self.votes = require_whole("votes", votes)

    def vote(self, values: Tensor) -> Tensor:
        """Return the mean [B, K] over the neurons [B, N] of each class."""
        return values if self.votes == 1 else values.reshape(len(values), -1, self.votes).mean(-1)

    def _rank(self, summed: Tensor) -> Tensor:
        """Return the order of the classes by their summed current [B, N], as whole numbers from 0 [B, K]."""
        return self.vote(summed.detach()).argsort(-1).argsort(-1)

    def _cost(self, use: Use, fed_by: str, **operations: int) -> Cost:
        """Return the cost of a call: a sum of the currents, the mean over the votes, and the read-out's own
        operations."""
        currents, scores = use.inputs[1], use.output
        adds = currents.numel() + scores.numel() * (self.votes - 1)
        return Cost(self.part, {"add": adds, **operations}, scores, fed_by=fed_by)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return "" if self.votes == 1 else f"votes={self.votes}"


class RateReadout(Readout):
    """The paper's read-out: the mean spikes of each neuron of the last layer; ties go to the higher potential.

    Rates are multiples of 1/T, so ties are common. In eval mode up to a tenth of 1/T is therefore added by the rank of
    the summed input current, so that classes are ordered by (rate, potential). In training mode the scores are the
    rates themselves, so losses are those of the paper. The gradient of a score is that of the rate in both modes.
    """

    reads_spikes = True

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, N] of the last layer."""
        return self.from_sums(spikes.sum(0), currents.sum(0), len(spikes))

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: one addition per spike, and to break ties one a current and a comparison a class."""
        return self._cost(use, "spikes", ac=nonzero(use.inputs[0]), compare=use.output.numel())

    def from_sums(self, counts: Tensor, summed: Tensor, steps: int) -> Tensor:
        """Return scores [B, K] from spikes and input currents [B, N] summed over `steps` time steps."""
        rates = self.vote(counts / steps)
        if self.training:
            return rates
        rank = self._rank(summed)
        return rates + rank * (0.1 / (steps * self.votes * rank.shape[-1]))


class FirstSpikeReadout(Readout):
    """The neuron that fires first wins: the score is minus the number of silent steps before the first spike; ties as
    in `RateReadout`.

    The gradient is that of `first_spike_times`.
    """

    reads_spikes = True

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, N] of the last layer."""
        scores = self.vote(-first_spike_times(spikes))
        if self.training:
            return scores
        rank = self._rank(currents.sum(0))
        return scores + rank * (0.1 / (self.votes * rank.shape[-1]))

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: a comparison a neuron and step, and to break ties a current and one per class."""
        return self._cost(use, "spikes", compare=use.inputs[0].numel() + use.output.numel())


class PotentialReadout(Readout):
    """The summed input of the last layer: what its potential would be without leak and reset."""

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, N] of the last layer."""
        return self.from_sums(spikes, currents.sum(0), len(spikes))

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: one addition a current."""
        return self._cost(use, "values")

    def from_sums(self, counts: Tensor, summed: Tensor, steps: int) -> Tensor:
        """Return scores [B, K] from input currents [B, N] summed over `steps` time steps."""
        return self.vote(summed)


class LeakyReadout(Readout):
    """The potential, after the last step, of leaky integrators that replace the last layer's neurons.

    `decay` in 0..1 is that of the integrators (1: the "potential" read-out). Raises `ConfigError`.
    """

    def __init__(self, votes: int = 1, decay: float = 0.5) -> None:
        super().__init__(votes)
        self.decay = require_number("decay", decay, least=0.0, most=1.0)

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        """Return scores [B, K] from spikes and input currents [T, B, N] of the last layer."""
        ages = torch.arange(len(currents) - 1, -1, -1, dtype=currents.dtype, device=currents.device)
        return self.vote(torch.tensordot(self.decay**ages, currents, 1))

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: one addition and one multiplication a current."""
        return self._cost(use, "values", mul=use.inputs[1].numel())

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return ", ".join(one for one in (f"decay={self.decay}", super().extra_repr()) if one)


READOUTS: dict[str, type[Readout]] = {
    "rate": RateReadout,
    "first-spike": FirstSpikeReadout,
    "potential": PotentialReadout,
    "leaky": LeakyReadout,
}


def make_readout(readout: str | nn.Module, votes: int, decay: float) -> nn.Module:
    """Return the read-out: a module unchanged, or the read-out of a name. Raises `ConfigError`."""
    if isinstance(readout, nn.Module):
        if require_whole("votes", votes) != 1:
            raise ConfigError(f"votes= applies only to read-outs given by name, got votes={votes} and {readout!r}")
        return readout
    kind = READOUTS[require_choice("readout", readout, READOUTS)]
    return LeakyReadout(votes, decay) if kind is LeakyReadout else kind(votes)
