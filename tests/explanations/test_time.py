"""Time is an axis: spiking and recurrent nets, and nets that are called step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.errors import ConfigError, ShapeError
from threegen.explanations.explain import explain
from threegen.gen3.encoders import Bernoulli
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.randomness import make_generator


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class StepByStep(nn.Module):
    """A convolution called once a time step, as most spiking code does it; the membrane leaks by half."""

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.steps = nn.Conv2d(1, 3, 5, stride=2), nn.Linear(3 * 144, 4), steps

    def forward(self, x: Tensor) -> Tensor:
        potential, total = torch.zeros(()), torch.zeros(())
        for t in range(self.steps):
            potential = 0.5 * potential + self.conv(x * (t + 1) / self.steps)
            total = total + self.head(torch.relu(potential).flatten(1))
        return total


class SpikingConv(nn.Module):
    """Frames [B, T, 2, H, W] through one spiking convolution, time folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.lif, self.head = nn.Conv2d(2, 4, 3), LIF(threshold=0.3), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.movedim(1, 0)
        currents = self.conv(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        spikes, _ = self.lif(currents)
        return self.head(spikes.flatten(2)).mean(0)


def test_saliency_of_encoded_spikes_by_hand() -> None:
    net = SpikingMLP([16, 12, 4], steps=5, surrogate="arctan", generator=generator()).eval()
    x = torch.rand(1, 1, 4, 4, generator=generator(1))
    found = explain(net, seed=3).saliency(x, 2, per_step=True)
    assert found.shape == (1, 5, 1, 4, 4)
    # the same spikes, drawn as explain draws them, as a leaf of their own
    spikes = net.encode(x, make_generator(3, "explain")).detach().requires_grad_()
    currents = net.synapses[0](spikes)
    currents = net.synapses[1](net.neurons[0](currents)[0])
    (slope,) = torch.autograd.grad(net.neurons[1](currents)[0].mean(0)[0, 2], spikes)
    assert float(slope.abs().max()) > 0
    torch.testing.assert_close(found.flatten(2)[0], slope[:, 0])
    summed = explain(net, seed=3).saliency(x, 2)
    torch.testing.assert_close(summed.as_subclass(Tensor), found.sum(1))


def test_stochastic_nets_give_a_batch_what_its_samples_get_alone() -> None:
    net = SpikingMLP([16, 12, 4], steps=5, surrogate="arctan", generator=generator())
    x = torch.rand(3, 1, 4, 4, generator=generator(1))
    look = explain(net)
    together = look.saliency(x, [0, 1, 2])
    for number in range(3):
        assert torch.equal(together[number], look.saliency(x[number : number + 1], number)[0])
    assert torch.equal(together, look.saliency(x, [0, 1, 2]))
    parts = look.integrated_gradients(x, [0, 1, 2], steps=5)
    assert torch.equal(parts[1:2], look.integrated_gradients(x[1:2], 1, steps=5))


def test_through_an_encoder_that_learns_the_map_is_of_the_image() -> None:
    class Learnt(Bernoulli):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(0.9))

        def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
            return super().forward(x * self.gain, steps, generator)

    net = SpikingMLP([16, 12, 4], steps=5, encoder=Learnt(), generator=generator())
    found = explain(net).saliency(torch.rand(2, 1, 4, 4, generator=generator(1)), 0)
    assert found.shape == (2, 1, 4, 4)
    with pytest.raises(ShapeError, match="no time axis"):
        explain(net).saliency(torch.rand(2, 1, 4, 4), 0, per_step=True)


