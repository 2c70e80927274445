"""Two spikes at one synapse: the effect of a rule, measured by running it in the common loop.

A second input, the teacher, makes the neuron fire: its weight alone reaches the threshold. The synapse under test is
too weak for that. Times are whole steps of 1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from threegen.datasets.dataset import Dataset
from threegen.gen3.ordered_conv import DecisionConv, OrderedConv
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.rule import Rule
from threegen.training.fit import fit

THRESHOLD = 0.9  # above any weight under test, below the teacher's of 1


def weight_change(
    rule: Rule, inputs: Sequence[int], neuron: Sequence[int], *, weight: float = 0.5, steps: int = 0, label: int = 0
) -> float:
    """Return the change of the synapse's `weight` (below .9) when its input spikes at the times `inputs`.

    The neuron spikes at the times `neuron`; `steps` may extend the stimulus beyond the last spike; `label` is for
    critics.
    """
    length = max([*inputs, *neuron, steps - 1]) + 1
    train = torch.zeros(1, length, 2, dtype=torch.float64)
    train[0, list(inputs), 0] = 1
    train[0, list(neuron), 1] = 1
    layer = PlasticLayer(2, 1, tau=0.01, threshold=THRESHOLD, w_start=1.0).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[weight, 1.0]]))
    before = layer.weight[0, 0].item()
    fit(layer, rule, Dataset(train, torch.tensor([label])), epochs=1, batch_size=1, seed=0, progress=False)
    return layer.weight[0, 0].item() - before


def order_change_of(rule: Rule, input_time: int, neuron_time: int, *, weight: float = 0.5, label: int = 0) -> float:
    """Return the change of one of four synapses of a convolutional neuron, in order-based learning.

    Its input spikes at `input_time`, the teacher's and so the neuron at `neuron_time`, the other two never. The neuron
    has class 0, a second one that never fires has class 1; `label` is the rewarded class.
    """
    never = max(input_time, neuron_time) + 2
    times = torch.full((1, 1, 2, 2), float(never), dtype=torch.float64)
    times[0, 0, 0, 0], times[0, 0, 1, 1] = input_time, neuron_time
    layer: OrderedConv = DecisionConv(1, 2, 2, classes=2, steps=never, threshold=THRESHOLD, bounds=(0.0, 1.0)).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0] = torch.tensor([[weight, 0.0], [0.0, 1.0]])
    fit(layer, rule, Dataset(times, torch.tensor([label])), epochs=1, batch_size=1, seed=0, progress=False)
    return layer.weight[0, 0, 0, 0].item() - weight
