"""Spiking nets on frames [B, T, 2, H, W] of events: no encoder, the fast way agrees with the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from threegen.errors import ShapeError
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.neurons import LIF
from threegen.gen3.sequential import SpikingSequential


def frames(batch: int = 3, steps: int = 7, side: int = 10) -> torch.Tensor:
    return (torch.rand(batch, steps, 2, side, side, generator=torch.Generator().manual_seed(1)) < 0.1).float()


def nets() -> dict[str, SpikingNet]:
    generator = torch.Generator().manual_seed(0)
    return {
        "mlp": SpikingMLP([200, 30, 4], steps=5, generator=generator),
        "conv": SpikingConvNet("6C3-AP2-20-4", shape=(2, 10, 10), steps=5, generator=generator),
        "sequential": SpikingSequential(
            [nn.Conv2d(2, 6, 3), LIF(), nn.Flatten(), nn.Linear(6 * 64, 4), LIF()], shape=(2, 10, 10), steps=5
        ),
    }


@pytest.mark.parametrize("name", ["mlp", "conv", "sequential"])
def test_frames_are_the_input_of_the_time_steps(name: str) -> None:
    """The record's inputs are the frames; the fused scores and gradients are the plain ones; T is theirs, not 5."""
    net, x = nets()[name], frames()
    net.eval()
    record = net.run(x)
    assert len(record.inputs) == 7
    assert torch.equal(record.inputs.reshape(7, 3, -1), x.transpose(0, 1).reshape(7, 3, -1))
    net.train()
    scores, gradients = {}, {}
    for backend in ("plain", "auto"):
        net.backend = backend
        net.zero_grad()
        out = net(x)
        (out * torch.arange(4.0)).sum().backward()
        scores[backend] = out.detach()
        gradients[backend] = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    assert torch.equal(scores["plain"], scores["auto"])
    for one, other in zip(gradients["plain"], gradients["auto"], strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert float(sum(g.abs().sum() for g in gradients["plain"])) > 0


def test_counts_take_the_plain_way() -> None:
    net = nets()["mlp"]
    assert net._obstacle(frames()) is None
    assert "counts" in str(net._obstacle(3 * frames()))
    assert torch.equal(net(3 * frames()), net._through_layers(net.encode(3 * frames())))


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match="SpikingMLP expects"):
        nets()["mlp"](frames(side=9))
