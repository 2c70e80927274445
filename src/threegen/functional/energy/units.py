"""The kinds of units of an energy-based net, as small objects without state.

Units with states s and total input x (bias and weighted input) contribute E0(s) - s . x to the energy:

| units              | states           | E0(s)     | mean              | A(x) = log sum over s of exp(s . x - E0(s)) |
|--------------------|------------------|-----------|-------------------|---------------------------------------------|
| `BernoulliUnits`   | 0 or 1           | 0         | sigmoid(x)        | sum softplus(x)                             |
| `GaussianUnits`    | any real number  | s^2 / 2   | x                 | sum (x^2 + log 2 pi) / 2                    |
| `SoftmaxUnits`     | one of K is 1    | 0         | softmax(x)        | logsumexp(x), summed over the groups        |

The gradient of A is the mean: from A alone follow free energies, partition functions and learning rules. Gaussian
units have variance 1; scale the data to it (Hinton, "A practical guide to training restricted Boltzmann machines",
UTML TR 2010-003, sections 13.1 and 13.2).

Shapes: states, total inputs and means are [..., size].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_choice, require_unit_range, require_whole
from threegen.errors import ConfigError
from threegen.machine.draws import draw_bernoulli, draw_normal, draw_one_of


@runtime_checkable
class Units(Protocol):
    """The interface of all kinds of units; `size` is the number of values of their states."""

    @property
    def size(self) -> int:
        """The length of the last axis of states."""
        ...

    def mean(self, x: Tensor) -> Tensor:
        """Return the expected states [..., size] given the total inputs x: probabilities for binary units."""
        ...

    def draw(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return states [..., size] drawn given their `mean`."""
        ...

    def own_energy(self, states: Tensor) -> Tensor:
        """Return E0 [...] of `states`."""
        ...

    def log_sum(self, x: Tensor) -> Tensor:
        """Return A(x) [...], the logarithm of the sum over all states (the integral, for real ones)."""
        ...

    def bias_of(self, mean: Tensor) -> Tensor:
        """Return the biases [size] with which units without other input have these means."""
        ...


