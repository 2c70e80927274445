"""The compiled RMSprop against torch's operations on the same numbers, and against a step worked out by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from threegen.functional.optimizer_kernels import can_fuse, rmsprop_
from threegen.threads import use_threads
from threegen.training.optimizers import KerasRMSprop


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
    averages = [optimizer.state[parameter]["square_average"] for parameter in moved]
    return [tensor.detach().clone() for tensor in (*moved, *averages)]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("dtype", "nearness"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_one_pass_equals_torchs_five(dtype: torch.dtype, nearness: float, decay: float) -> None:
    fused, plain = (run(fused=fused, dtype=dtype, decay=decay) for fused in (True, False))
    for ours, theirs in zip(fused, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=20 * nearness, atol=nearness)


def test_a_step_by_hand() -> None:
    """g = 2, v = 1: v becomes .9 + .1 * 4 = 1.3; with epsilon .14 the root is 1.2; w = 3 - .6 * 2 / 1.2 = 2."""
    weight, gradient, average = torch.tensor([3.0]), torch.tensor([2.0]), torch.tensor([1.0])
    rmsprop_(weight, gradient, average, lr=0.6, rho=0.9, eps=0.14)
    assert average.item() == pytest.approx(1.3, rel=1e-6)
    assert weight.item() == pytest.approx(2.0, rel=1e-6)
    assert gradient.item() == 2.0


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


def test_the_loop_does_not_load_numba() -> None:
    """Whoever trains by another optimiser does not wait half a second for a compiler."""
    program = "import sys, threegen.training.fit; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
