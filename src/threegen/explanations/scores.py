"""Select the scores among the outputs of a model, and compute their probabilities.

Scores are [B, K]: K classes, larger is better. For a model that returns several tensors the user must choose; a single
output is treated as the logit of two classes only if the user says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from threegen.errors import ConfigError, ShapeError
from threegen.tracing.trace import SOFTMAX
from threegen.tracing.walk import tensors_in

Choice = str | int | Callable[[Any], Any] | None
BINARY = "binary"


class Scores:
    """Selects the scores from the outputs of a model called `name`, according to `choice`.

    None: there is one tensor. "binary": there is one output, the logit of the second of two classes (or the sigmoid of
    it). Another text is the name of an output, a number its index, and a function computes the scores from the returned
    value.
    """

    def __init__(self, name: str, choice: Choice = None) -> None:
        whole = isinstance(choice, int) and not isinstance(choice, bool)
        if choice is not None and not whole and not isinstance(choice, str) and not callable(choice):
            raise ConfigError(
                f'scores must be None, "binary", the name or the number of an output, or a function, got {choice!r}'
            )
        self.name, self.choice = name, choice

    @property
    def binary(self) -> bool:
        """Whether a single output is the logit of two classes."""
        return isinstance(self.choice, str) and self.choice == BINARY

    @property
    def ending(self) -> frozenset[str]:
        """The functions at the end of a model before which the scores are taken."""
        return frozenset({"sigmoid"}) if self.binary else SOFTMAX

    def pick(self, out: Any) -> Tensor:
        """Return the tensor of scores in what the model returned; raises `ConfigError` if the choice is missing."""
        found = self._chosen(out)
        tensors = tensors_in(found)
        if len(tensors) == 1:
            return tensors[0]
        if not tensors:
            raise ShapeError(
                f"explain needs scores [B, classes], {self.name} returns {type(found).__name__}; "
                "give explain(model, scores=...) a function that computes them from it"
            )
        parts = ", ".join(f"{key!r}: {_described(one)}" for key, one in _parts(found))
        raise ConfigError(
            f"{self.name} returns several tensors ({parts}); choose the scores: explain(model, scores=...) with a name "
            f"or number, or a function of the returned value"
        )

    def _chosen(self, out: Any) -> Any:
        if self.choice is None or self.binary:
            return out
        if not isinstance(self.choice, str | int):
            return self.choice(out)
        parts = _parts(out)
        whole = out if isinstance(out, list | tuple) and not hasattr(out, "_fields") else [one for _, one in parts]
        if isinstance(self.choice, int) and -len(whole) <= self.choice < len(whole):
            return whole[self.choice]
        for key, one in parts:
            if self.choice == key:
                return one
        known = ", ".join(repr(key) for key, _ in parts) or f"one {type(out).__name__}, without names"
        raise ConfigError(f"{self.name} has no output {self.choice!r}; it returns {known}")

    def __call__(self, out: Any, batch: int) -> Tensor:
        """Return the scores [B, K] of `batch` samples; raises `ShapeError` for any other shape, `ConfigError`."""
        return self.shaped(out if self.choice is None and isinstance(out, Tensor) else self.pick(out), batch)

    def shaped(self, out: Tensor, batch: int) -> Tensor:
        """Return what was picked as [B, K]."""
        if out.dim() == 1 and len(out) == batch:
            out = out.unsqueeze(1)
        if out.dim() != 2 or len(out) != batch:
            lost = out.dim() == 1 or (out.dim() == 2 and batch == 1)
            advice = (
                "does its forward squeeze away the axis of the samples? flatten(1) instead of squeeze() keeps it"
                if lost
                else "give explain(model, scores=...) a function that computes them"
            )
            raise ShapeError(
                f"explain needs scores [B, classes], here [{batch}, classes]; {self.name} returns {list(out.shape)} "
                f"for {batch} sample{'s' * (batch != 1)}; {advice}"
            )
        if self.binary:
            if out.shape[1] != 1:
                raise ConfigError(
                    f'scores="binary" is for a single output, {self.name} returns {out.shape[1]} scores; leave it out'
                )
            out = torch.cat([-out, out], 1)
        return out

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probabilities of scores [..., K]; raises `ConfigError` for a single output."""
        self.require_classes(scores)
        return scores.sigmoid() if self.binary else scores.softmax(-1)

    def normalised(self, scores: Tensor) -> Tensor:
        """Return the logarithms of the probabilities; a single output stays as it is."""
        if scores.shape[-1] == 1:
            return scores
        return torch.nn.functional.logsigmoid(scores) if self.binary else scores.log_softmax(-1)

    def require_classes(self, scores: Tensor) -> None:
        """Raise `ConfigError` if there is one output, whose probability is not defined."""
        if scores.shape[-1] == 1:
            raise ConfigError(
                f"{self.name} has one output, and a softmax of one number is always 1; "
                'use explain(model, scores="binary") if it is the logit of two classes (a sigmoid), or '
                'measure="score" to follow its value'
            )


def _parts(out: Any) -> Sequence[tuple[Any, Any]]:
    """Return the names (or numbers) and the parts of what a model returned, those without tensors left out."""
    if isinstance(out, Mapping):
        found = list(out.items())
    elif is_dataclass(out) and not isinstance(out, type):
        found = [(one.name, getattr(out, one.name)) for one in fields(out)]
    elif hasattr(out, "_fields"):
        found = list(zip(out._fields, out, strict=True))
    elif isinstance(out, list | tuple):
        return [(place, one) for place, one in enumerate(out) if tensors_in(one)]
    else:
        return []
    return [(name, one) for name, one in found if tensors_in(one)]


def _described(part: Any) -> str:
    return str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__
