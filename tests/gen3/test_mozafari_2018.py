"""The shallow net of 2018: edges and their inhibition, first spikes that answer, dropout, reward by a kernel."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import threegen as tg
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, Interrupted, ShapeError
from threegen.gen3.mozafari_2018 import Mozafari2018, gabor_filter, inhibit_weaker
from threegen.gen3.ordered_conv import DecisionConv
from threegen.gen3.parts import Use
from threegen.registry.shallow_reward import MapDropout, shallow_reward_stages
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.rule import PlainSGD, Step
from threegen.testing import check_model
from threegen.training.fit import fit
from threegen.training.loop import Callback, Training

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return tg.load_data("mnist").train.take(200)


def small(seed: int = 0) -> Mozafari2018:
    return Mozafari2018(maps=40, generator=torch.Generator().manual_seed(seed))


def test_a_gabor_filter_by_hand() -> None:
    """Before mean and scale: 1 in the middle, exp(-(1 + .3 0) / 8) cos(2 pi / 2.5) a row away for direction 0."""
    found = gabor_filter(5, 0.0)
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-12)
    assert float(found.max()) == pytest.approx(1.0)
    near = math.exp(-1 / 8) * math.cos(2 * math.pi / 2.5)
    beside = math.exp(-0.3 / 8)
    ratio = (found[2, 2] - found[1, 2]) / (found[2, 2] - found[2, 1])
    assert float(ratio) == pytest.approx((1 - near) / (1 - beside))
    with pytest.raises(ConfigError, match="odd"):
        gabor_filter(4, 0.0)


def test_stronger_neighbours_inhibit() -> None:
    """Values 3, 2, 1 in a row: 2 loses .15 for the 3 beside it, 1 loses .15 and .12."""
    found = inhibit_weaker(torch.tensor([3.0, 2.0, 1.0]).view(1, 1, 1, 3))
    assert found.flatten().tolist() == pytest.approx([3.0, 2 * 0.85, 1 - 0.27])


def test_one_direction_a_place_and_sizes(digits: Dataset) -> None:
    model = small()
    encoded = model.encode(digits.inputs[:3])
    assert encoded.shape == (3, *model.c1_shape) == (3, 4, 14, 14)
    assert int((encoded < model.steps).sum(1).max()) == 1
    assert Mozafari2018(shape=(1, 40, 30), pool=7, stride=3, kernel=9).c1_shape == (4, 14, 10)


def test_it_keeps_the_contract_of_models() -> None:
    def make(generator: torch.Generator) -> Mozafari2018:
        return Mozafari2018(maps=20, threshold=20.0, generator=generator)

    assert check_model(make, IMAGES, classes=10)


def test_scores_are_those_of_its_layer(digits: Dataset) -> None:
    """And their gradient: the inputs that have arrived at the first spike, over the largest sum."""
    model = small()
    scores = model(digits.inputs[:5])
    assert torch.equal(scores, model.s2(model.encode(digits.inputs[:5])))
    scores[0, 3].backward()
    gradient = model.s2.weight.grad
    assert gradient is not None
    moved = gradient.flatten(1).any(1).nonzero().ravel().tolist()
    assert len(moved) == 1
    assert moved[0] // 4 == 3
    assert gradient.max() == pytest.approx(1 / (4 * 12 * 12 + 1))
    potential = (gradient[moved[0]] * model.s2.weight.detach()[moved[0]]).sum()
    assert float(scores.detach()[0, 3] % 1) == pytest.approx(float(potential), abs=1e-5)


@pytest.mark.parametrize("dropped", [False, True])
def test_the_kernel_is_the_rule_of_plain_tensors(digits: Dataset, dropped: bool) -> None:
    """The same verdicts, weights and shares in every bit."""
    assert digits.targets is not None
    model = small()
    batch = Batch(model.encode(digits.inputs[:60]), digits.targets[:60])
    results = []
    for fused in (False, True):
        generator = torch.Generator().manual_seed(3)
        layer = DecisionConv(4, 40, 12, classes=10, threshold=30.0, bounds=(0.0, 1.0), strict=True, generator=generator)
        if dropped:
            layer.dropped[::3] = True
        rule = RewardSTDP(10, stabiliser=True, floor=0.2, window=25, fused=fused)
        rule.hand_over(PlainSGD([{"lr": 1.0}]))
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
        rewards = []
        for step in rule(layer, batch, torch.Generator()):
            if step.pending:
                optimizer.step()
                optimizer.zero_grad()
                layer.project()
            rewards.append(float(step.figures["reward"]))
        results.append((layer.weight.detach().clone(), sum(rewards) / len(rewards), rule.state_dict()))
        assert not dropped or torch.equal(
            layer.weight[::3],
            DecisionConv(
                4, 40, 12, classes=10, threshold=30.0, bounds=(0.0, 1.0), generator=torch.Generator().manual_seed(3)
            ).weight[::3],
        )
    (plain, mean, state), (quick, found, other) = results
    assert torch.equal(plain, quick)
    assert found == pytest.approx(mean)
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_dropout_is_drawn_for_each_batch() -> None:
    layer = small().s2
    dropout, seen = MapDropout(layer, 0.5), []
    for number in (0, 1, 0):
        dropout(tg.training.Progress(batches_done=number), torch.optim.SGD(layer.parameters()), RewardSTDP(10))
        seen.append(layer.dropped.clone())
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    assert 5 < int(seen[0].sum()) < 35


class Kill(Callback):
    """Ctrl-C after so many batches."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_step(self, run: Training, step: Step) -> None:
        self.left -= 1
        if self.left == 0:
            run.interrupts.asked = True


