"""Stochastic diagonal Levenberg-Marquardt: each weight has its own rate, from its second derivative.

    w_k <- w_k - rate * g_k / (mu + h_k)        g = dE/dw of this batch,  h = d2E/dw2, averaged over a sample

h is the diagonal Gauss-Newton approximation that `curvature.py` passes down the network: it is never negative, so mu
bounds the rate where the error is flat. It changes slowly and is re-estimated once per pass, on a few hundred examples;
the cost is negligible compared with the pass.

LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), appendix C; LeCun, Bottou, Orr and Mueller,
"Efficient BackProp" (1998), section 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from threegen.checks import require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError, ConfigError
from threegen.rules.curvature import passing_curvature
from threegen.rules.losses import Loss, resolve_loss
from threegen.rules.rule import Rule, Step, Update, answer, require_batch

_COUNTERS = ("seen", "sampled")


@runtime_checkable
class FixedOutput(Protocol):
    """A model that ends in a layer without weights, which counts as part of the error, not of the network."""

    def last_units(self, inputs: Tensor) -> Tensor:
        """Return the states [B, H] of the last trainable units."""
        ...

    def score_units(self, states: Tensor) -> Tensor:
        """Return the scores [B, K] of those states."""
        ...


class LevenbergMarquardt(Rule):
    """Train a feed-forward model by preconditioned gradients: one yield per batch.

    loss: a name or function as for `Backprop`; the mean over the batch.
    mu: limits the rate of a weight to `lr / mu`.
    examples: the curvature is averaged over this many examples, the first of each pass; meanwhile the estimate of the
    previous pass is used (in the first pass, the average so far).
    every: how many examples make a pass.

    At the last units (or the scores, if the model is not a `FixedOutput`) the second derivatives of the error are
    exact; negative ones count as zero. Figure: `loss`. Raises `ConfigError` for settings that cannot work and for
    models that call a function through which curvature cannot be passed, and what `Backprop` raises.
    """

    default_optimizer = "sgd"
    default_rate = 0.01

    def __init__(self, loss: str | Loss = "map", *, mu: float = 0.02, examples: int = 500, every: int = 60_000) -> None:
        self.loss = loss
        self._compute = resolve_loss(loss)
        self.mu = require_number("mu", mu, above=0.0)
        self.examples = require_whole("examples", examples)
        self.every = require_whole("every", every)
        if self.examples > self.every:
            raise ConfigError(f"examples must be at most every, got examples={examples!r}, every={every!r}")
        self._seen = self._sampled = 0  # within this pass
        self._sum: dict[str, Tensor] = {}  # of the curvature over the current sample
        self._curvature: dict[str, Tensor] = {}  # the estimate in use
        self._scales: dict[str, Tensor] = {}  # 1 / (mu + h), cached while h is in use

    def __repr__(self) -> str:
        name = getattr(self.loss, "__name__", self.loss)
        return f"LevenbergMarquardt({name!r}, mu={self.mu:g}, examples={self.examples}, every={self.every})"

    @property
    def curvature(self) -> Mapping[str, Tensor]:
        """The h that currently divides each parameter's gradient, by the parameter's name; empty before the first
        batch."""
        if self._curvature or not self._sampled:
            return self._curvature
        return {name: total / self._sampled for name, total in self._sum.items()}

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if no parameter of `model` needs a gradient."""
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(f"LevenbergMarquardt needs parameters to train, {type(model).__name__} has none")

    def state_dict(self) -> dict[str, Tensor]:
        """Return the curvature in use, the one being estimated, and the position in this pass."""
        state = {"seen": torch.tensor(self._seen), "sampled": torch.tensor(self._sampled)}
        state |= {f"sum/{name}": value for name, value in self._sum.items()}
        return state | {f"curvature/{name}": value for name, value in self._curvature.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`."""
        missing = [name for name in _COUNTERS if name not in state]
        if missing:
            raise CheckpointError(f"LevenbergMarquardt needs {missing[0]!r}, the checkpoint has {', '.join(state)}")
        self._seen, self._sampled, self._scales = int(state["seen"]), int(state["sampled"]), {}
        self._sum = {name[4:]: value.clone() for name, value in state.items() if name.startswith("sum/")}
        self._curvature = {name[10:]: value.clone() for name, value in state.items() if name.startswith("curvature/")}

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with g / (mu + h) and yield once."""
        self.check(model)
        targets = require_batch("LevenbergMarquardt", batch)
        self._sample(model, batch, targets, generator)
        with torch.enable_grad():
            loss = self._compute(answer(model, batch.inputs, generator), targets)
            loss.backward()  # type: ignore[no-untyped-call]
        if not self._scales:
            curvature = self.curvature
            self._scales = {name: 1.0 / (curvature[name] + self.mu) for name in curvature}
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(self._scales[name])
        yield Update(loss=loss.detach())

    def _sample(self, model: nn.Module, batch: Batch, targets: Tensor, generator: torch.Generator) -> None:
        """Add this batch to the curvature being estimated, if this pass still needs examples."""
        if self._seen >= self.every:
            self._seen, self._sampled, self._sum = 0, 0, {}
        self._seen += len(batch)
        if self._sampled >= self.examples:
            return
        self._scales = {}
        for name, value in diagonal_curvature(model, batch.inputs, targets, self._compute, generator).items():
            added = value * len(batch)
            self._sum[name] = self._sum[name] + added if name in self._sum else added
        self._sampled += len(batch)
        if self._sampled >= self.examples:
            self._curvature = {name: total / self._sampled for name, total in self._sum.items()}
            self._sum = {}


def diagonal_curvature(
    model: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Return h of every trainable parameter of `model`, by name, for the mean `loss` over these examples.

    Raises `ConfigError` for functions through which curvature cannot be passed.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    with torch.enable_grad():
        with passing_curvature():
            fixed = isinstance(model, FixedOutput)
            top = cast(FixedOutput, model).last_units(inputs) if fixed else answer(model, inputs, generator)
        units = top.detach().requires_grad_()
        scores = cast(FixedOutput, model).score_units(units) if fixed else units
        h_top = _own_second_derivatives(loss(scores, targets), units).clamp_(min=0.0)
        found = torch.autograd.grad(top, [p for _, p in named], h_top, allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if h is None else h.detach()
        for (name, parameter), h in zip(named, found, strict=True)
    }


def _own_second_derivatives(loss: Tensor, units: Tensor) -> Tensor:
    """Return d2 loss / d units^2, unit by unit, [B, H]; the loss does not couple examples."""
    (slope,) = torch.autograd.grad(loss, units, create_graph=True)
    columns = []
    for unit in range(units.shape[1]):
        if not slope.requires_grad:
            return torch.zeros_like(units)
        (row,) = torch.autograd.grad(slope[:, unit].sum(), units, retain_graph=True)
        columns.append(row[:, unit])
    return torch.stack(columns, 1)
