"""Pole balancing for `PolicyGradient`: several carts of gymnasium's CartPole-v1 in parallel.

Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", IEEE
Transactions on Systems, Man, and Cybernetics 13 (1983) 834-846. The four numbers observed: the cart's place and
speed, the pole's angle (radians) and its speed. Two actions: push left, push right. The reward is 1 for each step, for
at most 500 steps; an episode ends if the cart leaves the track (2.4) or the pole leans by more than 12 degrees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import MissingExtraError
from threegen.randomness import make_generator

SPREAD = 0.05  # each of the four numbers starts within -.05 .. .05
LONGEST = 500


def require_gymnasium() -> Any:
    """Return the module gymnasium; raise `ConfigError` that says how to get it where it is not installed."""
    try:
        import gymnasium
    except ImportError as problem:
        raise MissingExtraError.of("pole balancing", "gymnasium", "control") from problem
    return gymnasium


class Poles:
    """An `Environment` of as many carts as there are starts `[B, 4]`."""

    def __init__(self) -> None:
        self._gymnasium = require_gymnasium()
        self._carts: list[Any] = []
        self._observed = np.zeros((0, 4), dtype=np.float32)
        self._over = np.zeros(0, dtype=bool)
        self._dtype = torch.float32

    def begin(self, starts: Tensor) -> Tensor:
        """Put a cart and its pole at each start; return the same numbers, [B, 4]."""
        while len(self._carts) < len(starts):
            self._carts.append(self._gymnasium.make("CartPole-v1"))
        self._dtype = starts.dtype
        self._observed = starts.detach().cpu().numpy().astype(np.float32)
        self._over = np.zeros(len(starts), dtype=bool)
        for cart, start in zip(self._carts, self._observed, strict=False):
            cart.reset(seed=0)
            cart.unwrapped.state = start.astype(np.float64)
        return torch.from_numpy(self._observed.copy()).to(self._dtype)

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Push every cart whose episode is not over left (0) or right (1)."""
        rewards = np.zeros(len(self._over), dtype=np.float32)
        for place, action in enumerate(actions.tolist()):
            if not self._over[place]:
                seen, reward, failed, cut, _ = self._carts[place].step(action)
                self._observed[place] = seen
                rewards[place] = reward
                self._over[place] = failed or cut
        observed = torch.from_numpy(self._observed.copy()).to(self._dtype)
        return observed, torch.from_numpy(rewards).to(self._dtype), torch.from_numpy(self._over.copy())


def pole_starts(episodes: int, seed: int) -> Dataset:
    """Return `episodes` random states to start from, `[N, 4]`, drawn as gymnasium draws them."""
    require_whole("episodes", episodes)
    drawn = torch.rand(episodes, 4, generator=make_generator(seed, "pole starts"))
    return Dataset((2 * drawn - 1) * SPREAD, name="pole-starts")
