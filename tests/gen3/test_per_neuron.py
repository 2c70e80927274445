"""Decays and thresholds that differ from neuron to neuron or are learnt: against the equations written out here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import threegen as tg
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import LIFParameters, lif_loop
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.gen3.sequential import SpikingSequential


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def currents(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=g(seed), dtype=torch.float64)


class Sigmoid(torch.autograd.Function):
    """A spike whose slope is 4 s (1 - s) with s = sigmoid(4 d): written here again, from the page of equations."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        s = torch.sigmoid(4 * ctx.saved_tensors[0])
        return gradients[0] * 4 * s * (1 - s)


def by_hand(x: Tensor, decay: Tensor, threshold: Tensor, reset: str) -> tuple[Tensor, Tensor]:
    """u[t] = decay * v[t-1] + x[t], o[t] = 1 where u[t] >= threshold; v what a spike leaves."""
    left, spikes, potentials = torch.zeros_like(x[0]), [], []
    for current in x:
        u = decay * left + current
        o = Sigmoid.apply(u - threshold)  # type: ignore[no-untyped-call]
        left = u * (1 - o) if reset == "hard" else u - threshold * o
        spikes.append(o)
        potentials.append(u)
    return torch.stack(spikes), torch.stack(potentials)


def decays(count: int) -> Tensor:
    return torch.linspace(0.1, 0.95, count, dtype=torch.float64)


