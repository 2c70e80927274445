"""The guard of the loop: no update is applied whose loss, gradient or result is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from threegen.errors import NumericError
from threegen.machine.sparse.layouts import flat
from threegen.machine.torch_private import PlainStep
from threegen.rules.rule import Step, Update

# Beyond these an update could overflow float32 although every gradient is finite; the weights are copied before such
# steps. Ordinary training never comes near them.
_LARGE_RATE = 1e6
_LARGE_SQUARE = 1e24
# The product of two weights beyond this one overflows float32: the next forward pass could not be computed.
_LARGEST_WEIGHT = 1e18


class Guard:
    """Rejects non-finite steps of one module: names the step and the parameter and leaves the weights unchanged.

    The cheap test is the sum of squares of each gradient, one dot product: it is finite only if every entry is.
    If the sum overflows although its entries are finite, the entries are checked exactly. If the rule gives a bound of
    that sum, nothing is read, unless gradients are to be clipped (`exact`). On a GPU all sums and figures are
    concatenated and read once per step: one synchronisation.
    """

    def __init__(self, module: nn.Module, saved: Callable[[], str] = lambda: "", *, exact: bool = False) -> None:
        self.saved = saved  # the sentence that names the last good checkpoint
        self.exact = exact  # whether the exact sum of squares is needed
        self.named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in self.named]
        self.on_cpu = all(p.device.type == "cpu" for p in self.parameters)
        self.figures: dict[str, float] = {}  # figures of the last checked step, as numbers
        self._step: PlainStep | None = None

    def check(self, step: Step, number: int) -> float:
        """Return the sum of squares of all gradients, or a bound; raise `NumericError` if one is not finite.

        After an `Applied` step the parameters themselves are checked.
        """
        total = self._read(step) if self.on_cpu else self._read_together(step)
        for name, figure in self.figures.items():
            if not math.isfinite(figure):
                raise self._error(f"{name} is {figure}", number, step.pending, self._grown())
        if not math.isfinite(total):
            self._name_culprit(step.pending, number)
        return total

    def _read(self, step: Step) -> float:
        self.figures = {name: float(figure) for name, figure in step.figures.items()}
        if isinstance(step, Update) and step.square_bound < _LARGE_SQUARE and not self.exact:
            return step.square_bound
        total, pending = 0.0, step.pending
        for parameter in self.parameters:
            tensor = parameter.grad if pending else parameter
            if tensor is not None:
                total += _square_sum(tensor).item()
        return total

    def _read_together(self, step: Step) -> float:
        device = self.parameters[0].device
        tensors = [p.grad for p in self.parameters] if step.pending else self.parameters
        figures = [figure.to(device, torch.float64) for figure in step.figures.values()]
        squares = [_square_sum(tensor).to(device, torch.float64) for tensor in tensors if tensor is not None]
        if not figures and not squares:
            self.figures = {}
            return 0.0
        values: list[float] = torch.stack([*figures, *squares]).tolist()
        self.figures = dict(zip(step.figures, values, strict=False))
        return sum(values[len(figures) :])

    def _name_culprit(self, pending: bool, number: int) -> None:
        for name, parameter in self.named:
            tensor = parameter.grad if pending else parameter
            if tensor is not None and not bool(torch.isfinite(tensor).all()):
                what = f"gradient of {name}" if pending else name
                raise self._error(f"{what} is not finite", number, pending)

    def _grown(self) -> str:
        """Return the part of a message that names a parameter that has grown beyond 1e6, or an empty text."""
        largest = [(float(p.detach().abs().max()), name) for name, p in self.named if p.numel()]
        size, name = max(largest, default=(0.0, ""))
        return f" ({name} has grown to {size:.1e})" if size > 1e6 else ""

    def clip(self, square_sum: float, most: float) -> float:
        """Scale all gradients down so that their global norm is at most `most`; return the new sum of squares."""
        norm = math.sqrt(square_sum) if math.isfinite(square_sum) else self._exact_norm()
        if norm <= most:
            return square_sum
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        for gradient in gradients:
            gradient.mul_(most / norm)
        return most * most

    def _exact_norm(self) -> float:
        return math.sqrt(sum(float(p.grad.double().square().sum()) for p in self.parameters if p.grad is not None))

    def apply(self, optimizer: torch.optim.Optimizer, square_sum: float, number: int) -> None:
        """Step the optimiser and clear the gradients; a step that overflows is undone, with an error."""
        careful = not square_sum < _LARGE_SQUARE
        for group in optimizer.param_groups:
            if group.get("lr", 0.0) > _LARGE_RATE:
                careful = True
        if careful:
            self._apply_carefully(optimizer, number)
        else:
            if self._step is None or self._step.optimizer is not optimizer:
                self._step = PlainStep(optimizer)
            self._step()
        for parameter in self.parameters:
            parameter.grad = None

    def _apply_carefully(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        copies = [p.detach().clone() for p in self.parameters]
        optimizer.step()
        for name, parameter in self.named:
            size = float(parameter.detach().abs().max()) if parameter.numel() else 0.0
            if not size < _LARGEST_WEIGHT:
                self._put_back(copies)
                what = f"reaches {size:.1e}" if math.isfinite(size) else "is not finite"
                raise self._error(f"update of {name} {what}", number)

    def _error(self, what: str, number: int, pending: bool = True, detail: str = "") -> NumericError:
        done = "nothing was applied" if pending else "the kernel had moved the weights already"
        advice = "lower the rate or clip the gradients (clip_norm=)" if pending else "lower the rate"
        return NumericError(f"{what} at step {number}{detail}; {done}; {advice}{self.saved()}")

    @torch.no_grad()
    def _put_back(self, copies: Sequence[Tensor]) -> None:
        for parameter, copy in zip(self.parameters, copies, strict=True):
            parameter.copy_(copy)


def _square_sum(tensor: Tensor) -> Tensor:
    """Return the sum of squares of a tensor's entries, 0-d."""
    values = tensor.detach() if tensor.requires_grad else tensor
    if values.is_sparse:
        values = values.coalesce().values()
    entries = flat(values)
    return torch.dot(entries, entries)
