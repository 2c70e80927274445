"""Parts that the library has not written, and methods that somebody has replaced: the plain way, silently right.

The expected numbers are those of `run`, which calls every method, or the equations written out here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import NeuronState
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.neurons import LIF
from threegen.gen3.readouts import RateReadout
from threegen.gen3.sequential import SpikingSequential, TimeDropout

X = torch.rand(3, 20, generator=torch.Generator().manual_seed(5))
IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(5))


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp(kind: type[SpikingMLP] = SpikingMLP, **options: Any) -> SpikingMLP:
    return kind([20, 64, 5], steps=6, generator=g(), **options).eval()


class Doubled(SpikingMLP):
    def summed_input(self, layer: int, signals: Any) -> Tensor:
        return 2 * super().summed_input(layer, signals)


class Between(SpikingMLP):
    def between(self, layer: int, spikes: Tensor, signals: Any, remembered: Tensor | None = None) -> Any:
        return spikes.flip(-1), remembered


class Encodes(SpikingMLP):
    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return 1 - super().encode(x, generator)


class Pixels(SpikingMLP):
    def pixels(self, x: Tensor) -> Tensor:
        return 1 - super().pixels(x)


class Kept(SpikingMLP):
    def kept(self, layer: int) -> int:
        return 0

    def summed_input(self, layer: int, signals: Any) -> Tensor:
        return super().summed_input(layer, signals) + signals[0].mean(-1, keepdim=True)


@pytest.mark.parametrize("kind", [Doubled, Between, Encodes, Pixels, Kept])
@pytest.mark.parametrize("readout", ["rate", "potential"])
def test_a_method_that_is_replaced_is_called(kind: type[SpikingMLP], readout: str) -> None:
    net, ours = mlp(kind, readout=readout), mlp(readout=readout)
    if kind is Pixels:  # called by both ways: the fast one adds in another order
        torch.testing.assert_close(net(X, g()), net.run(X, generator=g()).scores)
    else:
        assert torch.equal(net(X, g()), net.run(X, generator=g()).scores)
    assert not torch.equal(net(X, g()), ours(X, g()))


def test_training_uses_it_too() -> None:
    net, plain = mlp(Doubled), mlp(Doubled, backend="plain")
    for one in (net, plain):
        one.train()(X, g()).square().sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(net.parameters(), plain.parameters(), strict=True))  # type: ignore[arg-type]


def test_a_conv_net_too() -> None:
    class Louder(SpikingConvNet):
        def summed_input(self, layer: int, signals: Any) -> Tensor:
            return 3 * super().summed_input(layer, signals)

    net = Louder("4C3-P2-5", shape=(1, 8, 8), steps=4, generator=g()).eval()
    assert torch.equal(net(IMAGES, g()), net.run(IMAGES, generator=g()).scores)
    ours = SpikingConvNet("4C3-P2-5", shape=(1, 8, 8), steps=4, generator=g()).eval()
    assert not torch.equal(net(IMAGES, g()), ours(IMAGES, g()))


def _on_instance(net: SpikingMLP) -> None:
    first = net.summed_input
    net.summed_input = lambda layer, signals: 2 * first(layer, signals)  # type: ignore[method-assign]


def _neuron_forward(net: SpikingMLP) -> None:
    first = net.neurons[0].forward
    net.neurons[0].forward = lambda currents, state=None, trace=None: first(2 * currents, state, trace)


def _encoder_forward(net: SpikingMLP) -> None:
    net.encoder.forward = lambda x, steps, generator=None: torch.ones(steps, *x.shape)


def _encoder_chances(net: SpikingMLP) -> None:
    net.encoder.chances = lambda x: torch.zeros_like(x)  # the fast way alone would ask for it


def _readout_forward(net: SpikingMLP) -> None:
    net.readout.forward = lambda spikes, currents: spikes.sum(0) * 7


def _hook(net: SpikingMLP) -> None:
    net.synapses[0].register_forward_hook(lambda module, inputs, output: 2 * output)


def _pre_hook(net: SpikingMLP) -> None:
    net.neurons[1].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0], *inputs[1:]))


def _parametrized(net: SpikingMLP) -> None:
    class Twice(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    parametrize.register_parametrization(net.synapses[0], "weight", Twice())


def _pruned(net: SpikingMLP) -> None:
    prune.custom_from_mask(net.synapses[0], "weight", torch.rand(64, 20, generator=g(8)) < 0.5)  # type: ignore[no-untyped-call]


CHANGES = [_on_instance, _neuron_forward, _encoder_forward, _encoder_chances, _readout_forward]
CHANGES += [_hook, _pre_hook, _parametrized, _pruned]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_put_over_an_instance_counts(change: Callable[[SpikingMLP], None]) -> None:
    net = mlp()
    before = net(X, g())
    change(net)
    assert torch.equal(net(X, g()), net.run(X, generator=g()).scores)
    assert change is _encoder_chances or not torch.equal(net(X, g()), before)


def test_hooks_of_all_modules_are_called() -> None:
    seen: list[str] = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, out: seen.append(type(module).__name__)
    )
    try:
        mlp()(X, g())
    finally:
        handle.remove()
    assert {"LIF", "Linear", "RateReadout"} <= set(seen)


def test_the_untouched_net_still_takes_the_fast_way() -> None:
    class Named(SpikingMLP):
        """Adds something; replaces nothing."""

        def summary(self) -> str:
            return "mine"

    assert Named([20, 8, 5], backend="fused")(X, g()).shape == (3, 5)
    with pytest.raises(ConfigError, match="summed_input"):
        Doubled([20, 8, 5], backend="fused")(X, g())


class Last(nn.Module):
    """A read-out of one's own: when each neuron was last silent does not matter, only the last step's input does."""

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        return currents[-1]


class Negative(RateReadout):
    def from_sums(self, counts: Tensor, summed: Tensor, steps: int) -> Tensor:
        return -super().from_sums(counts, summed, steps)


@pytest.mark.parametrize("readout", [Last(), Negative()])
def test_own_read_outs(readout: nn.Module) -> None:
    net = mlp(readout=readout)
    assert torch.equal(net(X, g()), net.run(X, generator=g()).scores)
    swapped = mlp()
    swapped.readout = readout.eval()
    assert torch.equal(swapped(X, g()), net(X, g()))


class Counter(nn.Module):
    """A neuron of one's own: counts its input and fires at every second unit, forgetting nothing else."""

    part = "neurons"

    def forward(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        held = torch.zeros_like(currents[0]) if state is None else state
        spikes = []
        for current in currents:
            held = held + current.abs()
            spikes.append((held >= 2).to(held.dtype))
            held = held - 2 * spikes[-1]
        return torch.stack(spikes), held


def test_an_own_neuron_keeps_examples_apart() -> None:
    torch.manual_seed(0)
    net = SpikingSequential([nn.Linear(20, 9), Counter(), nn.Linear(9, 5), Counter()], shape=(20,), encoder="direct")
    whole = net(X)
    assert torch.allclose(whole, torch.cat([net(one[None]) for one in X]))
    first = net.run(X)
    assert torch.equal(first.scores, whole)
    assert first.potentials[0].isnan().all()
    held = torch.zeros(3, 9)
    for spikes in first.spikes[0]:
        held = held + net.synapses[0](X).abs()
        assert torch.equal(spikes, (held >= 2).float())
        held = held - 2 * spikes
    assert torch.allclose(first.state[0], held)
    assert not torch.equal(net.run(X, first.state).spikes[0], first.spikes[0])


def test_a_module_with_a_state_is_not_taken_for_a_stateless_one() -> None:
    class Unmarked(Counter):
        part = ""

    with pytest.raises(ConfigError, match="part = "):
        SpikingSequential([nn.Linear(20, 9), Unmarked(), nn.Linear(9, 5), LIF()], shape=(20,))


# -- frames and spike trains -----------------------------------------------------------------------------------------


def trains(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=g(3)) < 0.3).float()