def thresholds(count: int) -> Tensor:
    return torch.linspace(0.2, 1.4, count, dtype=torch.float64)


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("learns", [False, True])
def test_every_neuron_has_its_own(reset: str, learns: bool) -> None:
    """Spikes, potentials and all gradients are those of the plain loop and autograd."""
    x, own, level = currents(9, 3, 6).requires_grad_(), decays(6), thresholds(6)
    neuron = LIF(own, level, reset, "sigmoid", learnable_decay=learns, learnable_threshold=learns).double()
    trace: list[Tensor] = []
    spikes, state = neuron(x, None, trace)
    copy = x.detach().clone().requires_grad_()
    own.requires_grad_(), level.requires_grad_()
    expected, potentials = by_hand(copy, own, level, reset)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(trace[0], potentials, rtol=1e-6, atol=1e-7)
    assert torch.equal(state.spikes, spikes[-1])
    weights = currents(9, 3, 6, seed=1)
    (spikes * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, copy.grad, rtol=1e-5, atol=1e-6)
    if learns:
        assert neuron.leak is not None
        assert neuron.log_threshold is not None
        assert own.grad is not None
        assert level.grad is not None
        # the chain rule by hand: d decay / d leak = decay (1 - decay), d threshold / d log threshold = threshold
        torch.testing.assert_close(neuron.leak.grad, own.grad * own * (1 - own), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(neuron.log_threshold.grad, level.grad * level, rtol=1e-5, atol=1e-6)
    else:
        assert not any(one.requires_grad for one in neuron.parameters())


def test_a_learnt_threshold_of_a_layer_has_the_sum_of_its_neurons_gradients() -> None:
    x = currents(9, 3, 6)
    one = LIF(0.7, 0.6, "soft", "sigmoid", learnable_threshold=True).double()
    each = LIF(0.7, torch.full((6,), 0.6), "soft", "sigmoid", learnable_threshold=True).double()
    for neuron in (one, each):
        neuron(x)[0].square().sum().backward()
    assert one.log_threshold is not None
    assert each.log_threshold is not None
    assert one.log_threshold.shape == ()
    torch.testing.assert_close(one.log_threshold.grad, each.log_threshold.grad.sum())  # type: ignore[union-attr]


def test_the_gradient_is_the_slope_where_there_is_one() -> None:
    """Potentials of neurons that never fire do not depend on the threshold; on the decay they do, smoothly."""
    x = 0.01 * currents(7, 2, 4).abs()
    neuron = LIF(decays(4), 50.0, learnable_decay=True).double()

    def loss(leak: Tensor) -> Tensor:
        trace: list[Tensor] = []
        torch.func.functional_call(neuron, {"leak": leak}, (x, None, trace))
        return trace[0].sum()

    assert neuron.leak is not None
    assert torch.autograd.gradcheck(loss, neuron.leak.detach().clone().requires_grad_())


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_equal_values_are_the_layer_with_one(reset: str) -> None:
    x = torch.randn(12, 3, 5, generator=g())
    each = LIF(torch.full((5,), 0.25), torch.full((5,), 0.5), reset)
    assert torch.equal(each(x)[0], lif_loop(x, None, LIFParameters(0.25, 0.5, reset))[0])
    learnt = LIF(0.5, 0.5, reset, learnable_threshold=True)
    with torch.no_grad():
        fast = learnt(x)[0]
    assert torch.equal(learnt(x)[0], fast)


@pytest.mark.parametrize("options", [{"refractory": 2}, {"adaptation": 0.3}, {"kernel": [0.6, 0.4]}, {"rest": 0.1}])
def test_the_general_neuron_too(options: dict[str, Any]) -> None:
    """Neuron n of the layer is a layer of one neuron with the constants of n."""
    x, own, level = currents(14, 3, 4), decays(4), thresholds(4)
    whole = LIF(own, level, learnable_threshold=True, **options).double()(x)[0]
    for number in range(4):
        alone = LIF(float(own[number].float()), float(level[number].float()), **options).double()
        assert torch.equal(alone(x[..., number : number + 1])[0], whole[..., number : number + 1]), number


def test_a_threshold_is_learnt() -> None:
    """Four neurons shall fire as often as four others whose thresholds are .3, .6, .9 and 1.2; they start from .7."""
    x = 0.6 * torch.rand(20, 64, 4, generator=g())
    wanted = LIF(0.8, [0.3, 0.6, 0.9, 1.2])(x)[0].mean((0, 1))
    neuron = LIF(0.8, torch.full((4,), 0.7), surrogate="sigmoid", learnable_threshold=True)
    optimizer = torch.optim.Adam(neuron.parameters(), lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        (neuron(x)[0].mean((0, 1)) - wanted).square().sum().backward()
        optimizer.step()
    assert neuron.threshold is not None
    torch.testing.assert_close(neuron(x)[0].mean((0, 1)), wanted, atol=0.02, rtol=0.0)
    assert neuron.threshold.tolist() == sorted(neuron.threshold.tolist())


def test_constraints_hold_whatever_the_step() -> None:
    neuron = LIF(decays(5).float(), thresholds(5).float(), learnable_decay=True, learnable_threshold=True)
    for step in (3.0, -30.0, 5.0):
        with torch.no_grad():
            for parameter in neuron.parameters():
                parameter.add_(step)
        assert neuron.decay is not None
        assert neuron.threshold is not None
        assert bool(((neuron.decay >= 0) & (neuron.decay <= 1)).all())
        assert bool((neuron.threshold > 0).all())
    fixed = LIF(decays(5).float(), thresholds(5).float()).requires_grad_(True)
    with torch.no_grad():
        for parameter in fixed.parameters():
            parameter.sub_(4.0)
    fixed.project()
    assert fixed.decay is not None
    assert fixed.threshold is not None
    assert bool((fixed.decay == 0).all())
    assert bool((fixed.threshold > 0).all())


def test_they_are_saved_and_copied(tmp_path: Path) -> None:
    options: dict[str, Any] = {"learnable_decay": True, "learnable_threshold": True, "per": "neuron"}
    net, other = (SpikingMLP([20, 12, 4], steps=5, generator=g(s), threshold=0.4 + s, **options) for s in (0, 1))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    x = torch.rand(3, 20, generator=g())
    assert torch.equal(net.eval()(x, g(1)), other.eval()(x, g(1)))
    fixed = LIF(decays(4).float(), thresholds(4).float())
    assert set(fixed.state_dict()) == {"decays", "thresholds"}


NETS: dict[str, Any] = {
    "mlp": lambda own: SpikingMLP([64, 12, 4], steps=5, generator=g(), **own),
    "conv": lambda own: SpikingConvNet("3C3-P2-12-4", shape=(1, 8, 8), steps=5, generator=g(), **own),
}
SHAPES = {
    ("mlp", "layer"): [(), ()],
    ("mlp", "neuron"): [(12,), (4,)],
    ("mlp", "channel"): [(12,), (4,)],
    ("conv", "channel"): [(3, 1, 1), (12,), (4,)],
    ("conv", "neuron"): [(3, 6, 6), (12,), (4,)],
}


@pytest.mark.parametrize(("name", "per"), SHAPES)
def test_nets_have_them_per_layer_channel_or_neuron(name: str, per: str) -> None:
    net = NETS[name]({"learnable_threshold": True, "learnable_decay": True, "tau": 3.0, "per": per, "threshold": 0.6})
    assert [tuple(one.threshold.shape) for one in net.neurons] == SHAPES[name, per]
    assert [tuple(one.decay.shape) for one in net.neurons] == SHAPES[name, per]
    for one in net.neurons:
        torch.testing.assert_close(one.decay, torch.full_like(one.decay, math.exp(-1 / 3)))
        torch.testing.assert_close(one.threshold, torch.full_like(one.threshold, 0.6))
    images = torch.rand(4, 1, 8, 8, generator=g())
    log = tg.fit(
        net,
        tg.Backprop("sse"),
        tg.datasets.Dataset(images, torch.arange(4)),
        optimizer="adam",
        lr=0.05,
        epochs=2,
        batch_size=4,
    )
    assert math.isfinite(log.epochs[-1]["loss"])
    moved = [bool((one.threshold.detach() - 0.6).abs().max() > 1e-3) for one in net.neurons]
    assert all(moved)
    net.eval()
    assert torch.equal(net(images, g(2)), net.run(images, generator=g(2)).scores)


def test_one_learnt_threshold_still_answers_by_the_kernels() -> None:
    net = NETS["mlp"]({"learnable_threshold": True, "threshold": 0.35})
    x = torch.rand(3, 64, generator=g())
    net.backend = "fused"
    with torch.no_grad():
        assert torch.equal(net(x, g(1)), net.run(x, generator=g(1)).scores)
    with pytest.raises(ConfigError, match="options without a kernel"):
        net(x, g(1))
    own = NETS["mlp"]({})
    own.neurons[0] = LIF(threshold=thresholds(12).float() / 4)
    assert torch.equal(own(x, g(1)), own.run(x, generator=g(1)).scores)
    assert not torch.equal(own(x, g(1)), NETS["mlp"]({})(x, g(1)))


def test_sequential_takes_them() -> None:
    layers = [nn.Conv2d(1, 3, 3), LIF(threshold=torch.tensor([0.3, 0.5, 0.7]).view(3, 1, 1)), nn.Flatten()]
    net = SpikingSequential([*layers, nn.Linear(108, 4), LIF(learnable_threshold=True)], shape=(1, 8, 8), steps=4)
    net(torch.rand(2, 1, 8, 8, generator=g())).sum().backward()
    assert net.neurons[1].log_threshold.grad is not None  # type: ignore[union-attr]


def test_the_bill_has_them() -> None:
    """784 -> 100 -> 10: 100 + 10 thresholds more than the plain net, 4 bytes each, learnt or not."""
    x = torch.rand(2, 1, 28, 28, generator=g())
    plain = tg.count(SpikingMLP([784, 100, 10], steps=4, generator=g()), x)
    learnt = SpikingMLP([784, 100, 10], steps=4, generator=g(), learnable_threshold=True, per="neuron")
    fixed = SpikingMLP([784, 100, 10], steps=4, generator=g())
    fixed.neurons[0] = LIF(threshold=torch.full((100,), 0.5))
    for net, more in ((learnt, 110), (fixed, 100)):
        bill = tg.count(net, x)
        assert bill.parameters == plain.parameters + more
        assert bill.memory["weights"] == plain.memory["weights"] + 4 * more
    half = SpikingMLP([784, 100, 10], steps=4, generator=g())
    half.neurons[0] = LIF(torch.cat([torch.zeros(60), torch.full((40,), 0.5)]))  # 60 neurons have nothing to decay
    assert tg.count(half, x).operations["leak"] == 4 * (40 + 10)


BAD: list[tuple[Any, str]] = [
    (lambda: LIF(torch.tensor([0.5, 1.5])), "each decay must be .* at most 1"),
    (lambda: LIF(threshold=[0.5, 0.0]), "each threshold must be .* above 0"),
    (lambda: LIF(threshold=torch.tensor([0.5, math.nan])), "each threshold must be a finite number"),
    (lambda: LIF(threshold=torch.tensor([])), "one number for each neuron, got none"),
    (lambda: LIF(threshold="high"), "threshold must be a finite number"),
    (lambda: LIF(threshold=["high"]), "or a tensor with one for each neuron"),
    (lambda: LIF(torch.tensor([0.5, 1.0]), learnable_decay=True), "to start learning from"),
    (lambda: LIF(decay=[0.5], tau=[2.0]), "not both"),
    (lambda: LIF(threshold=[0.5, 0.1], reset_to=0.2), "reset_to must be below"),
    (lambda: SpikingMLP([20, 12, 4], threshold=torch.full((12,), 0.5)), r"a layer of the net has \[4\]"),
    (lambda: SpikingMLP([20, 12, 4], per="neuron"), "needs something to learn"),
    (lambda: SpikingMLP([20, 12, 4], per="row", learnable_decay=True), "per is .row.; choose layer, channel, neuron"),
    (
        lambda: SpikingMLP([20, 12, 4], gradient="space", learnable_threshold=True),
        "cannot train decays, recurrent weights, thresholds",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_what_cannot_be_is_one_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_values_of_another_layer_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"threshold holds values for neurons \[5\], the input is for \[4\]"):
        LIF(threshold=torch.full((5,), 0.5))(torch.zeros(3, 2, 4))


def test_they_cannot_be_stacked() -> None:
    with pytest.raises(ConfigError, match="can be stacked"):
        SpikingMLP([20, 12, 4], learnable_threshold=True).stack(2)
