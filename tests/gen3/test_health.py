"""Silent and saturated layers are named, healthy nets are not."""

import torch

from threegen.gen3.health import unhealthy_layers
from threegen.gen3.networks import SpikingMLP


def test_silent_and_saturated_layers_are_named() -> None:
    net = SpikingMLP([16, 20, 20, 4], steps=4, generator=torch.Generator().manual_seed(0))
    x = torch.full((8, 16), 0.5)
    with torch.no_grad():
        net.synapses[0].bias.fill_(9)  # type: ignore[operator,union-attr]
        net.synapses[1].bias.fill_(-99)  # type: ignore[operator,union-attr]
        net.synapses[2].bias.fill_(0.4)  # type: ignore[operator,union-attr]
    first, second = unhealthy_layers(net, x)
    assert "layer 1 of 3 is saturated (100%" in first
    assert "layer 2 of 3 is silent (0.00%" in second


def test_a_fresh_net_is_healthy() -> None:
    net = SpikingMLP([100, 50, 10], steps=6, threshold=0.3, generator=torch.Generator().manual_seed(0))
    x = torch.rand(16, 100, generator=torch.Generator().manual_seed(1))
    assert unhealthy_layers(net, x, torch.Generator().manual_seed(2)) == []
