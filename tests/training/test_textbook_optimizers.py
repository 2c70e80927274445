"""The textbook's update rules against their written formulas, in plain Python numbers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from threegen.errors import ConfigError
from threegen.training.optimizers.build import optimizer, optimizer_names
from threegen.training.optimizers.textbook import PreviousGradient, TextbookAdam

GRADIENTS = [0.3, -0.2, 1e-7, 4.0, 0.0, -0.6]


def walk(make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]) -> list[float]:
    """The places of one float64 parameter that starts at 1 and is given the gradients above."""
    place = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer, places = make([place]), []
    for gradient in GRADIENTS:
        place.grad = torch.full_like(place, gradient)
        optimizer.step()
        places.append(place.item())
    return places


def test_adam_with_epsilon_beside_the_root() -> None:
    w, m, v, wanted = 1.0, 0.0, 0.0, []
    for t, g in enumerate(GRADIENTS, start=1):
        rate = 0.01 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m += (1 - 0.9) * (g - m)
        v += (1 - 0.999) * (g * g - v)
        w -= rate * m / (math.sqrt(v) + 1e-7)
        wanted.append(w)
    assert walk(lambda p: TextbookAdam(p, lr=0.01)) == pytest.approx(wanted, abs=1e-14)


@pytest.mark.parametrize(("name", "decay"), [("textbook-adagrad", None), ("textbook-rmsprop", 0.99)])
def test_adaptive_rates_by_name(name: str, decay: float | None) -> None:
    """h <- h + g^2, or h <- .99 h + .01 g^2; w <- w - lr g / (sqrt(h) + 1e-7). The third gradient shows epsilon."""
    w, h, wanted = 1.0, 0.0, []
    for g in GRADIENTS:
        h = h + g * g if decay is None else decay * h + (1 - decay) * g * g
        w -= 0.01 * g / (math.sqrt(h) + 1e-7)
        wanted.append(w)
    assert walk(optimizer(name, lr=0.01).build) == pytest.approx(wanted, abs=1e-14)
    small = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    small.grad = torch.full_like(small, 1e-8)
    optimizer(name, lr=1.0).build([small]).step()
    root = 1e-8 if decay is None else 1e-9
    assert small.item() == pytest.approx(-1e-8 / (root + 1e-7))


def test_the_others_by_name() -> None:
    for name, kind in (("textbook-adam", TextbookAdam), ("previous-gradient", PreviousGradient)):
        assert name in optimizer_names()
        assert isinstance(optimizer(name, lr=0.1).build([torch.nn.Parameter(torch.zeros(1))]), kind)


def test_the_place_of_epsilon_shows_in_small_gradients() -> None:
    """One step from g = 1e-6: textbook lr g / (g + 1e-7 / sqrt(1 - .999)); torch's form lr g / (g + 1e-7)."""
    place = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    place.grad = torch.full_like(place, 1e-6)
    TextbookAdam([place], lr=1.0).step()
    assert place.item() == pytest.approx(-1e-6 / (1e-6 + 1e-7 / math.sqrt(0.001)), rel=1e-6)
    other = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    other.grad = torch.full_like(other, 1e-6)
    torch.optim.Adam([other], lr=1.0, eps=1e-7).step()
    assert other.item() == pytest.approx(-1e-6 / (1e-6 + 1e-7), rel=1e-6)


def test_previous_gradient_is_not_momentum() -> None:
    w, before, wanted = 1.0, 0.0, []
    for g in GRADIENTS:
        w -= 0.05 * g + 0.1 * before
        before = g
        wanted.append(w)
    assert walk(lambda p: PreviousGradient(p, lr=0.05, correction=0.1)) == pytest.approx(wanted, abs=1e-15)
    momentum = walk(lambda p: torch.optim.SGD(p, lr=0.05, momentum=2.0))  # agrees for two steps, then remembers more
    assert momentum[:2] == pytest.approx(wanted[:2])
    assert momentum[2] != pytest.approx(wanted[2])


@pytest.mark.parametrize("kind", [TextbookAdam, PreviousGradient])
def test_the_state_goes_through_a_round_trip(kind: Any) -> None:
    one, two = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    first = kind([one])
    for number in range(4):
        one.grad = torch.full((3,), 0.1 * number)
        if number == 2:
            with torch.no_grad():
                two.copy_(one)
            second = kind([two])
            second.load_state_dict(copy.deepcopy(first.state_dict()))
        first.step()
        if number >= 2:
            two.grad = one.grad.clone()
            second.step()
    assert torch.equal(one, two)


def test_bad_settings_are_named() -> None:
    place = [torch.nn.Parameter(torch.zeros(1))]
    with pytest.raises(ConfigError, match="lr must be"):
        TextbookAdam(place, lr=0.0)
    with pytest.raises(ConfigError, match=r"betas\[1\] must be"):
        TextbookAdam(place, betas=(0.9, 1.0))
    with pytest.raises(ConfigError, match="correction must be"):
        PreviousGradient(place, correction=-1.0)