@dataclass(frozen=True)
class BernoulliUnits:
    """Binary units: each is 1 with probability sigmoid(x)."""

    size: int

    def __post_init__(self) -> None:
        require_whole("size", self.size)

    def mean(self, x: Tensor) -> Tensor:
        """Return the probabilities sigmoid(x)."""
        return torch.sigmoid(x)

    def draw(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return states 0 and 1."""
        return draw_bernoulli(mean, generator)

    def own_energy(self, states: Tensor) -> Tensor:
        """Return zeros [...]."""
        return states.new_zeros(states.shape[:-1])

    def log_sum(self, x: Tensor) -> Tensor:
        """Return sum softplus(x)."""
        return F.softplus(x).sum(-1)

    def bias_of(self, mean: Tensor) -> Tensor:
        """Return log(p / (1 - p)), with p kept within .001 of 0 and 1 (guide, section 8.1)."""
        return torch.logit(mean, eps=1e-3)


@dataclass(frozen=True)
class GaussianUnits:
    """Real-valued units of variance 1 around x."""

    size: int

    def __post_init__(self) -> None:
        require_whole("size", self.size)

    def mean(self, x: Tensor) -> Tensor:
        """Return x itself."""
        return x

    def draw(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return `mean` plus noise from N(0, 1)."""
        return draw_normal(mean, generator)

    def own_energy(self, states: Tensor) -> Tensor:
        """Return |s|^2 / 2."""
        return states.square().sum(-1) / 2

    def log_sum(self, x: Tensor) -> Tensor:
        """Return sum (x^2 + log 2 pi) / 2."""
        return x.square().sum(-1) / 2 + x.shape[-1] * math.log(2 * math.pi) / 2

    def bias_of(self, mean: Tensor) -> Tensor:
        """Return the means."""
        return mean.clone()


@dataclass(frozen=True)
class SoftmaxUnits:
    """`groups` groups of `classes` units each, of which exactly one is 1: labels, words, ratings."""

    classes: int
    groups: int = 1

    def __post_init__(self) -> None:
        require_whole("classes", self.classes, least=2)
        require_whole("groups", self.groups)

    @property
    def size(self) -> int:
        """`classes` times `groups`."""
        return self.classes * self.groups

    def _grouped(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.groups, self.classes)

    def mean(self, x: Tensor) -> Tensor:
        """Return softmax(x) of each group."""
        return self._grouped(x).softmax(-1).flatten(-2)

    def draw(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one-hot states of each group."""
        return draw_one_of(self._grouped(mean), generator).flatten(-2)

    def own_energy(self, states: Tensor) -> Tensor:
        """Return zeros [...]."""
        return states.new_zeros(states.shape[:-1])

    def log_sum(self, x: Tensor) -> Tensor:
        """Return logsumexp(x), summed over the groups."""
        return self._grouped(x).logsumexp(-1).sum(-1)

    def bias_of(self, mean: Tensor) -> Tensor:
        """Return log p, with p kept above .001."""
        return mean.clamp(min=1e-3).log()


@dataclass(frozen=True)
class JoinedUnits:
    """Units of several kinds in one layer, for example 500 binary ones and 10 for the label."""

    parts: tuple[Units, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("JoinedUnits needs at least one kind of units")

    @cached_property
    def sizes(self) -> list[int]:
        """The sizes of the parts."""
        return [part.size for part in self.parts]

    @property
    def size(self) -> int:
        """The sum of the parts' sizes."""
        return sum(self.sizes)

    def _split(self, x: Tensor) -> list[tuple[Units, Tensor]]:
        return list(zip(self.parts, torch.split(x, self.sizes, -1), strict=True))

    def mean(self, x: Tensor) -> Tensor:
        """Return each part's means."""
        return torch.cat([part.mean(own) for part, own in self._split(x)], -1)

    def draw(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return each part's states."""
        return torch.cat([part.draw(own, generator) for part, own in self._split(mean)], -1)

    def own_energy(self, states: Tensor) -> Tensor:
        """Return the sum of the parts' E0."""
        return torch.stack([part.own_energy(own) for part, own in self._split(states)]).sum(0)

    def log_sum(self, x: Tensor) -> Tensor:
        """Return the sum of the parts' A."""
        return torch.stack([part.log_sum(own) for part, own in self._split(x)]).sum(0)

    def bias_of(self, mean: Tensor) -> Tensor:
        """Return each part's biases."""
        return torch.cat([part.bias_of(own) for part, own in self._split(mean)], -1)


def make_units(name: str, size: int, choice: str | Units | Sequence[Units]) -> Units:
    """Return the units that `choice` names: "bernoulli", "gaussian", "softmax", an object, or a list of objects.

    Raises `ConfigError` for an unknown name and for objects whose sizes do not add up to `size`.
    """
    require_whole(name, size)
    if isinstance(choice, str):
        if require_choice(f"{name}_units", choice, ("bernoulli", "gaussian", "softmax")) == "bernoulli":
            return BernoulliUnits(size)
        return GaussianUnits(size) if choice == "gaussian" else SoftmaxUnits(size)
    units: object = JoinedUnits(tuple(choice)) if isinstance(choice, list | tuple) else choice
    if not isinstance(units, Units) or units.size != size:
        found = f"{units.size} units" if isinstance(units, Units) else repr(choice)
        raise ConfigError(f"{name}_units must hold {size} units, got {found}")
    return units


def require_unit_values(owner: str, units: Units, states: Tensor, *, finite: bool = True) -> Tensor:
    """Return `states` [..., size] if `units` can have them: binary and softmax units take only values in 0..1.

    Real-valued units, and a user's own kinds, take any. Raises `ConfigError`, and `NumericError` for values that are
    not finite (with `finite=False` NaN is accepted: see `require_unit_range`).
    """
    if are_binary(units):
        require_unit_range(owner, states, finite=finite)
    elif isinstance(units, JoinedUnits):
        for part, own in units._split(states):
            require_unit_values(owner, part, own, finite=finite)
    return states


def are_plain_binary(units: object) -> bool:
    """Return whether `units` are `BernoulliUnits`, or of a sub-class that replaces none of their methods: those for
    which kernels and sums over all states are written."""
    return isinstance(units, BernoulliUnits) and all(
        getattr(type(units), name) is getattr(BernoulliUnits, name)
        for name in ("mean", "draw", "own_energy", "log_sum", "bias_of")
    )


def are_binary(units: Units) -> bool:
    """Return whether all of `units` take only values in 0..1."""
    if isinstance(units, JoinedUnits):
        return all(are_binary(part) for part in units.parts)
    return isinstance(units, BernoulliUnits | SoftmaxUnits)
