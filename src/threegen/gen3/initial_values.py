"""Initial values for spiking nets: weights with which no layer starts silent or saturated.

    input         std(sum_i w_i x_i) = gain * threshold                       var(w) = (gain * threshold)^2 / (n E[x^2])
    fluctuation   std(u) = threshold / xi,  u the potential without reset     var(w) = (threshold / xi)^2 / (n E[x^2] e)
                  e = sum_t r[t]^2, r the response of the potential to one spike: decay^t, after the kernel K

"fluctuation" is Rossbroich, Gygax and Zenke, "Fluctuation-driven initialization for spiking neural network training",
Neuromorphic Computing and Engineering 2 (2022), with a mean weight of 0, their xi = 1 and the leak in discrete steps:
it depends on the neuron's leak, "input" does not. It is for hidden layers. The last one, which is read out, keeps
"input": with xi = 1 there too, 784-200-10 learned much worse (75 instead of 93 % after two short epochs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from threegen.checks import require_choice, require_number

# The spike rate that the initial weights assume; the mean intensity of MNIST is 0.13.
EXPECTED_RATE = 0.15
INITS = ("input", "fluctuation")
XI = 1.0


def input_gain(init: str, gain: float, decay: float, kernel: Sequence[float], steps: int) -> float:
    """Return the initial fluctuation of the summed input, in thresholds: `gain`, or the result of `init="fluctuation"`.

    Raises `ConfigError` for another `init`.
    """
    if require_choice("init", init, INITS) == "input":
        return gain
    return 1 / (XI * math.sqrt(response_energy(decay, kernel, steps)))


def response_energy(decay: float, kernel: Sequence[float], steps: int) -> float:
    """Return the sum over `steps` steps of the squared potential after one spike of weight 1."""
    potential = total = 0.0
    for t in range(steps):
        potential = decay * potential + (kernel[t] if t < len(kernel) else 0.0)
        total += potential**2
    return require_number("energy of the kernel", total, above=0.0)


def fill_spiking(
    layer: nn.Linear | nn.Conv2d,
    gain: float,
    threshold: float,
    square: float,
    generator: torch.Generator | None,
) -> None:
    """Fill weights uniformly so that the summed input fluctuates by `gain` thresholds; biases become zero.

    `square` is the mean square of an input: the rate of single spikes, less for averaged ones.
    """
    inputs = layer.weight[0].numel()
    bound = gain * threshold * math.sqrt(3 / (inputs * square))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()


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
    fill_spiking(layer, gain, threshold, square, generator)
    return cast(nn.Linear, layer)
