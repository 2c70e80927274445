"""Update rules in the exact form of widespread textbooks, where it differs from torch's.

    textbook-adagrad       h <- h + g^2;  w <- w - lr g / (sqrt(h) + 1e-7)
    textbook-rmsprop       h <- .99 h + .01 g^2;  w <- w - lr g / (sqrt(h) + 1e-7)
    textbook-adam          m <- m + (1 - b1) (g - m);  v <- v + (1 - b2) (g^2 - v)
                           w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-7)
    previous-gradient      w <- w - lr g[t] - correction g[t-1]

The first two are torch's optimisers with another epsilon. In textbook-adam epsilon is added to sqrt(v) before the bias
is corrected (Kingma and Ba, ICLR 2015, the end of section 2); torch corrects v first, so that its epsilon has sqrt(1 -
b2^t) times the weight. previous-gradient is the "correction" of many short programs that teach back-propagation. It is
not momentum: only the last gradient is used, not the sum of all earlier steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from threegen.checks import require_number


class TextbookAdam(torch.optim.Optimizer):
    """Adam with epsilon added to the square root of the uncorrected second moment."""

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-7
    ) -> None:
        require_number("lr", lr, above=0.0)
        for place, beta in enumerate(betas):
            require_number(f"betas[{place}]", beta, least=0.0, below=1.0)
        require_number("eps", eps, above=0.0)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Apply one update; `closure` re-evaluates the loss where given."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            first_decay, second_decay = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                memory = self.state[parameter]
                if not memory:
                    memory["step"] = 0
                    memory["mean"] = torch.zeros_like(parameter)
                    memory["square_mean"] = torch.zeros_like(parameter)
                memory["step"] += 1
                gradient: Tensor = parameter.grad
                memory["mean"].lerp_(gradient, 1.0 - first_decay)
                memory["square_mean"].lerp_(gradient.square(), 1.0 - second_decay)
                steps = memory["step"]
                rate = group["lr"] * math.sqrt(1.0 - second_decay**steps) / (1.0 - first_decay**steps)
                parameter.addcdiv_(memory["mean"], memory["square_mean"].sqrt().add_(group["eps"]), value=-rate)
        return loss


class PreviousGradient(torch.optim.Optimizer):
    """Gradient descent with a share of the previous gradient: w <- w - lr g[t] - correction g[t-1]."""

    def __init__(self, params: Any, lr: float = 0.05, correction: float = 0.1) -> None:
        require_number("lr", lr, above=0.0)
        require_number("correction", correction, least=0.0)
        super().__init__(params, {"lr": lr, "correction": correction})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Apply one update; `closure` re-evaluates the loss where given."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                memory = self.state[parameter]
                parameter.add_(parameter.grad, alpha=-group["lr"])
                if memory:
                    parameter.add_(memory["previous"], alpha=-group["correction"])
                    memory["previous"].copy_(parameter.grad)
                else:
                    memory["previous"] = parameter.grad.detach().clone()
        return loss
