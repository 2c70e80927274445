"""Truncated back-propagation through time: gradients against the written definition, windows, the carried state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.gen2.recurrent import RecurrentNet
from threegen.rules.truncated_bptt import TruncatedBPTT
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit

SEQUENCE = torch.randn(4, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
EVERY = torch.randint(0, 2, (4, 7), generator=torch.Generator().manual_seed(1))


def net(cell: str = "elman") -> RecurrentNet:
    return RecurrentNet(3, 5, 2, cell=cell, generator=torch.Generator().manual_seed(2)).double()


def run(rule: TruncatedBPTT, model: RecurrentNet, batch: Batch) -> list[Any]:
    return list(rule(model, batch, torch.Generator()))


@pytest.mark.parametrize("window", [1, 2, 3, 7, 20, None])
def test_gradient_is_cut_at_the_windows(window: int | None) -> None:
    """An Elman net by hand, its state detached at every multiple of the window; mean over all 28 scores."""
    model, other = net(), net()
    run(TruncatedBPTT(window), model, Batch(SEQUENCE, EVERY))
    cell = other.recurrent
    h, losses = torch.zeros(4, 5, dtype=torch.float64), []
    for t in range(7):
        if window and t % window == 0:
            h = h.detach()
        h = torch.tanh(
            SEQUENCE[:, t] @ cell.weight_ih_l0.T + h @ cell.weight_hh_l0.T + cell.bias_ih_l0 + cell.bias_hh_l0
        )
        losses.append(F.cross_entropy(other.readout(h), EVERY[:, t]))
    torch.stack(losses).mean().backward()
    for mine, wanted in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine.grad, wanted.grad, atol=1e-12)


def test_labels_after_the_last_step_use_the_last_window() -> None:
    """Window 3 of 7: the state after 4 steps is a constant."""
    model, other = net(), net()
    (step,) = run(TruncatedBPTT(3), model, Batch(SEQUENCE, EVERY[:, -1]))
    with torch.no_grad():
        _, state = other.walk(SEQUENCE[:, :4])
    loss = F.cross_entropy(other.walk(SEQUENCE[:, 4:], state)[0][:, -1], EVERY[:, -1])
    loss.backward()
    assert step.figures["loss"].item() == pytest.approx(loss.item())
    for mine, wanted in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine.grad, wanted.grad, atol=1e-12)


def test_one_update_a_window() -> None:
    """7 steps in windows of 3: three yields; the first one's gradient is that of the first window alone."""
    model, other = net(), net()
    walk = TruncatedBPTT(3, update="window")(model, Batch(SEQUENCE, EVERY), torch.Generator())
    next(walk)
    F.cross_entropy(other.walk(SEQUENCE[:, :3])[0].flatten(0, 1), EVERY[:, :3].flatten()).backward()
    assert torch.allclose(model.recurrent.weight_hh_l0.grad, other.recurrent.weight_hh_l0.grad, atol=1e-12)
    assert len(list(walk)) == 2
    assert TruncatedBPTT(3, update="window").updates_per_batch is None
    assert TruncatedBPTT(3).updates_per_batch == 1


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_the_carried_state_joins_batches(cell: str) -> None:
    """Two batches of 4 and 3 steps with carry: the losses are those of the sequence read in one piece."""
    rule, model = TruncatedBPTT(carry=True), net(cell)
    losses = [
        run(rule, model, Batch(SEQUENCE[:, part], EVERY[:, part]))[0].figures["loss"].item()
        for part in (slice(0, 4), slice(4, 7))
    ]
    scores, _ = model.walk(SEQUENCE)
    each = F.cross_entropy(scores.flatten(0, 1), EVERY.flatten(), reduction="none").view(4, 7)
    assert losses == pytest.approx([each[:, :4].mean().item(), each[:, 4:].mean().item()])
    other = TruncatedBPTT(carry=True)
    other.load_state_dict(rule.state_dict())
    assert set(other.state_dict()) == ({"state0"} if cell == "elman" else {"state0", "state1"})
    with pytest.raises(ConfigError, match="the state is that of 4 sequences, this batch has 2"):
        run(other, model, Batch(SEQUENCE[:2], EVERY[:2]))
    with pytest.raises(CheckpointError, match="the checkpoint has velocity"):
        other.load_state_dict({"velocity": torch.zeros(1)})


def test_it_learns_what_lies_ten_steps_back() -> None:
    """The label is the sign of the first of 10 steps, the rest is noise."""
    signs = torch.randint(0, 2, (256,), generator=torch.Generator().manual_seed(0))
    sequence = 0.1 * torch.randn(256, 10, 2, generator=torch.Generator().manual_seed(1))
    sequence[:, 0, 0] = 2.0 * signs - 1.0
    data = Dataset(sequence, signs, ("minus", "plus"))
    model = RecurrentNet(2, 8, 2, generator=torch.Generator().manual_seed(3))
    assert evaluate(model, data, top_k=(1,)).accuracy < 0.8
    fit(model, TruncatedBPTT(), data, lr=0.02, epochs=30, batch_size=32)
    assert evaluate(model, data, top_k=(1,)).accuracy > 0.99


def test_bad_batches_and_models_are_named() -> None:
    with pytest.raises(DataError, match=r"targets must be \[B\] or \[B, T\] = \[4, 7\].*got \[4, 6\]"):
        run(TruncatedBPTT(), net(), Batch(SEQUENCE, EVERY[:, :6]))
    with pytest.raises(DataError, match="label 3 at index 0"):
        run(TruncatedBPTT(), net(), Batch(SEQUENCE, EVERY + 2))
    with pytest.raises(ConfigError, match=r"TruncatedBPTT needs a model with as_sequence\(\), Linear has none"):
        TruncatedBPTT().check(torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="window must be a whole number"):
        TruncatedBPTT(0)
    with pytest.raises(ConfigError, match=r"update is 'windows'.*did you mean 'window'"):
        TruncatedBPTT(update="windows")
