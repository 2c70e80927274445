"""The compiled response normalisation against torch's function and its autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from threegen.functional.convolutional.response_norm_fused import response_norm
from threegen.gen2.response_norm import ResponseNorm, run_parts


@pytest.mark.parametrize("shape", [(3, 9, 4, 5), (2, 3, 9, 8), (2, 1, 1, 1), (4, 32, 9, 9)])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, ...]) -> None:
    """States up to 200, as behind AlexNet's first layer, where the divisor is far from k."""
    draw = torch.Generator().manual_seed(0)
    states, errors = (torch.randn(*shape, generator=draw) for _ in range(2))
    states = (50 * states).requires_grad_()
    plain = F.local_response_norm(states, 5, alpha=5e-4, beta=0.75, k=2.0)
    (expected,) = torch.autograd.grad(plain, states, errors)
    quick = response_norm(states, 2.0, 1e-4)
    (found,) = torch.autograd.grad(quick, states, errors)
    torch.testing.assert_close(quick, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_layer_takes_the_kernel_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def noted(states: torch.Tensor, *_: float, **__: bool) -> torch.Tensor:
        calls.append(states.numel())
        return states

    monkeypatch.setattr("threegen.gen2.response_norm.response_norm", noted)
    layer = ResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    large, small = torch.ones(1, 16, 64, 64), torch.ones(1, 4, 8, 8)
    layer(large), layer(small), layer(large.double()), layer.eval()(large)
    ResponseNorm(3, alpha=5e-4, beta=0.75, k=2.0)(large), ResponseNorm(5, alpha=5e-4, beta=0.5, k=2.0)(large)
    assert calls == [65_536]


@pytest.mark.parametrize("shape", [(3, 9, 4, 5), (2, 3, 9, 8)])
def test_rectified_states_are_those_of_torch(shape: tuple[int, ...]) -> None:
    """Zero and NaN among them: torch's `relu` lets NaN pass, and its gradient at 0 is 0."""
    draw = torch.Generator().manual_seed(1)
    states, errors = (torch.randn(*shape, generator=draw) for _ in range(2))
    states = 50 * states
    states[0, 0, 0, 0], states[1, 2, 3, 3] = 0.0, torch.nan
    states.requires_grad_()
    plain = F.local_response_norm(F.relu(states), 5, alpha=5e-4, beta=0.75, k=2.0)
    (expected,) = torch.autograd.grad(plain, states, errors)
    quick = response_norm(states, 2.0, 1e-4, rectified=True)
    (found,) = torch.autograd.grad(quick, states, errors)
    assert plain.isnan().any()
    assert expected.isnan().any()
    torch.testing.assert_close(quick, plain, rtol=1e-5, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def parts() -> list[nn.Module]:
    return [nn.Identity(), nn.ReLU(), ResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0), nn.ReLU()]


def test_a_rectifier_before_the_norm_runs_in_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hooks, for small states, in evaluation and for a sub-class each part is called: the same values."""
    rectified: list[bool] = []

    def noted(states: torch.Tensor, *settings: Any, **named: bool) -> torch.Tensor:
        rectified.append(bool(named))
        return response_norm(states, *settings, **named)

    monkeypatch.setattr("threegen.gen2.response_norm.response_norm", noted)
    states = 50 * torch.randn(2, 16, 64, 64, generator=torch.Generator().manual_seed(2))
    net = nn.Sequential(*parts())
    expected = nn.Sequential(*parts()).eval()(states)
    torch.testing.assert_close(run_parts(net, states), expected, rtol=1e-5, atol=1e-5)
    assert rectified == [True]

    seen: list[torch.Tensor] = []
    hook = net[1].register_forward_hook(lambda part, given, made: seen.append(made))
    torch.testing.assert_close(run_parts(net, states), expected, rtol=1e-5, atol=1e-5)
    assert rectified == [True, False]
    assert torch.equal(seen[0], states.relu())
    hook.remove()

    class Doubled(nn.ReLU):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    net[1] = Doubled()
    other = parts()
    other[1] = Doubled()
    torch.testing.assert_close(run_parts(net, states), nn.Sequential(*other).eval()(states), rtol=1e-5, atol=1e-5)
    assert rectified == [True, False, False]