def test_it_learns_and_a_killed_run_resumes_bit_equal(digits: Dataset, tmp_path: Path) -> None:
    whole, parts, resumed = small(), small(), small(seed=1)

    def stages(model: Mozafari2018) -> list[tg.training.Stage]:
        return shallow_reward_stages(model, passes=12, window=100, reward=(0.05, 0.025), punish=(0.05, 0.005))

    log = fit(whole, stages(whole), digits)
    rewards = [record["reward"] for record in log.epochs]
    assert max(rewards[6:]) > rewards[0] + 0.2
    assert not whole.s2.dropped.any()
    with pytest.raises(Interrupted):
        fit(parts, stages(parts), digits, out=tmp_path / "run", callbacks=Kill(5))
    fit(resumed, stages(resumed), digits, out=tmp_path / "run", resume=True)
    assert torch.equal(whole.s2.weight, resumed.s2.weight)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="grey images"):
        Mozafari2018(shape=(3, 28, 28))
    with pytest.raises(ConfigError, match="does not fit"):
        Mozafari2018(kernel=15)
    with pytest.raises(ConfigError, match="at most 255"):
        Mozafari2018(steps=300)
    with pytest.raises(ShapeError, match="expects images"):
        small()(torch.rand(2, 1, 27, 28))
    with pytest.raises(ConfigError, match="trains a Mozafari2018"):
        shallow_reward_stages(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="share"):
        MapDropout(small().s2, 1.0)


def test_the_cost_of_an_answer(digits: Dataset) -> None:
    """Additions by a plain product of the spikes with ones; each of 40 x 3 x 3 neurons is compared in each step."""
    model, images = small(), digits.inputs[:2]
    edges, layer = model.cost(Use((images,), model(images), ("values",)))
    assert edges.operations["mac"] == 2 * 28 * 28 * 4 * 25
    fired = (model.encode(images) < model.steps).double()
    reached = torch.nn.functional.conv2d(fired, torch.ones(40, 4, 12, 12, dtype=torch.float64))
    assert layer.operations == {"ac": int(reached.sum()), "threshold": 15 * 2 * 40 * 9}
    assert "not counted" not in str(tg.count(model, images))
