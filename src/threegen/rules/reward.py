"""Rewards for rules that learn from reward: critics judge the spikes of a layer of neurons.

Neurons are assigned to classes in equal groups, in order: with O neurons and K classes, neuron o has the class o K //
O. A reward is one number for all synapses; it does not tell which neuron was right.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from threegen.checks import require_number, require_whole
from threegen.errors import ConfigError, DataError


class Critic(Protocol):
    """`critic(spikes, target)`: the reward after the latest step. Spikes so far [t, O], target 0-d.

    A critic may also have `classes`, the number of its classes, and `first_reward`, the first step (from 0) that a
    reward can follow: rules then raise for other labels, and for stimuli that end earlier.
    """

    def __call__(self, spikes: Tensor, target: Tensor, /) -> Tensor:
        """Return the reward, 0-d."""
        ...


def class_of_neurons(neurons: int, classes: int) -> Tensor:
    """Return the class of each neuron [O]. Raises `ConfigError` if there are fewer neurons than classes."""
    if require_whole("neurons", neurons) < require_whole("classes", classes):
        raise ConfigError(f"{neurons} neurons are too few for {classes} classes; give at least one neuron per class")
    return torch.arange(neurons) * classes // neurons


def _require_class(target: Tensor, classes: int) -> int:
    """Return the label as a number; raises `DataError` for a class without neurons."""
    label = int(target)
    if not 0 <= label < classes:
        raise DataError(f"label {label} has no neurons: the critic knows the classes 0..{classes - 1}")
    return label


class SpikeCritic:
    """Every spike is judged: +1 for each one of the target's neurons, -`blame` for each one of the others.

    The reward arrives `delay` steps after the spikes.
    """

    def __init__(self, classes: int, *, blame: float = 1.0, delay: int = 0) -> None:
        self.classes = require_whole("classes", classes, least=1)
        self.blame = require_number("blame", blame, least=0.0)
        self.delay = self.first_reward = require_whole("delay", delay, least=0)

    def __call__(self, spikes: Tensor, target: Tensor) -> Tensor:
        """Return the reward for the spikes of `delay` steps ago; raises `DataError` for a label without neurons."""
        label = _require_class(target, self.classes)
        if len(spikes) <= self.delay:
            return spikes.new_zeros(())
        judged = spikes[len(spikes) - 1 - self.delay]
        right = class_of_neurons(len(judged), self.classes).to(spikes.device) == label
        return (judged * torch.where(right, 1.0, -self.blame)).sum()


class AnswerCritic:
    """One reward per stimulus: +1 after step `at` (counted from 0) if the target's neurons fired most, else -`blame`.

    A tie for most spikes, including silence, is no answer and gives 0.
    """

    def __init__(self, classes: int, at: int, *, blame: float = 1.0) -> None:
        self.classes = require_whole("classes", classes, least=1)
        self.at = self.first_reward = require_whole("at", at, least=0)
        self.blame = require_number("blame", blame, least=0.0)

    def __call__(self, spikes: Tensor, target: Tensor) -> Tensor:
        """Return the reward at step `at`, else 0; raises `DataError` for a label without neurons."""
        label = _require_class(target, self.classes)
        if len(spikes) != self.at + 1:
            return spikes.new_zeros(())
        groups = class_of_neurons(spikes.shape[1], self.classes).to(spikes.device)
        votes = spikes.new_zeros(self.classes).index_add_(0, groups, spikes.sum(0))
        best = votes == votes.max()
        if int(best.sum()) > 1:
            return spikes.new_zeros(())
        return spikes.new_tensor(1.0 if bool(best[label]) else -self.blame)
