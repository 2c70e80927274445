"""Optimisers for a stack of networks, each with its own rate, decay and momentum, which torch does not support.

The equations are torch's, so that a network of the stack trains as `fit` would train it alone. Weight decay is added to
the gradient of matrices, never of biases and other vectors, as by `threegen.optimizer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from threegen.checks import require_choice

KINDS = ("sgd", "momentum", "rmsprop", "adam")
_DEFAULTS = {
    "sgd": {"lr": 1e-2, "momentum": 0.0},
    "momentum": {"lr": 1e-2, "momentum": 0.9},
    "rmsprop": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8},
    "adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
}


class StackedOptimizer:
    """One optimiser for `n` networks.

    Args:
        kind: sgd, momentum, rmsprop or adam.
        settings: for each network its `lr`, `weight_decay`, `momentum`; missing ones have torch's default.
        matrices: the names of the parameters that decay.
    """

    def __init__(self, kind: str, settings: Sequence[Mapping[str, float]], matrices: Sequence[str]) -> None:
        self.kind = require_choice("optimizer", kind, KINDS)
        names = {"weight_decay": 0.0, **_DEFAULTS[kind]}
        self.rates = {
            name: torch.tensor([float(own.get(name, usual)) for own in settings], dtype=torch.float64)
            for name, usual in names.items()
        }
        self.matrices = frozenset(matrices)
        self.state: dict[str, Tensor] = {}
        self.steps = 0

    def keep(self, places: Sequence[int]) -> None:
        """Discard the state of all networks but these."""
        chosen = torch.as_tensor(list(places), dtype=torch.long)
        self.rates = {name: value[chosen] for name, value in self.rates.items()}
        self.state = {name: value[chosen] for name, value in self.state.items()}

    def is_plain_descent(self) -> bool:
        """Return whether there is no momentum and no average: w <- w - lr (g + decay w)."""
        return self.kind in ("sgd", "momentum") and not bool(self.rates["momentum"].any())

    def plain_rates(self) -> tuple[Tensor, Tensor | None]:
        """Return rates and decays `[n]` for a step that is carried out elsewhere, and count it."""
        self.steps += 1
        decays = self.rates["weight_decay"]
        return self.rates["lr"].float(), decays.float() if bool(decays.any()) else None

    def step(self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """Move all parameters `[n, ...]` by their gradients, which are overwritten."""
        self.steps += 1
        decays = bool(self.rates["weight_decay"].any())
        with torch.no_grad():
            for name, weight in parameters.items():
                gradient = gradients[name]
                if decays and name in self.matrices:
                    gradient.addcmul_(weight, self._as("weight_decay", weight))
                self._move(name, weight, gradient)

    def _as(self, name: str, like: Tensor) -> Tensor:
        return self.rates[name].to(like.dtype).view(-1, *[1] * (like.dim() - 1))

    def _kept(self, name: str, like: Tensor) -> Tensor:
        if name not in self.state:
            self.state[name] = torch.zeros_like(like)
        return self.state[name]

    def _move(self, name: str, weight: Tensor, gradient: Tensor) -> None:
        rate = self._as("lr", weight)
        if self.kind in ("sgd", "momentum"):
            if bool(self.rates["momentum"].any()):
                buffer = self._kept(f"{name}/velocity", weight)
                gradient = buffer.mul_(self._as("momentum", weight)).add_(gradient)
            weight.addcmul_(gradient, rate, value=-1)
        elif self.kind == "rmsprop":
            square, alpha = self._kept(f"{name}/square", weight), self._as("alpha", weight)
            square.mul_(alpha).add_(gradient * gradient * (1 - alpha))
            weight.sub_(rate * gradient / square.sqrt().add_(self._as("eps", weight)))
        else:
            first, second = self._kept(f"{name}/mean", weight), self._kept(f"{name}/square", weight)
            beta1, beta2 = self._as("beta1", weight), self._as("beta2", weight)
            first.mul_(beta1).add_(gradient * (1 - beta1))
            second.mul_(beta2).add_(gradient * gradient * (1 - beta2))
            correct1, correct2 = 1 - beta1**self.steps, 1 - beta2**self.steps
            below = second.sqrt().div_(correct2.sqrt()).add_(self._as("eps", weight))
            weight.sub_(rate / correct1 * first / below)
