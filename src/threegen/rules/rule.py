"""Learning rules: a rule is a generator that fills `.grad` and yields each time an update is due.

    for step in rule(model, batch, generator):      # a yield means: .grad holds a descent direction
        optimizer.step()

Two kinds of yield: `Update` asks the loop to step the optimiser; `Applied` says that a fused kernel has updated (and
projected) the parameters itself. Parameters change only at yields. Rules never import models; they use them through the
protocols below.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_finite
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.machine.sparse.layouts import stored_like


class Step:
    """One yield of a rule; `figures` are detached 0-d tensors that the loop reads only at its log interval."""

    __slots__ = ("figures",)
    pending: ClassVar[bool]

    def __init__(self, **figures: Tensor) -> None:
        self.figures = figures


# A sentence for `signs_of_life`; `fit` puts the names of rule and model before it.
NO_NEURON_HAS_FIRED = "no neuron has fired; strengthen the inputs, lower the threshold or start from larger weights"

# Safety factor for bounds of squares summed in float32: such sums of millions may be too small, but by much less.
SLACK = 2.0


class Update(Step):
    """`.grad` is ready: the loop checks it, steps the optimiser, clears it and projects the model.

    `square_bound` is an upper bound of the sum of the squares of all gradients, if the rule knows one. If it is finite,
    every gradient is finite, and the loop need not read them to check that.
    """

    __slots__ = ("square_bound",)
    pending = True

    def __init__(self, square_bound: float = math.inf, /, **figures: Tensor) -> None:
        super().__init__(**figures)
        self.square_bound = square_bound


class Applied(Step):
    """A fused kernel has updated and projected the parameters itself; the loop checks, records and checkpoints."""

    __slots__ = ()
    pending = False


class PlainSGD:
    """Plain SGD with momentum and weight decay, as `fit` hands it to a rule that applies it itself.

    It reads the optimiser's `groups` at each use, so that schedules take effect. Outside of `fit`:
    `rule.hand_over(PlainSGD([{"lr": 0.1, "momentum": 0.5}]))`.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]]) -> None:
        self._groups = groups

    @property
    def rate(self) -> float:
        """The current learning rate."""
        return float(self._groups[0]["lr"])

    @property
    def momentum(self) -> float:
        """The current momentum."""
        return float(self._groups[0].get("momentum", 0.0))

    @property
    def is_unit(self) -> bool:
        """Whether the gradient is simply subtracted: rate 1, no momentum, no decay."""
        return self.rate == 1.0 and self.momentum == 0.0 and self.weight_decay == 0.0

    @property
    def weight_decay(self) -> float:
        """The share of each weight that is added to its gradient; biases do not decay."""
        return max(float(group.get("weight_decay", 0.0)) for group in self._groups)


class Rule:
    """A learning rule. Subclasses define `__call__`; those with state also define the two state methods.

    `updates_per_batch` is how many times one batch yields, or None if that depends on the data.
    `default_optimizer` is the optimiser that `fit` uses if the user names none; `uses_labels` says whether batches need
    targets. `signs_of_life` names figures of the steps that are 0 only if nothing can be learned, each with the
    sentence of `fit`'s warning: figure -> "no neuron has fired".
    """

    updates_per_batch: int | None = 1
    default_optimizer: str = "sgd"
    default_rate: float | None = None
    uses_labels: bool = True
    signs_of_life: ClassVar[Mapping[str, str]] = {}

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` of the parameters to train and yield when an update is due. Shapes: those of `batch`."""
        raise NotImplementedError(f"{type(self).__name__} must write __call__")

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if this rule cannot train `model`; called once before the first batch."""

    def remark(self, model: nn.Module) -> str:
        """Return a warning for the end of a stage, such as classes that `model` cannot answer; else an empty text."""
        return ""

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take plain SGD, to be applied by the rule itself, or None: any other optimiser gets `Update`s.

        `fit` calls it before a stage. A rule without a fast path ignores it. A rule with one yields `Applied` if it can
        update the parameters as `sgd` would, and `Update` otherwise.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return the rule's state between batches (persistent chains, traces), for checkpoints."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`."""
        if state:
            raise ConfigError(f"{type(self).__name__} keeps no state, but the checkpoint has {', '.join(state)}")


@runtime_checkable
class LinearUnits(Protocol):
    """A single layer of units, which the perceptron rule and the delta rule can train."""

    weight: nn.Parameter  # [outputs, inputs]
    bias: nn.Parameter  # [outputs]

    def potentials(self, inputs: Tensor) -> Tensor:
        """Return the units' net inputs [B, outputs] before their activation."""
        ...


