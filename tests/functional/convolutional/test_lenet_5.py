"""The compiled planes of LeNet-5 against torch's functions and autograd of the same net."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.functional.convolutional import lenet_5_fused as lenet_5
from threegen.gen2.lenet_5 import LeNet5
from threegen.rules.backprop import Backprop
from threegen.rules.levenberg_marquardt import LevenbergMarquardt
from threegen.rules.losses import resolve_loss


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def twins() -> tuple[LeNet5, LeNet5]:
    """The same net by torch's functions and compiled, with weights that do not vanish."""
    nets = [LeNet5(compiled=way, generator=torch.Generator().manual_seed(1)) for way in (False, True)]
    for net in nets:
        with torch.no_grad():
            for number, parameter in enumerate(net.parameters()):
                parameter += 0.1 * (drawn(*parameter.shape, seed=number) - 0.5)
    return nets[0], nets[1]


def test_tanh_is_that_of_the_library() -> None:
    """math.tanh in float64, from -20 to 20."""
    u = np.linspace(-20, 20, 20_001, dtype=np.float32)
    expected = np.array([math.tanh(value) for value in u.astype(np.float64)])
    lenet_5.squash(u)
    assert np.abs(u - expected).max() <= 3e-7
    assert np.abs(u).max() <= 1


@pytest.mark.parametrize("batch", [1, 5, 16])
def test_values_and_gradients_are_those_of_the_modules(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, quick = twins()
    images, labels = drawn(batch, 1, 28, 28, seed=7), torch.arange(batch) % 10
    calls = watch(monkeypatch)
    losses = []
    for net in (plain, quick):
        loss = resolve_loss("map")(net(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
    assert calls == [batch]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for (name, one), other in zip(plain.named_parameters(), quick.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        scale = float(one.grad.abs().max())
        assert scale > 0, name
        assert float((one.grad - other.grad).abs().max()) <= 2e-5 * scale, name


def watch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the sizes of the batches that go through the kernels."""
    calls: list[int] = []
    real: Any = lenet_5.planes_of_lenet_5

    def counted(images: Tensor, *rest: Any) -> Tensor:
        calls.append(len(images))
        states: Tensor = real(images, *rest)
        return states

    monkeypatch.setattr("threegen.gen2.lenet_5.planes_of_lenet_5", counted)
    return calls


def test_whoever_watches_sees_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks, gradients of the images, float64, large batches, evaluation: all by torch's functions."""
    _, net = twins()
    calls, images = watch(monkeypatch), drawn(2, 1, 28, 28)
    seen: list[Tensor] = []
    handle = net.layers.c3.register_forward_hook(lambda *given: seen.append(given[2]))
    net(images)
    handle.remove()
    assert [list(planes.shape) for planes in seen] == [[2, 16, 10, 10]]
    asked = images.clone().requires_grad_()
    net(asked).sum().backward()
    assert asked.grad is not None
    net(drawn(65, 1, 28, 28))
    net.eval()(images)
    net.train().double()(images.double())
    assert calls == []
    net.float()(images)
    assert calls == [2]


def test_curvature_is_passed_through_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levenberg-Marquardt asks twice: for the curvature, by the modules, and for the gradient, compiled."""
    plain, quick = twins()
    calls = watch(monkeypatch)
    batch = Batch(drawn(4, 1, 28, 28), torch.tensor([3, 1, 4, 1]))
    for net in (plain, quick):
        next(iter(LevenbergMarquardt()(net, batch, torch.Generator())))
    assert calls == [4]
    for one, other in zip(plain.parameters(), quick.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=2e-5 * float(one.grad.abs().max()))


def test_frozen_kernels_get_no_gradient() -> None:
    _, net = twins()
    net.layers.c1.weight.requires_grad_(False)
    next(iter(Backprop("map")(net, Batch(drawn(2, 1, 28, 28), torch.tensor([0, 1])), torch.Generator())))
    assert net.layers.c1.weight.grad is None
    assert net.layers.c3.kernels.grad is not None
