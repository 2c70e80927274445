"""The nets of `spiking_training.py` in SpikingJelly, multi-step mode: every layer runs over all time steps at once."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn
from torch_spiking_net import synapses, training
from worker import serve


def neurons() -> nn.Module:
    """Return a layer of neurons."""
    return neuron.LIFNode(
        tau=2.0,
        decay_input=False,
        v_threshold=0.5,
        v_reset=0.0,
        surrogate_function=surrogate.Rect(alpha=1.0),
        detach_reset=True,
        step_mode="m",
    )


net = nn.Sequential(*(one for part in synapses() for one in (layer.SeqToANNContainer(part), neurons())))


def rates(spikes: Tensor) -> Tensor:
    """Return the rates [B, 10]."""
    functional.reset_net(net)
    return net(spikes).mean(0)


serve(training(net, rates), ("spikingjelly", "torch"))
