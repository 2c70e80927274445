"""Policy gradient: returns by hand, the gradient against full enumeration, exploring against exploiting."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.gen2.mlp import MLP
from threegen.rules.policy_gradient import PolicyGradient


class Ladder:
    """Two actions: 1 climbs and pays as many as the rung (1, 2, 3), 0 steps off. What is observed: the rung."""

    def begin(self, starts: Tensor) -> Tensor:
        self.rung = torch.ones(len(starts), 1, dtype=starts.dtype)
        return self.rung

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reward = torch.where(actions == 1, self.rung[:, 0], 0.0)
        over = (actions == 0) | (self.rung[:, 0] == 3)
        self.rung = self.rung + 1
        return self.rung, reward, over


class Arms:
    """One step, three arms; the pay of arm k is k. What is observed does not matter."""

    def begin(self, starts: Tensor) -> Tensor:
        return starts

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(len(actions), 1), actions.float(), torch.ones(len(actions), dtype=torch.bool)


def climber() -> MLP:
    return MLP([1, 2], init=0.5, generator=torch.Generator().manual_seed(0)).double()


def test_returns_by_hand() -> None:
    """A policy that always climbs earns 1, 2, 3; discounted by 1/2: 1 + 1 + 3/4, 2 + 3/2, 3."""
    model = climber()
    with torch.no_grad():
        model.layers.linear1.bias.copy_(torch.tensor([-50.0, 50.0]))
    played = PolicyGradient(Ladder(), discount=0.5).play(
        model, torch.zeros(2, 1, dtype=torch.float64), torch.Generator()
    )
    assert played.rewards.tolist() == [6.0, 6.0]
    assert played.returns.tolist() == [2.75, 2.75, 3.5, 3.5, 3.0, 3.0]
    assert played.observed[:, 0].tolist() == [1, 1, 2, 2, 3, 3]


def test_the_mean_gradient_is_that_of_the_expected_return() -> None:
    """E[return] = p1 (1 + p2 (2 + p3 3)), p_r the chance of climbing at rung r; 20,000 episodes, 4 standard errors."""
    model, other = climber(), climber()
    chance = other(torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)).softmax(1)[:, 1]
    (-(chance[0] * (1 + chance[1] * (2 + 3 * chance[2])))).backward()
    rule = PolicyGradient(Ladder(), discount=1.0, baseline="none")
    found = []
    for part in range(20):
        model.zero_grad()
        starts = torch.zeros(1000, 1, dtype=torch.float64)
        list(rule(model, Batch(starts), torch.Generator().manual_seed(part)))
        found.append(model.layers.linear1.weight.grad.clone())
    parts = torch.stack(found)
    error = parts.std(0) / len(parts) ** 0.5
    wanted = other.layers.linear1.weight.grad
    assert bool(((parts.mean(0) - wanted).abs() < 4 * error).all())
    assert wanted.abs().min() > 10 * error.max()  # the test can tell the sign and the size


def learn(explore: bool, seed: int) -> float:
    """The chance of the best arm after 200 updates of 8 pulls, from a policy that likes the middle one."""
    model = MLP([1, 3], init="zeros")
    with torch.no_grad():
        model.layers.linear1.bias.copy_(torch.tensor([0.0, 0.5, 0.0]))
    rule, optimizer = PolicyGradient(Arms(), explore=explore), torch.optim.SGD(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(200):
        for _ in rule(model, Batch(torch.zeros(8, 1)), generator):
            optimizer.step()
            optimizer.zero_grad()
    return model(torch.zeros(1, 1)).softmax(1)[0, 2].item()


def test_exploring_finds_the_best_arm_and_exploiting_does_not() -> None:
    assert min(learn(True, seed) for seed in range(3)) > 0.9
    assert learn(False, 0) < 0.3


def test_the_entropy_bonus_pulls_towards_chance() -> None:
    """Without any reward the gradient is that of -entropy: the likeliest action becomes less likely."""
    model = MLP([1, 3], init="zeros")
    with torch.no_grad():
        model.layers.linear1.bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    rule = PolicyGradient(Arms(), entropy=1.0)
    (step,) = rule(model, Batch(torch.zeros(1, 1)), torch.Generator().manual_seed(0))  # one pull: no advantage
    assert model.layers.linear1.bias.grad[1] > 0
    chances = torch.tensor([0.0, 2.0, 0.0]).softmax(0)
    assert step.figures["entropy"].item() == pytest.approx(-(chances * chances.log()).sum().item())


def test_an_endless_episode_is_cut() -> None:
    class Endless(Arms):
        def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return torch.zeros(len(actions), 1), torch.ones(len(actions)), torch.zeros(len(actions), dtype=torch.bool)

    rule = PolicyGradient(Endless(), most_steps=5)
    assert rule.play(MLP([1, 2]), torch.zeros(2, 1), torch.Generator()).rewards.tolist() == [5.0, 5.0]


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"discount must be .* at most 1.0, got 1.5"):
        PolicyGradient(Arms(), discount=1.5)
    with pytest.raises(ConfigError, match="baseline is 'mean'"):
        PolicyGradient(Arms(), baseline="mean")
    with pytest.raises(ConfigError, match="PolicyGradient needs a model with parameters to train, Identity has none"):
        PolicyGradient(Arms()).check(torch.nn.Identity())
