"""Losses of the activity inside a spiking net: spike counts, membrane potentials and first-spike times.

They take the record of `net.run` and the targets. o[t] are the spikes and u[t] the potentials (before the reset) of
the last layer; if there are several neurons per class, c, u and t are means over them. All are means over the batch.

    spike_count_mse             E = 1/K sum_k ((c_k - n_k) / T)^2               c = sum_t o[t]
    spike_count_cross_entropy   E = -log softmax(c)_y
    membrane_cross_entropy      E = -1/T sum_t log softmax(u[t])_y
    max_membrane_cross_entropy  E = -log softmax(max_t u[t])_y
    membrane_mse                E = 1/(K T) sum_t sum_k (u_k[t] - m_k)^2
    first_spike_cross_entropy   E = -log softmax(-t / scale)_y                  t = silent steps before the first spike
    first_spike_mse             E = 1/K sum_k ((t_k - d_k) / T)^2

Shapes: T time steps, B examples, K classes, N = K * votes neurons of the last layer, those of one class adjacent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from threegen.checks import require_choice, require_number
from threegen.errors import ConfigError
from threegen.functional.spiking.first_spikes import first_spike_times
from threegen.rules.losses import cross_entropy
from threegen.rules.targets import one_hot_targets

RECORD = "record"


class SpikingRecord(Protocol):
    """The result of a spiking net's `run`: spikes and potentials [T, B, ...] of each layer, and the scores [B, K]."""

    spikes: list[Tensor]
    potentials: list[Tensor]
    scores: Tensor


RecordLoss = Callable[[SpikingRecord, Tensor], Tensor]


