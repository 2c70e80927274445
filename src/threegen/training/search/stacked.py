"""One group of networks that train at once: the loop over the batches of an epoch, with `fit` as its reference.

Every network draws what `fit(model, Backprop(loss), data, optimizer=..., seed=its seed)` would draw: its own order of
the examples and its own dropout. Legend: n networks, B examples of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError
from threegen.randomness import derive_seed, make_generator
from threegen.training.search.optimizers import StackedOptimizer
from threegen.training.search.trials import Trial

LOSSES = ("cross_entropy", "mse")
Build = Callable[[Mapping[str, Any], int], nn.Module]  # settings of the model and a seed -> the network


class Stack(Protocol):
    """What `model.stack(n)` returns (see `gen2/stacked.py`)."""

    n: int
    stream: str
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]

    def fits(self, model: nn.Module) -> bool:
        """Return whether a model can be part of the stack."""
        ...

    def put(self, place: int, model: nn.Module) -> None:
        """Copy a model into slot `place`."""
        ...

    def take(self, place: int) -> dict[str, Tensor]:
        """Return the state of one network."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Discard the other networks."""
        ...

    def scores(self, inputs: Tensor, generators: Sequence[torch.Generator], training: bool) -> Tensor:
        """Return scores `[n, B, K]`."""
        ...


class Group:
    """Trials whose networks share a stack: the same layers, optimiser and batch size."""

    def __init__(
        self,
        stack: Stack,
        trials: Sequence[Trial],
        optimizer: StackedOptimizer,
        batch_size: int,
        loss: str,
    ) -> None:
        self.stack, self.trials, self.optimizer = stack, list(trials), optimizer
        self.batch_size, self.loss = batch_size, loss
        self.generators = [torch.Generator().manual_seed(derive_seed(trial.seed, stack.stream)) for trial in trials]

    def run_epoch(self, epoch: int, data: Dataset, validation: Dataset) -> None:
        """Train every network for one epoch, evaluate it, and discard those that have diverged."""
        losses, right = self._train(epoch, data)
        found = self._validate(validation)
        diverged = ~(torch.isfinite(losses) & torch.isfinite(found[0]))
        for place, trial in enumerate(self.trials):
            if diverged[place]:
                trial.state = "diverged"
                continue
            trial.training_loss.append(float(losses[place]))
            trial.training_accuracy.append(float(right[place]) / len(data))
            trial.validation_loss.append(float(found[0][place]))
            trial.validation_accuracy.append(float(found[1][place]) / len(validation))
        if bool(diverged.any()):
            self.keep([place for place in range(len(self.trials)) if not diverged[place]])

    def keep(self, places: Sequence[int]) -> None:
        """Discard all other trials; the stack shrinks."""
        self.stack.keep(places)
        self.optimizer.keep(places)
        self.trials = [self.trials[place] for place in places]
        self.generators = [self.generators[place] for place in places]

    def _train(self, epoch: int, data: Dataset) -> tuple[Tensor, Tensor]:
        """Return the mean loss `[n]` over the batches and the number of right answers `[n]`."""
        targets = _labels(data)
        orders = torch.stack(
            [
                torch.randperm(len(data), generator=make_generator(trial.seed, "order", 0, epoch))
                for trial in self.trials
            ]
        )
        total = torch.zeros(len(self.trials), dtype=torch.float64)
        right = torch.zeros(len(self.trials), dtype=torch.long)
        batches = torch.split(orders, min(self.batch_size, len(data)), dim=1)
        for index in batches:
            labels = targets[index]
            scores, each = self._learn(data.inputs[index], labels)
            total += each
            right += (scores.argmax(2) == labels).sum(1)
        return total / len(batches), right

    def _learn(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Carry out one update and return the scores `[n, B, K]` and losses `[n]` before it."""
        stack, optimizer = self.stack, self.optimizer
        descend = getattr(stack, "descend", None)
        if callable(descend) and stack.is_plain() and optimizer.is_plain_descent():  # type: ignore[attr-defined]
            rates, decays = optimizer.plain_rates()
            scores = descend(inputs, lambda found: errors_of(found, labels, self.loss), rates, decays)
            return scores, losses_of(scores, labels, self.loss)
        names = list(stack.parameters)
        leaves = [stack.parameters[name].requires_grad_() for name in names]
        scores = stack.scores(inputs, self.generators, True)
        each = losses_of(scores, labels, self.loss)
        gradients = torch.autograd.grad(each.sum(), leaves)
        for leaf in leaves:
            leaf.requires_grad_(False)
        optimizer.step(stack.parameters, dict(zip(names, gradients, strict=True)))
        return scores.detach(), each.detach()

    @torch.no_grad()
    def _validate(self, data: Dataset, most: int = 1000) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy `[n]` and the number of right answers `[n]` on data that all share."""
        targets, total = _labels(data), torch.zeros(len(self.trials), dtype=torch.float64)
        right = torch.zeros(len(self.trials), dtype=torch.long)
        draws = [torch.Generator().manual_seed(derive_seed(trial.seed, "evaluate")) for trial in self.trials]
        for first in range(0, len(data), most):
            labels = targets[first : first + most].expand(len(self.trials), -1)
            scores = self.stack.scores(data.inputs[first : first + most].unsqueeze(0), draws, False)
            total += losses_of(scores, labels, "cross_entropy") * labels.shape[1]
            right += (scores.argmax(2) == labels).sum(1)
        return total / len(data), right

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors for a checkpoint, under names that begin with `name`."""
        own = {f"{name}/parameter/{key}": value for key, value in self.stack.parameters.items()}
        own |= {f"{name}/buffer/{key}": value for key, value in self.stack.buffers.items()}
        own |= {f"{name}/optimizer/{key}": value for key, value in self.optimizer.state.items()}
        return own | {f"{name}/generators": torch.stack([generator.get_state() for generator in self.generators])}

    def restore(self, name: str, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Restore what `tensors` returned; discarded trials must already be discarded."""
        for kind, kept in (
            ("parameter", self.stack.parameters),
            ("buffer", self.stack.buffers),
            ("optimizer", self.optimizer.state),
        ):
            prefix = f"{name}/{kind}/"
            kept.update({key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)})
        for generator, state in zip(self.generators, tensors[f"{name}/generators"], strict=True):
            generator.set_state(state.clone())
        self.optimizer.steps = steps


