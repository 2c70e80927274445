"""Spike encoders as modules around `functional.encoding`, which contains the formulas.

An encoder takes intensities [B, ...] in 0..1 and the number of time steps, and returns spikes [T, B, ...].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_finite, require_float, require_number
from threegen.errors import ConfigError
from threegen.functional.encoding import (
    bernoulli_spikes,
    checked_intensities,
    latency_spikes,
    poisson_chance,
    poisson_spikes,
)
from threegen.gen3.parts import ENCODER, Cost, Use


class Encoder(nn.Module):
    """The interface of an encoder: `encoder(x, steps, generator) -> spikes [T, B, ...]`."""

    part = ENCODER

    def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return spikes [T, B, ...], each 0 or 1."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def chances(self, x: Tensor) -> Tensor | None:
        """Return the chance [B, ...] of a spike at every step, if steps are independent draws; else None."""
        return None


class Bernoulli(Encoder):
    """Rate coding: at each step a spike with probability x, drawn independently."""

    needs_unit_range = True

    def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return spikes [T, B, ...]. Raises `ConfigError`, `NumericError`, `ShapeError` (see `bernoulli_spikes`)."""
        return bernoulli_spikes(x, steps, generator)

    def cost(self, use: Use) -> Cost:
        """Return what a call cost: a random number and a comparison a value and step."""
        return _cost(use, {"draw": use.output.numel(), "compare": use.output.numel()})

    def chances(self, x: Tensor) -> Tensor:
        """Return x. Raises like `forward`."""
        return checked_intensities("rate coding", x)


class Poisson(Encoder):
    """Poisson coding: `rate * x` events a step on average, at most one spike per step."""

    needs_unit_range = True

    def __init__(self, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = require_number("rate", rate, above=0.0)

    def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return spikes [T, B, ...]. Raises like `poisson_spikes`."""
        return poisson_spikes(x, steps, self.rate, generator)

    def cost(self, use: Use) -> Cost:
        """Return the cost of a call: the chance of each value once, a random number and a comparison per step."""
        given, made = use.inputs[0].numel(), use.output.numel()
        return _cost(use, {"draw": made, "compare": made, "mul": given, "function": given})

    def chances(self, x: Tensor) -> Tensor:
        """Return 1 - exp(-rate x). Raises like `forward`."""
        return poisson_chance(checked_intensities("Poisson coding", x), self.rate)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"rate={self.rate}"


class Latency(Encoder):
    """Time-to-first-spike coding: one spike per intensity above 0, earlier for higher intensities; nothing is
    random."""

    needs_unit_range = True

    def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return spikes [T, B, ...]. Raises like `latency_spikes`; `generator` is not used."""
        return latency_spikes(x, steps)

    def cost(self, use: Use) -> Cost:
        """Return the cost of a call: the time of each value once, a comparison per step."""
        given = use.inputs[0].numel()
        return _cost(use, {"add": given, "mul": given, "compare": use.output.numel()})


class Direct(Encoder):
    """Direct coding: the intensities themselves, the same at every step, so that the first layer of the net becomes
    the trainable encoding layer: an analog layer whose neurons spike (Wu et al., AAAI 2019).

    Its summed input is computed once for all steps. Any finite values are allowed.
    """

    def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return x as [T, B, ...], all steps in the same memory. Raises `NumericError`, `ShapeError`."""
        return require_finite("direct coding", require_float("direct coding", x)).expand(steps, *x.shape)

    def cost(self, use: Use) -> list[Cost]:
        """Return no row: it passes on its input values."""
        return []


def _cost(use: Use, operations: dict[str, int]) -> Cost:
    return Cost(ENCODER, operations, use.output, "spikes", spikes=use.output)


ENCODERS: dict[str, type[Encoder]] = {
    "bernoulli": Bernoulli,
    "poisson": Poisson,
    "latency": Latency,
    "direct": Direct,
}


def make_encoder(encoder: nn.Module | str | None) -> nn.Module:
    """Return the encoder: a module unchanged, the encoder of a name, `Bernoulli()` for None. Raises `ConfigError`."""
    if encoder is None:
        return Bernoulli()
    if isinstance(encoder, str):
        return ENCODERS[require_choice("encoder", encoder, ENCODERS)]()
    if not isinstance(encoder, nn.Module):
        raise ConfigError(f"encoder must be a module such as Bernoulli(), or its name, got {encoder!r}")
    return encoder
