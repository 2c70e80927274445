"""The spiking convolutional net: its string, its shapes, its two ways against each other. Grid weights sum exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from threegen.cost.count import count
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking import conv_blocks, time_blocks
from threegen.functional.spiking.event_convolution import (
    event_convolution,
    event_convolution_gradient,
    pool_counts,
    window_numbers,
)
from threegen.functional.spiking.neurons import LIFParameters, lif_loop
from threegen.functional.spiking.neurons_fused import KINDS, backward_loop, constants_of, pooled_backward_loop, rows
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.layer_strings import LayerPlan, parse_layers
from threegen.machine.threads import use_threads


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_a_grid(net: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter * 64).round() / 64)


def both_ways(net: SpikingConvNet, x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    found = []
    targets = torch.rand(len(x), net.plans[-1].outputs, generator=generator(8))
    for backend in ("fused", "plain"):
        net.backend = backend
        net.zero_grad()
        scores = net(x, generator(3))
        F.mse_loss(scores, targets).backward()
        found.append((scores.detach(), *(one.grad.clone() for one in net.parameters() if one.grad is not None)))
        assert len(found[-1]) == 1 + len(list(net.parameters()))
    return found


@settings(max_examples=40, deadline=None)
@given(
    layers=st.sampled_from(["3C3-4", "3C3S-P2-5C2-P2-6-4", "2C2-3C2-4", "2C3S-P3-4", "7-4", "1C1-P2-4"]),
    channels=st.sampled_from([1, 2]),
    batch=st.integers(1, 3),
    steps=st.integers(1, 5),
    block=st.integers(1, 5),
    reset=st.sampled_from(["hard", "soft"]),
    detach=st.booleans(),
    readout=st.sampled_from(["rate", "potential"]),
    crossover=st.sampled_from([0.0, 0.4, 1.0]),
    brightness=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
)
def test_fused_net_equals_the_plain_one(
    layers: str,
    channels: int,
    batch: int,
    steps: int,
    block: int,
    reset: str,
    detach: bool,
    readout: str,
    crossover: float,
    brightness: float,
    seed: int,
) -> None:
    shape = (channels, 7, 8)
    net = SpikingConvNet(
        layers,
        shape=shape,
        steps=steps,
        threshold=0.25,
        reset=reset,
        detach_reset=detach,
        readout=readout,
        generator=generator(seed),
    )
    on_a_grid(net)
    x = torch.rand(batch, *shape, generator=generator(seed + 1)) * brightness
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_blocks, "BLOCK_BYTES", 0 if block == 1 else 2 * block * batch * 168 * 4)
        patch.setattr(conv_blocks, "CROSSOVER", crossover)
        fused, plain = both_ways(net, x)
    torch.testing.assert_close(fused[0], plain[0], rtol=0, atol=1e-6)
    for ours, oracle in zip(fused[1:], plain[1:], strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("crossover", "dense"), [(0.0, {0, 2}), (1.0, {2})], ids=["dense", "event-driven"])
def test_one_core_and_two_agree(crossover: float, dense: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Our kernels give the same bits on any number of cores. torch's dense convolution, which the first layer takes
    for many spikes and the second always (it reads pooled counts), sums the gradient of its weight in an order that
    depends on the cores: there the gradients agree to 1e-6.
    """
    monkeypatch.setattr(conv_blocks, "CROSSOVER", crossover)
    net = SpikingConvNet("6C5-P2-8C3-P2-40-10", steps=4, generator=generator())
    x = torch.rand(12, 1, 28, 28, generator=generator(1))
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            found.append(both_ways(net, x)[0])
    (scores, *gradients), (again, *others) = found
    assert torch.equal(scores, again)
    for number, (one, two) in enumerate(zip(gradients, others, strict=True)):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6 if number in dense else 0)


def test_forward_is_the_equation_written_out() -> None:
    net = SpikingConvNet("3C3-P2-5-4", shape=(1, 8, 8), steps=4, generator=generator())
    x = torch.rand(2, 1, 8, 8, generator=generator(1))
    spikes = net.encoder(x, 4, generator(3))
    first, second, third = net.synapses
    currents = torch.stack([F.conv2d(one, first.weight, first.bias) for one in spikes])
    fired, _ = lif_loop(currents, None, LIFParameters())
    pooled = torch.stack([F.avg_pool2d(one, 2).flatten(1) for one in fired])
    for layer in (second, third):
        pooled, _ = lif_loop(pooled @ layer.weight.T + layer.bias, None, LIFParameters())
    for backend in ("plain", "fused"):
        net.backend = backend
        torch.testing.assert_close(net(x, generator(3)), pooled.mean(0))


def test_convolution_of_events_and_its_gradient_equal_the_dense_ones() -> None:
    spikes = (torch.rand(19, 9, 11, 3, generator=generator()) < 0.3).to(torch.uint8)
    weight = (torch.randint(-64, 65, (7, 3, 4, 4), generator=generator()).float() / 64).requires_grad_()
    bias = torch.randint(-64, 65, (7,), generator=generator()).float() / 64
    result = F.conv2d(spikes.float().permute(0, 3, 1, 2), weight, bias).permute(0, 2, 3, 1)
    assert torch.equal(event_convolution(spikes, weight.detach(), bias), result)
    outer = torch.randint(-64, 65, result.shape, generator=generator()).float() / 64
    (result * outer).sum().backward()
    assert weight.grad is not None
    assert torch.equal(event_convolution_gradient(spikes, outer, 4), weight.grad)


