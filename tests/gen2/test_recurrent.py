"""Recurrent nets: their equations step by step, their initial values, what they take and refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from threegen.errors import ConfigError, ShapeError
from threegen.gen2.recurrent import RecurrentNet


def made(cell: str, **options: object) -> RecurrentNet:
    """A net of 3 inputs, 4 units and 2 scores in float64, every weight and bias drawn anew."""
    model = RecurrentNet(3, 4, 2, cell=cell, **options).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7, generator=torch.Generator().manual_seed(parameter.numel()))
    return model


def by_hand(model: RecurrentNet, sequence: Tensor) -> Tensor:
    """The equations at the top of `recurrent.py`, one step after the other; torch keeps two biases a layer."""
    w, u, b, a = (getattr(model.recurrent, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = c = torch.zeros(len(sequence), model.hidden, dtype=torch.float64)
    scores = []
    for x in sequence.unbind(1):
        from_input, from_state = x @ w.T + b, h @ u.T + a
        if model.cell == "elman":
            h = torch.tanh(from_input + from_state)
        elif model.cell == "lstm":
            i, f, g, o = (from_input + from_state).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            (xr, xz, xn), (hr, hz, hn) = from_input.chunk(3, 1), from_state.chunk(3, 1)
            r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
            h = (1 - z) * torch.tanh(xn + r * hn) + z * h
        scores.append(h @ model.readout.weight.T + model.readout.bias)
    return torch.stack(scores, 1)


SEQUENCE = torch.randn(5, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_documented_equations(cell: str) -> None:
    model = made(cell)
    expected = by_hand(model, SEQUENCE)
    assert torch.allclose(model.walk(SEQUENCE)[0], expected, atol=1e-12)
    assert torch.allclose(model(SEQUENCE), expected[:, -1], atol=1e-12)


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_windows_join(cell: str, layers: int) -> None:
    """Read in pieces of 3, 3 and 1 steps, the state handed on: the same scores as in one piece."""
    model, state, pieces = made(cell, layers=layers), None, []
    for piece in SEQUENCE.split(3, dim=1):
        scores, state = model.walk(piece, state)
        pieces.append(scores)
    assert torch.allclose(torch.cat(pieces, 1), model.walk(SEQUENCE)[0], atol=1e-12)


def test_the_rows_of_an_image_are_the_steps() -> None:
    model = RecurrentNet(28, 5, 10, generator=torch.Generator().manual_seed(0))
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(images), model(images[:, 0]))


def test_initial_values() -> None:
    """Orthogonal recurrent matrices, inputs within glorot's sqrt(6 / (20 + 30)), biases 0 but for the forget gate."""
    model = RecurrentNet(20, 30, 10, cell="lstm", generator=torch.Generator().manual_seed(0))
    for gate in model.recurrent.weight_hh_l0.split(30):
        assert torch.allclose(gate @ gate.T, torch.eye(30), atol=1e-5)
    bound = (6 / 50) ** 0.5
    assert 0.95 * bound < model.recurrent.weight_ih_l0.abs().max().item() <= bound
    together = model.recurrent.bias_ih_l0 + model.recurrent.bias_hh_l0
    assert torch.equal(together, torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(30))  # i, f, g, o


def test_weights_depend_on_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, two = (RecurrentNet(3, 4, 2, cell="gru", generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_bad_settings_and_inputs_are_named() -> None:
    with pytest.raises(ConfigError, match=r"cell is 'ltsm'.*did you mean 'lstm'"):
        RecurrentNet(3, 4, 2, cell="ltsm")
    with pytest.raises(ConfigError, match="hidden must be a whole number"):
        RecurrentNet(3, 0, 2)
    model = RecurrentNet(3, 4, 2)
    for wrong in (torch.zeros(2, 3), torch.zeros(2, 5, 4), torch.zeros(2, 3, 5, 3), torch.zeros(2, 0, 3)):
        with pytest.raises(ShapeError, match=r"RecurrentNet expects sequences \[B, T, 3\]"):
            model(wrong)
