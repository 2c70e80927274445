"""Spiking nets with each of their options keep the contract of models."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.testing import check_model

IMAGES = torch.rand(4, 1, 10, 10, generator=torch.Generator().manual_seed(0))

MLPS: dict[str, dict[str, Any]] = {
    "integrate-and-fire": {"neuron": "if"},
    "learnt decay from tau": {"tau": 2.0, "learnable_decay": True},
    "refractory, adaptive": {"refractory": 1, "adaptation": 0.1},
    "general neuron": {"rest": 0.05, "reset_to": -0.1, "kernel": [1.0, 0.5], "reset": "soft"},
    "recurrent": {"recurrent": True, "surrogate": "superspike"},
    "leaky read-out, learnt decay": {"readout": "leaky", "learnable_decay": True},
    "votes": {"votes": 3},
    "direct coding": {"encoder": "direct"},
    "space only": {"gradient": "space", "init": "fluctuation"},
}
CONVS: dict[str, tuple[str, dict[str, Any]]] = {
    "tdBN": ("3C3-BN-P2-8-BN-4", {"surrogate": "triangular"}),
    "NeuNorm": ("3C3-NN-P2-8-4", {"encoder": "direct"}),
    "residual": ("3C3-R3C3-P2-8-4", {}),
    "residual, wider, tdBN": ("3C3-BN-R5C3-BN-P2-8-4V2", {"surrogate": "arctan", "encoder": "direct"}),
    "residual, added spikes": ("3C3-R3C3-P2-8-4", {"shortcut": "spikes", "learnable_decay": True}),
    "recurrent behind convolutions": ("3C3-P2-8-4", {"recurrent": True}),
    "space only": ("3C3-P2-R5C3-8-4", {"gradient": "space"}),
}


@pytest.mark.parametrize("name", MLPS)
def test_mlps_keep_the_contract(name: str) -> None:
    def make(generator: torch.Generator) -> SpikingMLP:
        return SpikingMLP([100, 12, 4], steps=4, generator=generator, **MLPS[name])

    assert len(check_model(make, IMAGES, classes=4)) == 15


@pytest.mark.parametrize("name", CONVS)
def test_convolutional_nets_keep_the_contract(name: str) -> None:
    layers, options = CONVS[name]

    def make(generator: torch.Generator) -> SpikingConvNet:
        return SpikingConvNet(layers, shape=(1, 10, 10), steps=4, generator=generator, **options)

    assert len(check_model(make, IMAGES, classes=4)) == 15
