"""The compiled response normalisation against torch's function and its autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from threegen.functional.convolutional.response_norm_fused import response_norm
from threegen.gen2.response_norm import ResponseNorm


@pytest.mark.parametrize("n", [1, 4, 5])
@pytest.mark.parametrize("shape", [(3, 9, 4, 5), (2, 3, 9, 8), (2, 1, 1, 1)])
def test_values_and_gradients_are_those_of_torch(n: int, shape: tuple[int, ...]) -> None:
    """States up to 200, as behind AlexNet's first layer, where the divisor is far from k."""
    draw = torch.Generator().manual_seed(n)
    states, errors = (torch.randn(*shape, generator=draw) for _ in range(2))
    states = (50 * states).requires_grad_()
    plain = F.local_response_norm(states, n, alpha=n * 1e-4, beta=0.75, k=2.0)
    (expected,) = torch.autograd.grad(plain, states, errors)
    quick = response_norm(states, n, 2.0, 1e-4)
    (found,) = torch.autograd.grad(quick, states, errors)
    torch.testing.assert_close(quick, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_layer_takes_the_kernel_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def noted(states: torch.Tensor, *_: float) -> torch.Tensor:
        calls.append(states.numel())
        return states

    monkeypatch.setattr("threegen.gen2.response_norm.response_norm", noted)
    layer = ResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    large, small = torch.ones(1, 16, 64, 64), torch.ones(1, 4, 8, 8)
    layer(large), layer(small), layer(large.double()), layer.eval()(large)
    assert calls == [65_536]