def losses_of(scores: Tensor, labels: Tensor, loss: str) -> Tensor:
    """Return each network's loss `[n]` of scores `[n, B, K]`, as `Backprop(loss)` computes it."""
    n, examples, classes = scores.shape
    if loss == "cross_entropy":
        flat = F.cross_entropy(scores.reshape(-1, classes), labels.reshape(-1), reduction="none")
        return flat.view(n, examples).mean(1)
    return (scores - F.one_hot(labels, classes).to(scores.dtype)).square().mean((1, 2))


def errors_of(scores: Tensor, labels: Tensor, loss: str) -> Tensor:
    """Return the gradients of the networks' losses by their scores, `[n, B, K]`."""
    examples, classes = scores.shape[1:]
    right = F.one_hot(labels, classes).to(scores.dtype)
    if loss == "cross_entropy":
        return scores.softmax(2).sub_(right).div_(examples)
    return (scores - right).mul_(2.0 / (examples * classes))


def _labels(data: Dataset) -> Tensor:
    if data.targets is None:
        raise DataError(f"{data.name} has no labels; a search compares accuracies")
    return data.targets.long()


def group_trials(
    trials: Sequence[Trial],
    build: Build,
    split: Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, Any], str, int]],
    loss: str,
) -> tuple[list[Group], list[Trial]]:
    """Return groups of trials whose networks can share a stack, and the trials that cannot be stacked.

    `split` separates a trial's settings into those of the model, those of the optimiser, its name, and the batch size.
    """
    sorted_in: list[tuple[Stack, str, int, list[tuple[Trial, nn.Module, dict[str, Any]]]]] = []
    alone: list[Trial] = []
    for trial in trials:
        own, rates, kind, batch_size = split(trial.settings)
        model = build(own, trial.seed)
        empty = _empty_stack(model)
        if empty is None:
            alone.append(trial)
            continue
        for stack, its_kind, its_size, members in sorted_in:
            if stack.fits(model) and (its_kind, its_size) == (kind, batch_size):
                members.append((trial, model, rates))
                break
        else:
            sorted_in.append((empty, kind, batch_size, [(trial, model, rates)]))
    groups = []
    for _, kind, batch_size, members in sorted_in:
        stack = members[0][1].stack(len(members))  # type: ignore[operator]
        for place, (_, model, _) in enumerate(members):
            stack.put(place, model)
        matrices = [name for name, value in stack.parameters.items() if value.dim() > 2]
        optimizer = StackedOptimizer(kind, [rates for _, _, rates in members], matrices)
        groups.append(Group(stack, [trial for trial, _, _ in members], optimizer, batch_size, loss))
    return groups, alone


def _empty_stack(model: nn.Module) -> Stack | None:
    """Return an empty stack for a model that can be stacked."""
    offers = getattr(model, "stack", None)
    try:
        stack: Stack | None = offers(0) if callable(offers) else None
    except ConfigError:  # parts of it cannot be
        return None
    return stack