def nets() -> list[tuple[SpikingNet, tuple[int, ...]]]:
    parts = [nn.Conv2d(2, 3, 3), LIF(), nn.Flatten(), nn.Linear(108, 5), LIF()]
    return [
        (SpikingMLP([128, 16, 5], generator=g()), (2, 8, 8)),
        (SpikingMLP([128, 16, 5], generator=g()), (128,)),
        (SpikingConvNet("4C3-P2-5", shape=(2, 8, 8), generator=g()), (2, 8, 8)),
        (SpikingSequential(parts, shape=(2, 8, 8)), (2, 8, 8)),
    ]


@pytest.mark.parametrize("number", range(4))
def test_frames_are_taken_as_they_are(number: int) -> None:
    net, shape = nets()[number]
    frames = trains(3, 7, *shape)
    record = net.eval().run(frames)
    assert len(record.inputs) == 7
    assert torch.equal(record.inputs.reshape(7, 3, *shape), frames.transpose(0, 1))
    assert torch.equal(net(frames), record.scores)
    assert torch.equal(net(frames.bool()), record.scores)
    for count, spikes in zip(record.counts, record.spikes, strict=True):
        assert torch.equal(count, spikes.sum(0))


def test_the_encoder_and_its_train_give_the_same() -> None:
    net = mlp()
    train = net.encode(X, g(2)).transpose(0, 1)
    assert torch.equal(net(train), net(X, g(2)))


