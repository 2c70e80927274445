"""Policy gradient: actions that were followed by more reward than usual become more likely.

    G_t  = r_t + discount r_(t+1) + discount^2 r_(t+2) + ...        the return after step t
    E    = -1/B sum over episodes and steps of  A_t log pi(a_t | s_t)  +  entropy H(pi(. | s_t))
    A_t  = G_t, or (G_t - mean) / deviation over all steps of the batch

pi = softmax of the model's scores. If A_t = G_t, entropy is 0 and the discount 1, the mean of dE/dw over many episodes
is minus the gradient of the expected return.

Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", Machine
Learning 8 (1992) 229-256; the entropy term: Williams and Peng, Connection Science 3 (1991) 241-268.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, ShapeError
from threegen.rules.rule import Rule, Step, Update, require_batch


class Environment(Protocol):
    """Several episodes of one task, played in parallel. B episodes, F observed numbers in each."""

    def begin(self, starts: Tensor) -> Tensor:
        """Start an episode from each row of `starts` [B, ...]; return the observations [B, F]."""
        ...

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Perform `actions` [B]; return observations [B, F], rewards [B] and which episodes are over [B] (bool).

        Episodes that are over stay so; the values returned for them are not used.
        """
        ...


@dataclass(frozen=True, eq=False)
class Played:
    """The record of a batch of B episodes of S steps in all."""

    observed: Tensor  # [S, F]
    actions: Tensor  # [S]
    returns: Tensor  # [S], discounted
    rewards: Tensor  # [B], summed over each episode


class PolicyGradient(Rule):
    """Train a policy by the rewards of episodes that it plays itself: one yield a batch of episodes.

    The batch's inputs `[B, ...]` are the states from which `environment` starts; labels are not used. The model's
    scores `[B, actions]` go through softmax, and actions are drawn from the rule's generator.

    discount: the factor by which a reward counts less per step of delay, 0..1.
    baseline: "normalised" subtracts the mean return of the batch's steps and divides by their deviation; "none".
    entropy: the weight of the entropy bonus, which keeps the policy exploring.
    explore: False always plays the most likely action: pure exploitation, from which little is learned.
    most_steps: an episode that lasts longer is cut off.

    Figures: `loss`, `reward` (mean sum of rewards of an episode), `entropy` (mean of the policy's, in nats).
    Raises `ConfigError` for settings and models that cannot work, `DataError` and `NumericError` for bad starts.
    """

    default_optimizer = "adam"
    uses_labels = False

    def __init__(
        self,
        environment: Environment,
        *,
        discount: float = 0.99,
        baseline: str = "normalised",
        entropy: float = 0.0,
        explore: bool = True,
        most_steps: int = 1000,
    ) -> None:
        self.environment = environment
        self.discount = require_number("discount", discount, least=0.0, most=1.0)
        self.baseline = require_choice("baseline", baseline, ("normalised", "none"))
        self.entropy = require_number("entropy", entropy, least=0.0)
        self.explore = bool(explore)
        self.most_steps = require_whole("most_steps", most_steps)

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if no parameter of `model` needs a gradient."""
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(f"PolicyGradient needs a model with parameters to train, {type(model).__name__} has none")

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Play an episode from each start in `batch`, fill `.grad` and yield once."""
        self.check(model)
        played = self.play(model, require_batch("PolicyGradient", batch, labels=False), generator)
        advantages = played.returns
        if self.baseline == "normalised":
            spread = advantages.std(correction=0).clamp(min=1e-8)
            advantages = (advantages - advantages.mean()) / spread
        with torch.enable_grad():
            log_chances = model(played.observed).log_softmax(1)
            chosen = log_chances.gather(1, played.actions.unsqueeze(1)).squeeze(1)
            entropies = -(log_chances.exp() * log_chances).sum(1)
            loss = -(advantages * chosen + self.entropy * entropies).sum() / len(batch)
            loss.backward()
        yield Update(loss=loss.detach(), reward=played.rewards.mean(), entropy=entropies.detach().mean())

    @torch.no_grad()
    def play(self, model: nn.Module, starts: Tensor, generator: torch.Generator) -> Played:
        """Play one episode from each row of `starts` with the current policy; gradients are not recorded."""
        observed = self.environment.begin(starts)
        running = torch.ones(len(starts), dtype=torch.bool)
        states, actions, rewards, lived = [], [], [], []
        for _ in range(self.most_steps):
            scores = model(observed)
            if scores.dim() != 2:
                raise ShapeError(f"a policy must return scores [B, actions], got {list(scores.shape)}")
            action = self._choose(scores, generator)
            states.append(observed)
            actions.append(action)
            lived.append(running)
            observed, reward, over = self.environment.step(action)
            rewards.append(torch.where(running, reward.to(scores.dtype), 0.0))
            running = running & ~over
            if not bool(running.any()):
                break
        alive = torch.stack(lived)  # [T, B]
        earned = torch.stack(rewards)
        returns = self._returns(earned)
        return Played(torch.stack(states)[alive], torch.stack(actions)[alive], returns[alive], earned.sum(0))

    def _choose(self, scores: Tensor, generator: torch.Generator) -> Tensor:
        if not self.explore:
            return scores.argmax(1)
        return torch.multinomial(scores.softmax(1), 1, generator=generator).squeeze(1)

    def _returns(self, rewards: Tensor) -> Tensor:
        """Return the discounted sum of the rewards from each step on, `[T, B]`."""
        returns = torch.empty_like(rewards)
        following = torch.zeros_like(rewards[0])
        for step in range(len(rewards) - 1, -1, -1):
            following = rewards[step] + self.discount * following
            returns[step] = following
        return returns