def _by_class(record: SpikingRecord, values: Tensor) -> Tensor:
    """Return the mean [..., K] over the neurons [..., N] of each class."""
    classes, neurons = record.scores.shape[-1], values.shape[-1]
    if neurons == classes:
        return values
    if neurons % classes:
        raise ConfigError(
            f"the last layer has {neurons} neurons for {classes} scores: a loss of its spikes or potentials needs the "
            f"same number of neurons for each class"
        )
    return values.reshape(*values.shape[:-1], classes, neurons // classes).mean(-1)


def _require_shares(correct: float, incorrect: float) -> None:
    require_number("correct", correct, least=0.0, most=1.0)
    require_number("incorrect", incorrect, least=0.0, most=1.0)


@dataclass(frozen=True)
class SpikeCountMSE:
    """The squared distance of the spike counts from their targets, in shares of T: "spike_count_mse".

    The target is a spike in a share `correct` of the steps for neurons of the right class, in a share `incorrect` for
    the others; floating targets [B, K] are target counts themselves. Raises `ConfigError` for shares outside 0..1.

    Source: target counts as in Shrestha and Orchard, "SLAYER: spike layer error reassignment in time", NeurIPS 2018;
    with 1 and 0 it is 2/K of the loss of Wu et al., Frontiers in Neuroscience 12:331 (2018).
    """

    correct: float = 1.0
    incorrect: float = 0.0
    of: ClassVar[str] = RECORD

    def __post_init__(self) -> None:
        _require_shares(self.correct, self.incorrect)

    def __call__(self, record: SpikingRecord, targets: Tensor) -> Tensor:
        """Return the loss, a 0-d tensor."""
        steps = len(record.spikes[-1])
        counts = _by_class(record, record.spikes[-1].sum(0))
        wanted = one_hot_targets(counts, targets, self.incorrect * steps, self.correct * steps)
        return ((counts - wanted) / steps).square().mean()


@dataclass(frozen=True)
class SpikeCountCrossEntropy:
    """The cross-entropy of the spike counts: "spike_count_cross_entropy".

    Source: Eshraghian et al., "Training spiking neural networks using lessons from deep learning", Proceedings of the
    IEEE 111 (2023), its cross-entropy of spike counts.
    """

    of: ClassVar[str] = RECORD

    def __call__(self, record: SpikingRecord, targets: Tensor) -> Tensor:
        """Return the loss, a 0-d tensor."""
        return cross_entropy(_by_class(record, record.spikes[-1].sum(0)), targets)


@dataclass(frozen=True)
class MembraneCrossEntropy:
    """The cross-entropy of the potentials: "membrane_cross_entropy", with `over="max"` "max_membrane_cross_entropy".

    `over` is "steps", the mean of the cross-entropies of all time steps (Deng, Li, Zhang and Gu, "Temporal efficient
    training of spiking neural network via gradient re-weighting", ICLR 2022), "max", that of the largest potentials
    (Cramer, Stradmann, Schemmel and Zenke, "The Heidelberg spiking data sets for the systematic evaluation of spiking
    neural networks", IEEE Transactions on Neural Networks and Learning Systems 33, 2022), or "last", that of the last
    step. A reset lowers the potential of a neuron that fires: in the last layer a high threshold avoids it. Raises
    `ConfigError`.
    """

    over: str = "steps"
    of: ClassVar[str] = RECORD

    def __post_init__(self) -> None:
        require_choice("over", self.over, ("steps", "max", "last"))

    def __call__(self, record: SpikingRecord, targets: Tensor) -> Tensor:
        """Return the loss, a 0-d tensor."""
        potentials = _by_class(record, record.potentials[-1])
        if self.over == "steps":
            every = targets.expand(len(potentials), *targets.shape).flatten(0, 1)
            return cross_entropy(potentials.flatten(0, 1), every)
        return cross_entropy(potentials[-1] if self.over == "last" else potentials.amax(0), targets)


@dataclass(frozen=True)
class MembraneMSE:
    """The squared distance of the potentials from their targets, at every step: "membrane_mse".

    `correct` is the target potential for neurons of the right class, `incorrect` for the others; floating targets [B,
    K] are target potentials themselves. Raises `ConfigError`.

    Source: Eshraghian et al., Proceedings of the IEEE 111 (2023), its mean squared error of membrane potentials.
    """

    correct: float = 1.0
    incorrect: float = 0.0
    of: ClassVar[str] = RECORD

    def __post_init__(self) -> None:
        require_number("correct", self.correct)
        require_number("incorrect", self.incorrect)

    def __call__(self, record: SpikingRecord, targets: Tensor) -> Tensor:
        """Return the loss, a 0-d tensor."""
        potentials = _by_class(record, record.potentials[-1])
        return (potentials - one_hot_targets(potentials[0], targets, self.incorrect, self.correct)).square().mean()


@dataclass(frozen=True)
class FirstSpikeCrossEntropy:
    """The cross-entropy of minus the first-spike times, the earlier the better: "first_spike_cross_entropy".

    `scale`, in steps, divides the times. The gradient of a time is the effect of a spike at a step
    (`first_spike_times`), times the surrogate. Use it with `readout="first-spike"`. Raises `ConfigError`.

    Source: Mostafa, "Supervised learning based on temporal coding in spiking neural networks", IEEE Transactions on
    Neural Networks and Learning Systems 29 (2018), whose times are those of neurons without leak, transformed by exp.
    """

    scale: float = 1.0
    of: ClassVar[str] = RECORD

    def __post_init__(self) -> None:
        require_number("scale", self.scale, above=0.0)

    def __call__(self, record: SpikingRecord, targets: Tensor) -> Tensor:
        """Return the loss, a 0-d tensor."""
        return cross_entropy(_by_class(record, first_spike_times(record.spikes[-1])) / -self.scale, targets)


@dataclass(frozen=True)
class FirstSpikeMSE:
    """The squared distance of the first-spike times from their targets, in shares of T: "first_spike_mse".

    The target of the first spike is after a share `correct` of the steps for neurons of the right class, after a share
    `incorrect` for the others; floating targets [B, K] are target times in steps. Raises `ConfigError` for shares
    outside 0..1.

    Source: Bohte, Kok and La Poutré, "Error-backpropagation in temporally encoded networks of spiking neurons",
    Neurocomputing 48 (2002), equation 4, divided by K/2 and T^2.
    """

    correct: float = 0.0
    incorrect: float = 1.0
    of: ClassVar[str] = RECORD

    def __post_init__(self) -> None:
        _require_shares(self.correct, self.incorrect)

    def __call__(self, record: SpikingRecord, targets: Tensor) -> Tensor:
        """Return the loss, a 0-d tensor."""
        steps = len(record.spikes[-1])
        times = _by_class(record, first_spike_times(record.spikes[-1]))
        wanted = one_hot_targets(times, targets, self.incorrect * steps, self.correct * steps)
        return ((times - wanted) / steps).square().mean()


RECORD_LOSSES: Mapping[str, RecordLoss] = {
    "spike_count_mse": SpikeCountMSE(),
    "spike_count_cross_entropy": SpikeCountCrossEntropy(),
    "membrane_cross_entropy": MembraneCrossEntropy(),
    "max_membrane_cross_entropy": MembraneCrossEntropy("max"),
    "membrane_mse": MembraneMSE(),
    "first_spike_cross_entropy": FirstSpikeCrossEntropy(),
    "first_spike_mse": FirstSpikeMSE(),
}