def test_pooled_counts_and_their_gradient() -> None:
    spikes = (torch.rand(5, 7, 8, 3, generator=generator()) < 0.5).to(torch.uint8)
    source = spikes.float().permute(0, 3, 1, 2).requires_grad_()
    counts = F.avg_pool2d(source, 3) * 9
    torch.testing.assert_close(pool_counts(spikes, 3).float(), counts.detach().permute(0, 2, 3, 1))
    outer = torch.randn(counts.shape, generator=generator())
    (counts * outer).sum().backward()
    assert source.grad is not None
    windows = torch.from_numpy(window_numbers(7, 8, 3, 3).astype(int))
    by_count = F.pad(outer.permute(0, 2, 3, 1).flatten(1), (0, 1))[:, windows]  # 0 for places in no window
    torch.testing.assert_close(by_count.view(5, 7, 8, 3), source.grad.permute(0, 2, 3, 1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("surrogate", ["rectangular", "sigmoid"])
@pytest.mark.parametrize("given_steps", [1, 4])
def test_neurons_behind_a_pooling_layer_go_back_as_with_the_gradient_of_each_spike(
    surrogate: str, given_steps: int
) -> None:
    parameters = LIFParameters(surrogate=surrogate)
    potentials = torch.rand(4, 3, 7, 30, 17, generator=generator())  # more neurons an example than a block
    windows = window_numbers(7, 30, 17, 2)
    by_counts = torch.randn(given_steps, 3, 3, 15, 17, generator=generator(1))
    by_spikes = F.pad(by_counts.flatten(2), (0, 1))[:, :, torch.from_numpy(windows.astype(int))].view(
        given_steps, 3, 7, 30, 17
    )
    later = torch.randn(3 * len(windows), generator=generator(2)).numpy()
    found = []
    for pooled in (True, False):
        result, totals = torch.empty_like(potentials), torch.empty(len(later))
        k, kind = constants_of(parameters, torch.float32), KINDS[surrogate]
        if pooled:
            given = by_counts.flatten(2).numpy()
            pooled_backward_loop(rows(potentials), given, windows, later, rows(result), totals.numpy(), k, kind)
        else:
            backward_loop(
                rows(potentials), rows(by_spikes), rows(potentials[:0]), later, rows(result), totals.numpy(), k, kind
            )
        found.append(result)
        torch.testing.assert_close(totals, result.sum(0).flatten())
    assert torch.equal(*found)


def test_the_string_of_the_paper() -> None:
    assert parse_layers("15C5-P2-40C5S-300-10") == [
        LayerPlan(15, 5, 0, 2),
        LayerPlan(40, 5, 2, 1),
        LayerPlan(300),
        LayerPlan(10),
    ]
    net = SpikingConvNet("15C5-P2-40C5-P2-300-10", steps=2)
    # 15*25+15 + 40*15*25+40 + 640*300+300 + 300*10+10: 4x4 places are left of 28x28
    assert sum(one.numel() for one in net.parameters()) == 210_740
    record = net.run(torch.rand(2, 1, 28, 28), generator=generator())
    assert [list(one.shape[2:]) for one in record.spikes] == [[15, 24, 24], [40, 8, 8], [300], [10]]


@pytest.mark.parametrize("text", ["", "15C5", "P2-10", "15C5-P2-P2-10", "300-15C5-10", "15c5-10", "4C2S-10", "0", 7])
def test_strings_that_are_no_net_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        SpikingConvNet(text)


def test_images_of_another_shape_and_kernels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="SpikingConvNet expects"):
        SpikingConvNet("2C3-10", steps=2)(torch.rand(2, 1, 8, 8))
    with pytest.raises(ConfigError, match="to nothing"):
        SpikingConvNet("2C9-10", shape=(1, 8, 8))


def test_the_bill_knows_its_layers() -> None:
    net = SpikingConvNet("2C3-P2-4-3", shape=(1, 6, 6), steps=3, generator=generator())
    bill = count(net, torch.rand(5, 1, 6, 6, generator=generator(1)), generator=generator(2))
    assert bill.spiking
    assert bill.steps == 3
    assert not bill.uncounted
    kinds = {row.name: (row.kind, row.fed_by) for row in bill.rows}
    assert kinds["synapses.0"] == ("convolution", "spikes")
    assert kinds["synapses.1"] == ("linear", "counts")  # averaged spikes
    assert kinds["synapses.2"] == ("linear", "spikes")


def test_no_layer_is_silent_or_saturated_at_the_start() -> None:
    net = SpikingConvNet(steps=6, generator=generator())
    # pictures like MNIST's: one fifth of the pixels is bright
    x = (torch.rand(16, 1, 7, 7, generator=generator(1)) < 0.2).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        record = net.run(0.7 * x, generator=generator(2))
    rates = [float(spikes.mean()) for spikes in record.spikes]
    assert all(0.03 < rate < 0.4 for rate in rates), rates
