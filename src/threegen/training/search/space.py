"""The search space: ranges on a log or linear scale, whole numbers, choices, layer sizes.

log:1e-6:1e-2 a number, its logarithm drawn evenly linear:0:0.5 a number, drawn evenly int:2:8 a whole number, both ends
included choice:relu,tanh sizes:100x6,50x3 hidden layers: six of 100 units or three of 50
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from threegen.errors import ConfigError
from threegen.randomness import make_generator


class Range(Protocol):
    """The values that one setting may take."""

    def draw(self, generator: torch.Generator) -> Any:
        """Return one value."""
        ...

    def narrowed(self, values: Sequence[Any]) -> Range:
        """Return the range around the best values, inside this one."""
        ...

    def at_end(self, value: Any) -> bool:
        """Return whether a value is at an end of the range, so that the best value may be outside."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Numbers from `low` to `high`, drawn evenly, or with `log` evenly in their logarithm; `whole` ones if asked."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"a range must have a lower and a higher end, got {self.low} to {self.high}")
        if self.log and self.low <= 0:
            raise ConfigError(f"a log range must be above 0, got {self.low} to {self.high}; use linear:LOW:HIGH")

    def draw(self, generator: torch.Generator) -> float | int:
        """Return one value."""
        share = float(torch.rand((), generator=generator, dtype=torch.float64))
        if self.whole:
            return int(self.low) + min(int(share * (self.high - self.low + 1)), int(self.high - self.low))
        low, high = self._scaled(self.low), self._scaled(self.high)
        return self._unscaled(low + share * (high - low))

    def narrowed(self, values: Sequence[Any]) -> Numbers:
        """Return the range of the values, widened by a twentieth of this range on both sides."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        seen = sorted(self._scaled(float(value)) for value in values)
        more = 1.0 if self.whole else (high - low) / 20
        ends = max(low, seen[0] - more), min(high, seen[-1] + more)
        if self.whole:
            first, last = int(ends[0]), int(ends[1])
            return self if first == last else Numbers(first, last, whole=True)
        return Numbers(self._unscaled(ends[0]), self._unscaled(ends[1]), self.log)

    def at_end(self, value: Any) -> bool:
        """Return whether a value is within a twentieth of an end."""
        low, high, own = self._scaled(self.low), self._scaled(self.high), self._scaled(float(value))
        if self.whole:
            return own in (low, high)
        return own - low < (high - low) / 20 or high - own < (high - low) / 20

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value

    def _unscaled(self, value: float) -> float:
        return math.exp(value) if self.log else value

    def __str__(self) -> str:
        return f"{'log' if self.log else 'int' if self.whole else 'linear'}:{self.low:g}:{self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError("a choice needs at least one value: choice:relu,tanh")

    def draw(self, generator: torch.Generator) -> Any:
        """Return one value."""
        return self.values[int(torch.randint(len(self.values), (), generator=generator))]

    def narrowed(self, values: Sequence[Any]) -> Choice:
        """Return the choice among the given values."""
        return Choice(tuple(value for value in self.values if value in values))

    def at_end(self, value: Any) -> bool:
        """A choice has no ends."""
        return False

    def __str__(self) -> str:
        return "choice:" + ",".join(map(str, self.values))


Space = Mapping[str, Range]


_WANTED = {
    "log": "two numbers are needed, as in log:1e-6:1e-2",
    "linear": "two numbers are needed, as in linear:0:0.5",
    "int": "two whole numbers are needed, as in int:2:8",
    "sizes": "layer sizes of at least 1 are needed, as in sizes:100x6,50x3",
}


def read_range(name: str, text: str | Range) -> Range:
    """Return the range that a text describes (see the top of this file); raises `ConfigError` naming the setting."""
    if not isinstance(text, str):
        if all(callable(getattr(text, method, None)) for method in ("draw", "narrowed", "at_end")):
            return text
        raise ConfigError(f"{name}={text!r} is not a range; write a text such as log:1e-4:1e-1, a Numbers or a Choice")
    kind, _, rest = text.partition(":")
    try:
        if kind in ("log", "linear", "int"):
            low, high = (float(part) for part in rest.split(":"))
            if kind == "int" and not (low.is_integer() and high.is_integer()):
                raise ValueError(rest)
            return Numbers(low, high, log=kind == "log", whole=kind == "int")
        if kind == "choice":
            return Choice(tuple(_value(part) for part in rest.split(",") if part))
        if kind == "sizes":
            return Choice(tuple(_sizes(part) for part in rest.split(",") if part))
    except ConfigError as problem:
        raise ConfigError(f"{name}={text}: {problem}") from problem
    except ValueError as problem:
        raise ConfigError(f"{name}={text}: {_WANTED.get(kind, '')}") from problem
    raise ConfigError(
        f"{name}={text!r} is not a range; write log:LOW:HIGH, linear:LOW:HIGH, int:LOW:HIGH, choice:A,B or "
        f"sizes:100x6,50"
    )


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text, text)


def _sizes(text: str) -> list[int]:
    width, _, layers = text.partition("x")
    if min(int(width), int(layers or 1)) < 1:
        raise ValueError(text)
    return [int(width)] * int(layers or 1)


def read_space(space: Mapping[str, str | Range]) -> dict[str, Range]:
    """Return a space of ranges; raises `ConfigError` for an empty one or a bad range."""
    if not isinstance(space, Mapping):
        raise ConfigError(f"space must be a dictionary of settings and ranges, got {space!r}")
    if not space:
        raise ConfigError("a search needs at least one setting to vary, such as lr=log:1e-4:1e-1")
    return {name: read_range(name, text) for name, text in space.items()}


def draw_settings(space: Space, seed: int, round_number: int, trial: int) -> dict[str, Any]:
    """Return one trial's settings; they depend only on the space and (seed, round, trial)."""
    generator = make_generator(seed, "search", round_number, trial)
    return {name: space[name].draw(generator) for name in sorted(space)}