@runtime_checkable
class Averaged(Protocol):
    """A model that can answer with the average of the weights that it had after every example."""

    averaged: bool  # whether it answers with the average

    def accumulate(self, examples: int) -> None:
        """Add the current weights to the running sum with the weight `examples`, the number of examples they lasted."""
        ...


def has_own_methods(model: nn.Module, names: Sequence[str]) -> bool:
    """Return whether the methods of `model` that a fast path replaces are the library's own, on class and instance."""
    for name in names:
        method = getattr(type(model), name, None)
        if name in vars(model) or not getattr(method, "__module__", "").startswith("threegen."):
            return False
    return True


def require_parts(rule: Rule, model: nn.Module, *parts: str) -> None:
    """Raise `ConfigError` if `model` lacks a part that `rule` works with: `"weight"`, or `"potentials()"`."""
    for part in parts:
        if not hasattr(model, part.removesuffix("()")):
            raise ConfigError(f"{type(rule).__name__} needs a model with {part}, {type(model).__name__} has none")


def require_batch(owner: str, batch: Batch, *, labels: bool = True) -> Tensor:
    """Check a batch and return its targets (or, without `labels`, its inputs).

    Raises `DataError` for an empty batch and for missing targets or another number of them, `NumericError` for
    inputs that are not finite. The inputs are tested by their sum; the exact search runs only if that is not finite.
    """
    inputs, targets = batch.inputs, batch.targets
    if inputs.dim() == 0 or inputs.numel() == 0:
        raise DataError(f"{owner} got an empty batch, inputs {list(inputs.shape)}; the data set is empty")
    if not batch.finite and inputs.is_floating_point() and not math.isfinite(inputs.sum()):
        require_finite("the batch's input", inputs)
    if not labels:
        return inputs
    if targets is None:
        raise DataError(f"{owner} learns from labels, the batch has none; give targets with the data")
    if len(targets) != len(inputs):
        raise DataError(f"{len(inputs):,} inputs but {len(targets):,} targets in one batch")
    return targets


def answer(model: nn.Module, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return `model(inputs)`, passing the generator if the model's `forward` takes one.

    Raises `ShapeError` if batch normalisation gets a batch of one, which has no variance.
    """
    try:
        if has_generator(type(model).forward):
            return model(inputs, generator=generator)  # type: ignore[no-any-return]
        return model(inputs)  # type: ignore[no-any-return]
    except ValueError as problem:
        if "more than 1 value per channel" not in str(problem):
            raise
        raise ShapeError(
            f"{type(model).__name__} normalises over the batch, which holds {len(inputs)}; "
            "choose a batch_size that does not leave a single example for the last batch"
        ) from problem


@cache
def has_generator(method: Callable[..., Any]) -> bool:
    """Return whether a method takes a `generator`."""
    return "generator" in inspect.signature(method).parameters


def ascend(parameter: Tensor, direction: Tensor, *, own: bool = False) -> None:
    """Add an *ascent* direction to `parameter.grad`: the sign is reversed here and nowhere else.

    `own` says that `direction` is not used elsewhere: its memory may become the gradient.
    """
    descend(parameter, direction.neg_() if own else -direction, own=True)


def descend(parameter: Tensor, direction: Tensor, *, own: bool = False) -> None:
    """Add a *descent* direction (a gradient of something to be minimised) to `parameter.grad`; `own` as above."""
    if not parameter.requires_grad:
        return
    if direction.shape != parameter.shape or direction.dtype != parameter.dtype:
        raise ShapeError(
            f"a direction must be {parameter.dtype} {list(parameter.shape)} as its parameter, "
            f"got {direction.dtype} {list(direction.shape)}"
        )
    if parameter.grad is None:
        gradient = direction.detach()
        kept = stored_like(gradient, parameter)
        parameter.grad = kept if own or kept is not gradient else gradient.clone()
    else:
        parameter.grad.add_(direction)


def project(model: nn.Module) -> None:
    """Apply the constraints (ranges, row sums, masks) of every sub-module that has a `project()`."""
    for module in model.modules():
        constrain = getattr(module, "project", None)
        if callable(constrain):
            constrain()
