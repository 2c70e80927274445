"""RMSprop in one pass over memory against elementary operations, and against steps worked out by hand."""

from __future__ import annotations

import pytest
import torch

from threegen.functional.optimization.optimizers_fused import can_fuse, rmsprop_, shift_average, unshift_average
from threegen.machine.threads import use_threads
from threegen.training.optimizers.build import KerasRMSprop


def parameters(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    """A matrix of more than one block, one that lies transposed in memory, a vector, a single number, an empty one."""
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(shape, generator=generator).to(dtype)
        for shape in ((300, 200), (110, 100), (9000,), (5,), (), (0, 4))
    ]
    tensors[1] = tensors[1].T.contiguous().T
    return [torch.nn.Parameter(tensor) for tensor in tensors]


def run(*, fused: bool, dtype: torch.dtype = torch.float32, decay: float = 0.0, steps: int = 20) -> list[torch.Tensor]:
    moved = parameters(dtype)
    optimizer = KerasRMSprop(moved, lr=0.01, weight_decay=decay, fused=fused)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in moved:
            drawn = torch.randn(parameter.shape, generator=generator).to(dtype)
            parameter.grad = torch.empty_like(parameter).copy_(drawn)
        optimizer.step()
    averages = [optimizer.state[parameter]["shifted_average"] for parameter in moved]
    return [tensor.detach().clone() for tensor in (*moved, *averages)]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "nearness"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_one_pass_equals_five_operations(dtype: torch.dtype, nearness: float, decay: float) -> None:
    fused, plain = (run(fused=fused, dtype=dtype, decay=decay) for fused in (True, False))
    for ours, theirs in zip(fused, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=20 * nearness, atol=nearness)


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_by_hand(fused: bool) -> None:
    """g = 2, v = 1: v becomes .9 + .1 * 4 = 1.3; with epsilon .14 the root is 1.2; w = 3 - .6 * 2 / 1.2 = 2."""
    weight, gradient, shifted = torch.tensor([3.0]), torch.tensor([2.0]), shift_average(torch.tensor([1.0]), 0.9, 0.14)
    rmsprop_([weight], [gradient], [shifted], lr=0.6, rho=0.9, eps=0.14, fused=fused)
    assert unshift_average(shifted, 0.9, 0.14).item() == pytest.approx(1.3, rel=1e-6)
    assert weight.item() == pytest.approx(2.0, rel=1e-6)
    assert gradient.item() == 2.0


def test_without_a_gradient_nothing_moves() -> None:
    """v = 0 stays 0 and w stays, step after step: the shifted average has its fixed point there."""
    weight, zero, shifted = torch.ones(100), torch.zeros(100), shift_average(torch.zeros(100), 0.9, 1e-7)
    before = shifted.clone()
    for _ in range(1000):
        rmsprop_([weight], [zero], [shifted], lr=0.1, rho=0.9, eps=1e-7)
    assert bool((weight == 1).all())
    torch.testing.assert_close(shifted, before)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e-3, 1.0, 1e6])
def test_gradients_of_any_size(size: float) -> None:
    """Against the two lines in float64 over 200 steps, from far below epsilon's root to far above."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, generator=generator)
    expected, average = weight.double(), torch.zeros(50, dtype=torch.float64)
    shifted = shift_average(torch.zeros(50), 0.9, 1e-7)
    for _ in range(200):
        gradient = size * torch.randn(50, generator=generator)
        rmsprop_([weight], [gradient], [shifted], lr=1e-3, rho=0.9, eps=1e-7)
        average = 0.9 * average + 0.1 * gradient.double() ** 2
        expected = expected - 1e-3 * gradient.double() / (average + 1e-7).sqrt()
    torch.testing.assert_close(weight.double(), expected, rtol=1e-5, atol=2e-6)


def test_constants_that_change_in_mid_run() -> None:
    """The average itself goes on when a schedule sets rho or epsilon: the two lines again, rho .9 and then .99."""
    weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = KerasRMSprop([weight], lr=0.1)
    expected, average = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for step in range(6):
        rho, eps = (0.9, 1e-7) if step < 3 else (0.99, 1e-2)
        optimizer.param_groups[0].update(rho=rho, eps=eps)
        gradient = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) * (step + 1)
        weight.grad = gradient.clone()
        optimizer.step()
        average = rho * average + (1 - rho) * gradient**2
        expected = expected - 0.1 * gradient / (average + eps).sqrt()
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-9, atol=1e-12)


def test_threads_change_no_bit() -> None:
    with use_threads(1):
        one = run(fused=True)
    with use_threads(2):
        two = run(fused=True)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_what_cannot_be_walked_flat_takes_torchs_way() -> None:
    weight = torch.zeros(4, 6)
    assert can_fuse(weight, weight, weight)
    assert can_fuse(weight.T, weight.T)
    assert not can_fuse(weight, weight.T.contiguous().T)  # other order in memory
    assert not can_fuse(weight[:, ::2], weight[:, ::2])
    assert not can_fuse(weight, weight.double())
    assert not can_fuse(weight.half())
    assert not can_fuse(weight.to_sparse())
    strided = torch.nn.Parameter(torch.ones(4, 6)[:, ::2])
    strided.grad = torch.ones(4, 3)
    KerasRMSprop([strided], lr=1.0).step()  # v = .1; w = 1 - 1 / sqrt(.1)
    torch.testing.assert_close(strided.detach(), torch.full((4, 3), 1 - 0.1**-0.5))
