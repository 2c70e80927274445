"""The guard of the loop: no update is applied whose loss, gradient or result is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from threegen.errors import NumericError
from threegen.rules.rule import Step

# Beyond these an update could overflow float32 although every gradient is finite; such steps are taken with a copy
# of the weights at hand. Ordinary training never comes near them.
_LARGE_RATE = 1e6
_LARGE_SQUARE = 1e24


class Guard:
    """Refuses non-finite steps for one module: names the step and the parameter and leaves the weights as they were.

    The cheap test is the sum of squares of each gradient, one dot product in the memory order of the tensor: it is
    finite only if every entry is. A sum that overflows although its entries are finite is looked at again, exactly.
    """

    def __init__(self, module: nn.Module, saved: Callable[[], str] = lambda: "") -> None:
        self.saved = saved  # the sentence that names the last good checkpoint
        self.named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in self.named]

    def check(self, step: Step, number: int) -> float:
        """Return the sum of squares of all gradients; raise `NumericError` where something is not finite."""
        for name, figure in step.figures.items():
            if not math.isfinite(figure):
                raise self._error(f"{name} is {float(figure)}", number)
        total = 0.0
        for parameter in self.parameters:
            gradient = parameter.grad
            if gradient is not None:
                total += _square_sum(gradient)
        if not math.isfinite(total):
            self._name_culprit(number)
        return total

    def _name_culprit(self, number: int) -> None:
        for name, parameter in self.named:
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                raise self._error(f"gradient of {name} is not finite", number)

    def clip(self, square_sum: float, most: float) -> None:
        """Scale all gradients down so that their common norm is at most `most`."""
        norm = math.sqrt(square_sum) if math.isfinite(square_sum) else self._exact_norm()
        if norm > most:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            torch._foreach_mul_(gradients, most / norm)

    def _exact_norm(self) -> float:
        return math.sqrt(sum(float(p.grad.double().square().sum()) for p in self.parameters if p.grad is not None))

    def apply(self, optimizer: torch.optim.Optimizer, square_sum: float, number: int) -> None:
        """Step the optimiser; where the step could overflow, keep a copy and put it back if it does."""
        careful = not square_sum < _LARGE_SQUARE or any(group["lr"] > _LARGE_RATE for group in optimizer.param_groups)
        if not careful:
            optimizer.step()
            return
        copies = [p.detach().clone() for p in self.parameters]
        optimizer.step()
        for name, parameter in self.named:
            if not bool(torch.isfinite(parameter).all()):
                self._put_back(copies)
                raise self._error(f"update of {name} is not finite", number)

    def _error(self, what: str, number: int) -> NumericError:
        return NumericError(
            f"{what} at step {number}; nothing was applied; "
            f"lower the rate or clip the gradients (clip_norm=){self.saved()}"
        )

    @torch.no_grad()
    def _put_back(self, copies: Sequence[Tensor]) -> None:
        for parameter, copy in zip(self.parameters, copies, strict=True):
            parameter.copy_(copy)


def _square_sum(gradient: Tensor) -> float:
    if gradient.is_sparse or not gradient.is_contiguous():
        return float(gradient.float().square().sum())
    flat = gradient.detach().view(-1)
    return torch.dot(flat, flat).item()
