"""Distillation: a network learns from the scores of another one, its teacher, in addition to the labels.

    E = -log softmax(s)_t  +  a tau^2 KL( softmax(s' / tau) || softmax(s / tau) )         s' the teacher's scores

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531 (2015). The factor tau^2
keeps the size of the gradient when the temperature tau changes (section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_number
from threegen.errors import ConfigError
from threegen.rules.backprop import Backprop
from threegen.rules.rule import answer


class Distillation(Backprop):
    """Train a model by the cross-entropy with the labels and the scores of a `teacher`: one yield per batch.

    `weight` is a, `temperature` is tau. `penalty`, if given, is a function without arguments that returns a 0-d tensor,
    called after each forward pass and added to the loss (for example, the number of spikes of the pass). The teacher
    runs in eval mode and never changes. Figure: `loss`. Raises `ConfigError` for invalid numbers, and what `Backprop`
    raises.

    Example:
        >>> import torch, threegen as tg
        >>> teacher, student = tg.MLP([4, 8, 2]), tg.MLP([4, 3, 2])
        >>> data = (torch.rand(20, 4), torch.arange(20) % 2)
        >>> log = tg.fit(student, tg.rules.Distillation(teacher), data, lr=0.01, batch_size=10)
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        weight: float = 4.0,
        temperature: float = 2.0,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(cast(Any, self._distilled))
        if not isinstance(teacher, nn.Module):
            raise ConfigError(f"teacher must be a trained module, got {teacher!r}")
        self.teacher = teacher
        self.weight = require_number("weight", weight, least=0.0)
        self.temperature = require_number("temperature", temperature, above=0.0)
        self.penalty = penalty

    def __repr__(self) -> str:
        return f"Distillation({type(self.teacher).__name__}, weight={self.weight:g}, temperature={self.temperature:g})"

    def _found(self, model: Any, inputs: Tensor, generator: torch.Generator) -> Any:
        training = self.teacher.training
        self.teacher.eval()
        try:
            with torch.no_grad():
                taught = answer(self.teacher, inputs, generator)
        finally:
            self.teacher.train(training)
        return answer(model, inputs, generator), taught

    def _distilled(self, found: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        scores, taught = found
        tau = self.temperature
        wanted, have = (taught / tau).log_softmax(1), (scores / tau).log_softmax(1)
        far = F.kl_div(have, wanted, reduction="batchmean", log_target=True)
        loss = F.cross_entropy(scores, targets) + self.weight * tau * tau * far
        return loss if self.penalty is None else loss + self.penalty()
