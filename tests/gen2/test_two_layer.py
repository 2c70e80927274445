"""The two-layer net of every first lesson: its gradient by hand, its table, XOR."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.gen2.two_layer import TwoLayerNet
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.optimizers.textbook import PreviousGradient

TABLE = Dataset(
    torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]), torch.tensor([[0.0], [1], [1], [0]]), name="table"
)
XOR = Dataset(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.0], [1], [1], [0]]), name="xor")


def sigmoid(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))


def gradients(parts: list[np.ndarray], x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The equations at the top of `two_layer.py`, summed over the rows of `x`: outputs and dE/d(W1, b1, W2, b2)."""
    w1, b1, w2, b2 = parts
    h = sigmoid(x @ w1.T + b1)
    y = sigmoid(h @ w2.T + b2)
    d2 = (y - t) * y * (1 - y)
    d1 = d2 @ w2 * h * (1 - h)
    return y, [d1.T @ x, d1.sum(0), d2.T @ h, d2.sum(0)]


def numbers(model: torch.nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def test_the_gradient_is_the_hand_derived_one() -> None:
    model = TwoLayerNet(3, 4, 2, generator=torch.Generator().manual_seed(0)).double()
    x = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    t = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    list(Backprop("sse")(model, Batch(x, t), torch.Generator()))
    y, wanted = gradients(numbers(model), x.numpy(), t.numpy())
    np.testing.assert_allclose(model(x).detach().numpy(), y, atol=1e-12)
    for parameter, sum_of_rows in zip(model.parameters(), wanted, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy() * 6, sum_of_rows, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_four_row_table(seed: int) -> None:
    """1,500 iterations over all four rows; the lesson adds dE'/dW with E' = sum (t - y)^2, 8 times the mean of 1/2."""
    model = TwoLayerNet(3, 4, bias=False, generator=torch.Generator().manual_seed(seed))
    log = fit(model, Backprop("sse"), TABLE, optimizer="sgd", lr=8.0, epochs=1500, batch_size=4, shuffle=False)
    losses = [step["loss"] for step in log.steps]
    assert len(losses) == 1500
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert (model(TABLE.inputs) - TABLE.targets).abs().max() < 0.05


def test_xor_by_the_previous_gradient() -> None:
    """2-5-1, one pattern at a time, .05 g[t] + .1 g[t-1]: as by hand for 50 passes; by hand for 10,000 it learns."""
    model = TwoLayerNet(2, 5, generator=torch.Generator().manual_seed(0)).double()
    parts = numbers(model)
    fit(
        model,
        Backprop("sse"),
        XOR.to(dtype=torch.float64),
        optimizer=lambda parameters: PreviousGradient(parameters, lr=0.05, correction=0.1),
        epochs=50,
        batch_size=1,
        shuffle=False,
    )
    x, t = XOR.inputs.numpy(), XOR.targets.numpy()
    previous = [np.zeros_like(part) for part in parts]
    for turn in range(10_000):
        if turn == 50:
            for mine, wanted in zip(numbers(model), parts, strict=True):
                np.testing.assert_allclose(mine, wanted, atol=1e-9)
        for row in range(4):
            found = gradients(parts, x[row : row + 1], t[row : row + 1])[1]
            for part, now, before in zip(parts, found, previous, strict=True):
                part -= 0.05 * now + 0.1 * before
            previous = found
    outputs = gradients(parts, x, t)[0].ravel()
    assert max(outputs[0], outputs[3]) < 0.1
    assert min(outputs[1], outputs[2]) > 0.9


def test_without_biases() -> None:
    model = TwoLayerNet(3, 4, bias=False)
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(4, 3), (1, 4)]
