"""Optimisers must move weights alike however they and their gradients lie in memory: torch's elementary ones do."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import threegen as tg

OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {"weight_decay": 0.1, "amsgrad": True},
    "adamw": {},
    "adagrad": {"lr_decay": 0.1},
    "sgd": {"weight_decay": 0.1},
    "momentum": {"dampening": 0.1, "momentum": 0.9},
    "nesterov": {"nesterov": True, "momentum": 0.9},
}
PLAIN: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
    **dict.fromkeys(("sgd", "momentum", "nesterov"), torch.optim.SGD),
}


def turned(matrix: Tensor) -> Tensor:
    return matrix.t().contiguous().t()


@pytest.mark.parametrize("by_columns", [False, True], ids=["gradient by rows", "gradient by columns"])
@pytest.mark.parametrize("lies", ["rows", "columns"])
@pytest.mark.parametrize("name", PLAIN)
def test_updates_are_those_of_torch(name: str, lies: str, by_columns: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start, bias = torch.randn(5, 7, generator=generator), torch.randn(5, generator=generator)
    ours = [nn.Parameter(turned(start) if lies == "columns" else start.clone()), nn.Parameter(bias.clone())]
    theirs = [nn.Parameter(start.clone()), nn.Parameter(bias.clone())]
    options = {"lr": 0.1, **OPTIONS[name]}
    built = tg.optimizer(name, decay_biases=True, **options).build(ours)
    plain = PLAIN[name](theirs, foreach=False, **options)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            b.grad = torch.randn(b.shape, generator=generator)
            a.grad = turned(b.grad) if by_columns and b.dim() == 2 else b.grad.clone()
        built.step()
        plain.step()
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    assert ours[0].stride() == ((1, 5) if lies == "columns" else (7, 1))
    shapes = {key: value.shape for key, value in built.state[ours[0]].items() if key != "step"}
    assert set(shapes.values()) == (set() if name == "sgd" else {ours[0].shape})
    assert set(map(id, built.state)) <= set(map(id, ours))  # kept by parameter, not by views of them


def test_a_saved_state_is_torchs_own() -> None:
    weight = nn.Parameter(turned(torch.ones(3, 4)))
    weight.grad = torch.ones(3, 4)
    built = tg.optimizer("adam").build([weight])
    built.step()
    other = torch.optim.Adam([nn.Parameter(torch.ones(3, 4))])
    other.load_state_dict(built.state_dict())
    (state,) = other.state.values()
    torch.testing.assert_close(state["exp_avg"], torch.full((3, 4), 0.1))


@pytest.mark.parametrize("name", PLAIN)
def test_a_state_of_weights_that_lay_otherwise_is_taken_over(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start, first, second = (torch.randn(5, 7, generator=generator) for _ in range(3))
    rows, columns = nn.Parameter(start.clone()), nn.Parameter(turned(start))
    optimizers = [tg.optimizer(name, lr=0.1).build([weight]) for weight in (rows, columns)]
    rows.grad = first
    optimizers[0].step()
    with torch.no_grad():
        columns.copy_(rows)
    optimizers[1].load_state_dict(deepcopy(optimizers[0].state_dict()))  # torch would share its tensors
    for weight, built in zip((rows, columns), optimizers, strict=True):
        weight.grad = second.clone()
        built.step()
    torch.testing.assert_close(columns, rows)
