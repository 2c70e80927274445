"""The compiled way of a spiking net against the plain one. Weights on a grid of 1/64 make all sums exact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from threegen.errors import ConfigError
from threegen.functional.spiking import event_driven, time_blocks
from threegen.functional.spiking.neurons import SURROGATES
from threegen.gen3.encoders import Bernoulli, Encoder, Latency, Poisson
from threegen.gen3.networks import SpikingMLP
from threegen.machine.threads import use_threads


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_a_grid(net: nn.Module) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter * 64).round() / 64)


def both_ways(net: SpikingMLP, x: torch.Tensor, loss: str = "mse") -> list[tuple[torch.Tensor, ...]]:
    """Return scores and gradients of the fused and of the plain way."""
    found = []
    labels = torch.arange(len(x)) % net.sizes[-1]
    for backend in ("fused", "plain"):
        net.backend = backend
        net.zero_grad()
        scores = net(x, generator(3))
        targets = F.one_hot(labels, net.sizes[-1]).to(scores.dtype)
        error = F.mse_loss(scores, targets) if loss == "mse" else F.cross_entropy(scores, labels)
        error.backward()
        gradients = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
        assert len(gradients) == len(list(net.parameters()))
        found.append((scores.detach(), *gradients))
    return found


@settings(max_examples=60, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 70), min_size=0, max_size=2),
    batch=st.integers(1, 5),
    steps=st.integers(1, 9),
    block=st.integers(1, 9),
    decay=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    threshold=st.sampled_from([0.25, 0.5, 1.5]),
    reset=st.sampled_from(["hard", "soft"]),
    surrogate=st.sampled_from(sorted(SURROGATES)),
    detach=st.booleans(),
    readout=st.sampled_from(["rate", "potential"]),
    encoder=st.sampled_from([Bernoulli(), Poisson(2.0), Latency()]),
    brightness=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    training=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_fused_net_equals_the_plain_one(
    hidden: list[int],
    batch: int,
    steps: int,
    block: int,
    decay: float,
    threshold: float,
    reset: str,
    surrogate: str,
    detach: bool,
    readout: str,
    encoder: Encoder,
    brightness: float,
    training: bool,
    seed: int,
) -> None:
    net = SpikingMLP(
        [12, *hidden, 3],
        steps=steps,
        encoder=encoder,
        decay=decay,
        threshold=threshold,
        reset=reset,
        surrogate=surrogate,
        detach_reset=detach,
        readout=readout,
        generator=generator(seed),
    )
    on_a_grid(net)
    net.train(training)
    x = torch.rand(batch, 12, generator=generator(seed + 1)) * brightness
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_blocks, "BLOCK_BYTES", block * batch * max([3, *hidden]) * 4)
        patch.setattr(event_driven, "NARROW", 16)
        fused, plain = both_ways(net, x)
    assert torch.equal(fused[0], plain[0])
    for ours, oracle in zip(fused[1:], plain[1:], strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-4, atol=1e-6)


def test_one_core_and_two_give_the_same_bits() -> None:
    net = SpikingMLP([60, 200, 40, 10], steps=6, generator=generator())
    x = torch.rand(50, 60, generator=generator(1))
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            found.append(both_ways(net, x)[0])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_backward_can_run_twice_and_double_precision_stays() -> None:
    net = SpikingMLP([12, 40, 3], steps=4, backend="fused", generator=generator()).double()
    error = net(torch.rand(2, 12, dtype=torch.float64, generator=generator(1)), generator(2)).square().sum()
    first = torch.autograd.grad(error, list(net.parameters()), retain_graph=True)
    second = torch.autograd.grad(error, list(net.parameters()))
    assert all(torch.equal(a, b) and a.dtype == torch.float64 for a, b in zip(first, second, strict=True))


def test_weights_changed_between_forward_and_backward_are_refused() -> None:
    net = SpikingMLP([12, 40, 3], steps=4, backend="fused", generator=generator())
    error = net(torch.rand(2, 12), generator(2)).sum()
    with torch.no_grad():
        net.synapses[0].weight.mul_(2)  # type: ignore[operator,union-attr]
    with pytest.raises(RuntimeError, match="inplace"):
        error.backward()


def test_plain_where_hooks_watch_or_the_image_asks_for_a_gradient() -> None:
    net = SpikingMLP([12, 40, 3], steps=4, generator=generator())
    x = torch.rand(2, 12, generator=generator(1))
    seen: list[int] = []
    handle = net.synapses[0].register_forward_hook(lambda *_: seen.append(1))
    net(x)
    handle.remove()
    assert seen == [1]
    wanted = x.clone().requires_grad_()
    net(wanted, generator(1)).sum().backward()
    assert wanted.grad is not None
    net.backend = "fused"
    with pytest.raises(ConfigError, match="gradient of the image"):
        net(wanted)
    net.synapses[0] = nn.Sequential(net.synapses[0], nn.Dropout(0.1))
    with pytest.raises(ConfigError, match="Sequential has no kernel"):
        net(x)
    with pytest.raises(ConfigError, match=r"did you mean 'fused'\?"):
        SpikingMLP([2, 2], backend="fuse")