@pytest.mark.parametrize("number", range(4))
def test_fused_and_plain_learn_the_same_from_frames(number: int) -> None:
    frames, found = trains(3, 7, *nets()[number][1]), []
    for backend in ("auto", "plain"):
        torch.manual_seed(0)
        net, _ = nets()[number]
        net.backend = backend
        net.train()(frames).square().sum().backward()
        found.append([one.grad for one in net.parameters()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_counts_in_frames_are_values() -> None:
    net, frames = mlp(), trains(2, 4, 20) * 3
    assert torch.equal(net(frames), net.run(frames).scores)
    net.backend = "fused"
    with pytest.raises(ConfigError, match="other values than 0 and 1"):
        net(frames)


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        mlp()(torch.zeros(2, 0, 20))
    with pytest.raises(ShapeError):
        mlp()(torch.zeros(2, 4, 21))
    with pytest.raises(ShapeError, match="float32"):
        mlp()(torch.zeros(2, 4, 20, dtype=torch.float64))


# -- states and masks ------------------------------------------------------------------------------------------------


def test_a_detached_state_ends_the_gradient() -> None:
    net = mlp(readout="potential", surrogate="sigmoid")
    first = net.run(X, generator=g(1))
    scores = net.run(X, [one.detach() for one in first.state], g(2)).scores
    assert not any(one.requires_grad for state in (s.detach() for s in first.state) for one in state if one is not None)
    assert torch.equal(scores, net.run(X, first.state, g(2)).scores)


def test_saved_states_load_with_weights_only() -> None:
    state = mlp().run(X, generator=g()).state
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert isinstance(loaded[0], NeuronState)
    assert torch.equal(loaded[0].potential, state[0].potential)


@pytest.mark.parametrize("encoder", ["bernoulli", "direct", "latency"])
def test_dropout_draws_at_every_step_and_time_dropout_once(encoder: str) -> None:
    x = torch.full((4, 50), 1.0)
    for kind, alike in ((nn.Dropout(0.5), False), (TimeDropout(0.5), True)):
        net = SpikingSequential([kind, LIF(0.0, 1.0)], shape=(50,), steps=6, encoder=encoder, readout="potential")
        torch.manual_seed(1)
        spikes = net.train().run(x).spikes[0]
        seen = spikes[:1] if encoder == "latency" else spikes
        assert 0.3 < float(seen.mean()) < 0.7
        assert encoder == "latency" or bool((seen == seen[0]).all()) is alike
        assert torch.equal(net.eval().run(x).spikes[0][0], torch.ones(4, 50))


@pytest.mark.parametrize("options", [{}, {"learnable_decay": True}, {"adaptation": 0.1}])
def test_a_surrogate_of_ones_own(options: dict[str, Any]) -> None:
    """The triangle, written by hand, learns as the library's: max(0, 1 - |u - threshold| / a) / a."""

    def triangle(distance: Tensor, width: float) -> Tensor:
        return (1 - distance.abs() / width).clamp(min=0) / width

    found = []
    for surrogate in (triangle, "triangular"):
        net = mlp(surrogate=surrogate, **options).train()
        net(X, g()).square().sum().backward()
        found.append([one.grad for one in net.parameters()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError):
        mlp(surrogate="unheard-of")
