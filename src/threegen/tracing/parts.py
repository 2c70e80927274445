"""What a module is to the walker: neurons, an encoder, a read-out, or a layer that is seen as a whole."""

from __future__ import annotations

from torch import nn

from threegen.gen3.encoders import Encoder
from threegen.gen3.neurons import LIF


def is_neuron(module: nn.Module) -> bool:
    """Return whether a module is a layer of spiking neurons: (input [T, B, ...], state) to (spikes, state)."""
    return isinstance(module, LIF)


def is_encoder(module: nn.Module) -> bool:
    """Return whether a module turns values [B, ...] into spikes [T, B, ...]."""
    return isinstance(module, Encoder)


def is_whole(module: nn.Module) -> bool:
    """Return whether the walker sees a module as a whole, never its inside."""
    return is_neuron(module) or is_encoder(module)
