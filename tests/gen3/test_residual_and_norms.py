"""Residual blocks, tdBN and NeuNorm: the strings, the equations, the identity of an empty block, states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import LIFParameters, lif_loop
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.layer_strings import LayerPlan, parse_layers
from threegen.gen3.normalisation import NeuNorm, ThresholdBatchNorm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net_of(layers: str, **options: Any) -> SpikingConvNet:
    return SpikingConvNet(layers, shape=(2, 8, 8), steps=4, generator=generator(), **options)


def pictures(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 2, 8, 8, generator=generator(5))


def test_the_strings() -> None:
    assert parse_layers("4C3S-BN-AP2-R6C3-BN-NN-P2-20FC-BN-10V5") == [
        LayerPlan(4, 3, 1, 2, batch_norm=True),
        LayerPlan(6, 3, 1, 1, batch_norm=True, block=1),
        LayerPlan(6, 3, 1, 2, batch_norm=True, neu_norm=True, block=2),
        LayerPlan(20, batch_norm=True),
        LayerPlan(10, votes=5),
    ]


@pytest.mark.parametrize(
    "text",
    ["BN-10", "4C3-P2-BN-10", "4C3-BN-BN-10", "4C3-10-NN", "R4C2-10", "4C3-10V2-10", "4C3-R10", "4C3-NN-BN-10", "V2"],
)
def test_strings_that_are_no_net_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="layers must be a text"):
        parse_layers(text)


PUBLISHED = {
    # Wu et al. 2018: 15*25+15 + 40*15*25+40 + 640*300+300 + 300*10+10
    "15C5-P2-40C5-P2-300-10": ((1, 28, 28), 210_740),
    # Deng et al. 2020 with padding that keeps the size: 28 -> 14 -> 7 places
    "32C3S-AP2-32C3S-AP2-128-10": ((1, 28, 28), 32 * 9 + 32 + 32 * 32 * 9 + 32 + 1568 * 128 + 128 + 128 * 10 + 10),
    # CIFAR-10, Deng et al. 2020: 32 -> 16 -> 8 places
    "64C3S-AP2-128C3S-128C3S-AP2-256-10": (
        (3, 32, 32),
        64 * 27 + 64 + 128 * 576 + 128 + 128 * 1152 + 128 + 8192 * 256 + 256 + 2560 + 10,
    ),
    # N-MNIST, Wu et al. 2019, 10 voters a class: 34 -> 17 -> 8 places
    "128C3S-128C3S-AP2-384C3S-384C3S-AP2-1024FC-512FC-10V10": (
        (2, 34, 34),
        (128 * 18 + 128)
        + (128 * 1152 + 128)
        + (384 * 1152 + 384)
        + (384 * 3456 + 384)
        + (24_576 * 1024 + 1024)
        + (1024 * 512 + 512)
        + (51_200 + 100),
    ),
}


@pytest.mark.parametrize("text", PUBLISHED)
def test_the_published_nets_have_their_sizes(text: str) -> None:
    shape, size = PUBLISHED[text]
    net = SpikingConvNet(text, shape=shape, steps=1)
    assert sum(one.numel() for one in net.parameters()) == size
    if size < 1_000_000:
        assert net(torch.rand(1, *shape), generator()).shape == (1, 10)


# -- residual blocks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shortcut", ["current", "spikes"])
def test_a_block_of_zero_weights_hands_on_what_it_gets(shortcut: str) -> None:
    net = net_of("3C3-R3C3-8-4", shortcut=shortcut)
    with torch.no_grad():
        for layer in net.synapses[1:3]:
            layer.weight.zero_()
    record = net.run(pictures(), generator=generator(1))
    signals: list[torch.Tensor] = []
    handle = net.synapses[3].register_forward_pre_hook(lambda _, given: signals.append(given[0]))
    net(pictures(), generator(1))
    handle.remove()
    assert 0 < float(record.spikes[0].detach().mean()) < 1
    assert torch.equal(signals[0], record.spikes[0].flatten(2))


@pytest.mark.parametrize("shortcut", ["current", "spikes"])
@pytest.mark.parametrize("layers", ["3C3-R3C3-P2-8-4", "3C3-P2-R5C3-8-4"])
def test_residual_nets_are_the_equation_written_out(shortcut: str, layers: str) -> None:
    wider = "R5" in layers
    if wider and shortcut == "spikes":
        with pytest.raises(ConfigError, match="turns 3 channels into 5"):
            net_of(layers, shortcut=shortcut)
        return
    net = net_of(layers, shortcut=shortcut).train()
    x = pictures()
    spikes = net.encoder(x, 4, generator(1))

    def fire(currents: list[torch.Tensor]) -> torch.Tensor:
        return lif_loop(torch.stack(currents), None, LIFParameters())[0]

    entering = fire([net.synapses[0](one) for one in spikes])
    if wider:
        entering = torch.stack([F.avg_pool2d(one, 2) for one in entering])
    middle = fire([net.synapses[1](one) for one in entering])
    inner = [net.synapses[2](one) for one in middle]
    if shortcut == "current":
        way = net.shortcuts["2"] if wider else (lambda one: 0.5 * one)
        out = fire([one + way(two) for one, two in zip(inner, entering, strict=True)])
    else:
        out = fire(inner) + entering
    if not wider:
        out = torch.stack([F.avg_pool2d(one, 2) for one in out])
    hidden = fire([net.synapses[3](one.flatten(1)) for one in out])
    last = fire([net.synapses[4](one) for one in hidden])
    torch.testing.assert_close(net(x, generator(1)), last.mean(0))
    last.mean(0).square().sum().backward()
    expected = [one.grad.clone() for one in net.parameters() if one.grad is not None]
    net.zero_grad()
    net(x, generator(1)).square().sum().backward()
    for parameter, oracle in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, oracle, rtol=1e-4, atol=1e-6)
    net.backend = "fused"
    with pytest.raises(ConfigError, match="residual blocks have no kernel"):
        net(x)


def rates(layers: str) -> list[float]:
    with torch.no_grad():
        record = net_of(layers).run(0.4 * pictures(8), generator=generator(1))
    return [float(spikes.mean()) for spikes in record.spikes]


def test_shortcuts_keep_a_deep_net_alive_and_tdbn_keeps_every_layer_at_one_rate() -> None:
    """Eleven layers: a plain stack dies out, the shortcuts carry a signal through, tdBN holds it at the first rate."""
    plain = rates("8C3S-8C3S-8C3S-8C3S-8C3S-16C3S-16C3S-P2-16C3S-16C3S-P2-20-4")
    residual = rates("8C3S-R8C3-R8C3-R16C3-P2-R16C3-P2-20-4")
    normalised = rates("8C3S-BN-R8C3-BN-R8C3-BN-R16C3-BN-P2-R16C3-BN-P2-20-4")
    assert plain[8] < 0.001
    assert all(rate > 0.01 for rate in residual[:9]), residual  # behind them are the full layers
    assert all(0.1 < rate < 0.3 for rate in normalised), normalised


# -- tdBN --------------------------------------------------------------------------------------------------------------


def test_tdbn_gives_the_summed_input_the_spread_of_the_threshold_over_time_and_batch() -> None:
    layer = ThresholdBatchNorm(3, threshold=0.4, alpha=0.5)
    x = 5 + 3 * torch.randn(4 * 6, 3, 5, 5, generator=generator())
    y = layer(x)
    mean, deviation = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0).add(1e-5).sqrt()
    torch.testing.assert_close(y, 0.2 * (x - mean) / deviation)
    assert float(y.detach().std()) == pytest.approx(0.2, rel=1e-3)
    for _ in range(200):
        layer(x)
    torch.testing.assert_close(layer.eval()(x), y, rtol=1e-2, atol=1e-2)
    with pytest.raises(ShapeError, match="tdBN of 3 channels expects"):
        layer(torch.zeros(2, 4, 5, 5))


def test_tdbn_in_a_net_normalises_over_all_steps_at_once() -> None:
    net = net_of("3C3-BN-P2-8-BN-4").train()
    first = net.synapses[0]
    assert isinstance(first, nn.Sequential)
    assert first[0].bias is None
    spikes = net.encoder(pictures(), 4, generator(1))
    inputs = first[0](spikes.flatten(0, 1))
    seen: list[torch.Tensor] = []
    handle = net.neurons[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(pictures(), generator(1))
    handle.remove()
    expected = 0.5 * (inputs - inputs.mean((0, 2, 3), keepdim=True)) / inputs.std((0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(seen[0].flatten(0, 1), expected, rtol=1e-3, atol=1e-3)
    # of the 8 inputs of the block's first layer and its shortcut, 1/sqrt(2) each where two branches meet
    net = net_of("3C3-BN-R5C3-BN-4")
    assert net.synapses[2][1].target == pytest.approx(0.5 * 0.5**0.5)  # type: ignore[index,union-attr]
    assert net.shortcuts["2"][1].target == pytest.approx(0.5 * 0.5**0.5)  # type: ignore[index,union-attr]
    assert net_of("3C3-BN-R3C3-BN-4", shortcut="spikes").synapses[2][1].target == 0.5  # type: ignore[index,union-attr]


# -- NeuNorm -----------------------------------------------------------------------------------------------------------


def test_neunorm_follows_its_equation() -> None:
    layer = NeuNorm(3, decay=0.75)
    spikes = (torch.rand(5, 2, 3, 4, 4, generator=generator()) < 0.4).float()
    out, _ = layer(spikes)
    assert torch.equal(out, spikes)  # U starts at zero
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, -1.0, 2.0]).view(3, 1, 1))
    out, last = layer(spikes)
    level = torch.zeros(2, 1, 4, 4)
    for t in range(5):
        level = 0.75 * level + 0.25 * spikes[t].sum(1, keepdim=True) / 3
        for channel, weight in enumerate((0.5, -1.0, 2.0)):
            torch.testing.assert_close(out[t, :, channel], (spikes[t, :, channel] - weight * level[:, 0]).detach())
    torch.testing.assert_close(last, level)
    first, state = layer(spikes[:2])
    torch.testing.assert_close(torch.cat([first, layer(spikes[2:], state)[0]]), out)
    with pytest.raises(ShapeError, match="NeuNorm of 3 channels"):
        layer(spikes[:, :, :2])
    with pytest.raises(ShapeError, match="state=None"):
        layer(spikes, state[:1])


def test_neunorm_in_a_net_learns_and_its_state_is_handed_on() -> None:
    net = net_of("3C3-NN-P2-8-4", encoder="direct")
    net(pictures()).square().sum().backward()
    weight = net.norms["0"].weight
    assert isinstance(weight, nn.Parameter)
    assert weight.grad is not None
    assert float(weight.grad.abs().sum()) > 0
    with torch.no_grad():
        weight.fill_(0.7)
    whole = net_of("3C3-NN-P2-8-4", encoder="direct")
    whole.load_state_dict(net.state_dict())
    whole.steps = 8
    together = whole.run(pictures())
    first = net.run(pictures())
    second = net.run(pictures(), first.state)
    for one, two, all_ in zip(first.spikes, second.spikes, together.spikes, strict=True):
        assert torch.equal(torch.cat([one, two]), all_)