def test_grad_cam_adds_up_all_time_steps_of_a_layer_called_step_by_step() -> None:
    """Captum gives the last step alone, pytorch-grad-cam the first; the definition is taken here by hand."""
    net, x = StepByStep().eval(), torch.rand(2, 1, 28, 28, generator=generator())
    look = explain(net)
    found = look.grad_cam(x, [0, 3], layer="conv", resize=False, relu=False, per_step=True)
    assert found.shape == (2, 4, 1, 12, 12)
    planes = [net.conv(x * (t + 1) / 4).detach().requires_grad_() for t in range(4)]
    potential, total = torch.zeros(()), torch.zeros(())
    for one in planes:
        potential = 0.5 * potential + one
        total = total + net.head(F.relu(potential).flatten(1))
    slopes = torch.autograd.grad(total[0, 0] + total[1, 3], planes)
    for t in range(4):
        wanted = (slopes[t].mean((2, 3), keepdim=True) * planes[t]).sum(1, keepdim=True)
        torch.testing.assert_close(found[:, t], wanted.detach())
    whole = look.grad_cam(x, [0, 3], layer="conv", resize=False)
    torch.testing.assert_close(whole.as_subclass(Tensor), found.sum(1).clamp(min=0))
    steps = [found[0, t, 0].flatten() for t in range(4)]
    for lonely in (steps[0], steps[-1]):  # what the peers give is another map
        assert float((lonely - found[0].sum(0).flatten()).abs().max()) > 1e-3
    assert next(row for row in look.summary(x).rows if row.name == "conv").steps == 4
    # by default the layer is the relu behind the leak, or here the convolution: all four calls of it, not the last
    both = [look.grad_cam(x, 1, layer=layer, resize=False) for layer in (None, "conv")]
    torch.testing.assert_close(both[0].as_subclass(Tensor), both[1].as_subclass(Tensor))
    relu = look.grad_cam(x, 1, layer="relu", per_step=True, resize=False)
    assert relu.shape == (2, 4, 1, 12, 12)


def test_grad_cam_and_saliency_of_frames() -> None:
    net, x = SpikingConv(), (torch.rand(2, 6, 2, 8, 8, generator=generator()) < 0.4).float()
    look = explain(net)
    maps = look.grad_cam(x, 1, per_step=True, resize=False, relu=False)
    assert maps.layer == "lif"
    assert maps.shape == (2, 6, 1, 6, 6)
    alone = look.grad_cam(x[1:], 1, per_step=True, resize=False, relu=False)
    torch.testing.assert_close(maps[1:], alone.as_subclass(Tensor))
    by_step = look.saliency(x, 1, per_step=True)
    assert by_step.shape == x.shape
    assert torch.equal(look.saliency(x, 1), by_step)  # a map is shaped like its input
    assert float(by_step.abs().max()) > 0


def test_recurrent_nets_give_a_map_a_step() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    look, x = explain(Reader()), torch.rand(2, 5, 6, generator=generator())
    assert look.saliency(x, 0, per_step=True).shape == (2, 5, 6)
    assert torch.equal(look.saliency(x, 0), look.saliency(x, 0, per_step=True))


def test_spike_activation_maps_by_hand() -> None:
    class Replay(nn.Module):
        """Neurons without leak and threshold 1 repeat the spikes they get."""

        def __init__(self) -> None:
            super().__init__()
            self.lif = LIF(decay=0.0, threshold=1.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(x.movedim(1, 0))[0].mean(0).flatten(1)

    x = torch.zeros(1, 3, 1, 1, 2)
    x[0, :, 0, 0, 0] = torch.tensor([1.0, 0.0, 1.0])
    x[0, :, 0, 0, 1] = torch.tensor([0.0, 1.0, 1.0])
    found = explain(Replay()).spike_activation_maps(x, gamma=1.0, per_step=True)
    decay = torch.exp(torch.tensor(-1.0))
    wanted = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1 + float(decay) ** 2, 1 + float(decay)]])
    torch.testing.assert_close(found[0, :, 0, 0], wanted)
    torch.testing.assert_close(explain(Replay()).spike_activation_maps(x, gamma=1.0)[0, 0, 0], wanted.sum(0))
    with pytest.raises(ConfigError, match="no spiking neurons"):
        explain(nn.Flatten()).spike_activation_maps(x)
