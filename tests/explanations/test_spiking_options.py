"""Looking inside spiking nets with every option: all methods run and give finite maps of the right shape."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from threegen.explanations.explain import explain
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP

X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "normalised and residual": ("3C3-BN-R5C3-BN-NN-P2-8-4V2", {}),
    "direct coding, added spikes": ("3C3-R3C3-P2-8-4", {"shortcut": "spikes", "encoder": "direct"}),
    "general neurons": ("3C3-P2-8-4", {"refractory": 1, "adaptation": 0.1, "kernel": [1.0, 0.5], "recurrent": True}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_convolutional_nets_can_be_looked_into(name: str) -> None:
    layers, options = LAYERS[name]
    net = SpikingConvNet(
        layers, shape=(1, 8, 8), steps=4, generator=torch.Generator().manual_seed(0), surrogate="sigmoid", **options
    ).eval()
    look = explain(net)
    text = str(look.summary(X))
    assert "neurons.1" in text
    assert "not counted" not in text
    for maps in (look.saliency(X), look.occlusion(X), look.grad_cam(X), look.spike_activation_maps(X)):
        values = maps.as_subclass(torch.Tensor)
        assert len(values) == 2
        assert bool(values.isfinite().all())
    assert float(look.saliency(X).as_subclass(torch.Tensor).abs().sum()) > 0  # surrogates work in eval mode


def test_a_recurrent_net_with_a_leaky_read_out_can_be_looked_into() -> None:
    net = SpikingMLP(
        [64, 12, 4], steps=4, recurrent=True, readout="leaky", generator=torch.Generator().manual_seed(0)
    ).eval()
    look = explain(net)
    assert "neurons.0" in str(look.summary(X))
    assert bool(look.saliency(X).as_subclass(torch.Tensor).isfinite().all())
