"""The belief net trained as in its paper: balanced batches, growing steps, and stages that continue."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.errors import DataError
from threegen.figures import paper_belief_net
from threegen.figures.paper_belief_net import GrowingSteps, balanced, paper_split, up_down_net
from threegen.randomness import make_generator
from threegen.registry.pretraining import GreedySchedule
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.training.schedules import Progress


def digits(count: int = 300) -> Dataset:
    inputs = torch.rand(count, 1, 4, 4, generator=make_generator("digits")).round()
    return Dataset(inputs, (7 * torch.arange(count)) % 10, tuple("0123456789"))


def test_ten_neighbours_have_ten_classes() -> None:
    found = balanced(digits(), 200, seed=1)
    assert len(found) == 200
    assert found.targets is not None
    assert found.targets.view(20, 10).tolist() == [list(range(10))] * 20
    images = {tuple(row) for row in digits().inputs.flatten(1).tolist()}
    assert all(tuple(row) in images for row in found.inputs.flatten(1).tolist())
    assert not torch.equal(found.inputs, balanced(digits(), 200, seed=2).inputs)
    with pytest.raises(DataError, match="no labels"):
        balanced(Dataset(digits().inputs), 100, seed=0)


def test_steps_grow_by_thirds() -> None:
    rule, schedule = ContrastiveDivergence(), GrowingSteps(GreedySchedule(0.05), (1, 2, 3))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.1)
    seen = []
    for done in (0, 29, 30, 59, 60, 90):
        schedule(Progress(batches_done=done, batches_total=90), optimizer, rule)
        seen.append(rule.steps)
    assert seen == [1, 1, 2, 2, 3, 3]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.02)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_a_longer_run_continues_a_shorter_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole recipe in miniature; held-out images are tested after each epoch, and more epochs can be added."""
    for name, value in (("SIZES", (16, 8, 8, 12)), ("HELD_OUT", 50), ("CASES", 200), ("EPOCHS", 2), ("BATCH", 20)):
        monkeypatch.setattr(paper_belief_net, name, value)
    data, weights = digits(), []
    assert len(paper_split(data, 0).validation) == 50
    for folder, epochs in (("once", 3), ("twice", 1), ("twice", 3)):
        monkeypatch.setattr(paper_belief_net, "UP_DOWN_EPOCHS", {3: epochs})
        monkeypatch.setattr(paper_belief_net, "LAST_EPOCHS", 0 if epochs == 1 else 1)
        dbn, seconds = up_down_net(0, data, folder=tmp_path / folder)
        assert seconds > 0
        weights.append(dbn.state_dict())
    log = (tmp_path / "twice" / "paper-0-3" / "epochs.jsonl").read_text().splitlines()
    assert len(log) == 3
    assert all("validation_accuracy" in line for line in log)
    for name, value in weights[0].items():
        assert name.startswith("layers") or not torch.equal(value, weights[1][name])
        torch.testing.assert_close(value, weights[2][name])
