"""Truncated back-propagation through time: the error is propagated back through at most one window of steps.

    E = mean over the scored steps of -log softmax(s_t)_(y_t)

The sequence is split into windows of `window` steps. The state passes from one window to the next, its gradient does
not. With one window for the whole sequence this is full back-propagation through time.

Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78 (1990) 1550-1560;
Williams and Peng, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories",
Neural Computation 2 (1990) 490-501, which call it BPTT(h; h) with h = `window`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_labels, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.rules.rule import Rule, Step, Update, require_batch, require_parts

State = tuple[Tensor, ...]


class Walker(Protocol):
    """A model that reads a sequence in pieces."""

    def as_sequence(self, inputs: Tensor) -> Tensor:
        """Return the inputs as [B, T, F]."""
        ...

    def walk(self, sequence: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the scores [B, T, K] after every step and the last state."""
        ...


class TruncatedBPTT(Rule):
    """Train a recurrent model by the cross-entropy of its scores, with gradients over at most `window` steps.

    Targets: labels `[B]` (or class probabilities `[B, K]`) for the scores after the last step; the steps before the
    last window are then read without gradients. Or labels `[B, T]`, one for each step.

    window: the number of steps that the error is propagated back; None: the whole sequence.
    update: "sequence" sums the windows' gradients and yields once per batch; "window" yields after each window, so
        that the next one is read with the new weights.
    carry: start each batch with the last state of the previous batch: for a long text that is split into batches in
    order (`shuffle=False`, batches of one size). The state is part of `state_dict()`.

    Figure: `loss`, the mean cross-entropy of the batch (of the window, for update="window").
    Raises `ConfigError` for settings and models that cannot work, `DataError` for labels that do not fit.
    """

    default_optimizer = "adam"

    def __init__(self, window: int | None = None, *, update: str = "sequence", carry: bool = False) -> None:
        self.window = None if window is None else require_whole("window", window)
        self.update = require_choice("update", update, ("sequence", "window"))
        self.carry = bool(carry)
        self.updates_per_batch = 1 if update == "sequence" else None
        self._state: State | None = None

    def __repr__(self) -> str:
        return f"TruncatedBPTT({self.window}, update={self.update!r}, carry={self.carry})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` cannot read a sequence in pieces."""
        require_parts(self, model, "as_sequence()", "walk()")

    def state_dict(self) -> dict[str, Tensor]:
        """Return the carried state, if there is one."""
        return {f"state{number}": part for number, part in enumerate(self._state or ())}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`."""
        names = [f"state{number}" for number in range(len(state))]
        if set(state) != set(names):
            raise CheckpointError(
                f"the state of TruncatedBPTT is state0, state1, ...; the checkpoint has {', '.join(state)}"
            )
        self._state = tuple(state[name].clone() for name in names) or None

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Process the sequences window by window, fill `.grad`, and yield."""
        self.check(model)
        targets = require_batch("TruncatedBPTT", batch)
        walker = cast(Walker, model)
        sequence = walker.as_sequence(batch.inputs)
        if targets.is_floating_point() or targets.dim() == 1:
            yield self._learn_last(walker, sequence, targets)
            return
        if targets.dim() != 2 or targets.shape != sequence.shape[:2]:
            raise DataError(
                f"targets must be [B] or [B, T] = {list(sequence.shape[:2])}, one label for each step, "
                f"got {list(targets.shape)}"
            )
        yield from self._learn_every(walker, sequence, targets)

    def _learn_last(self, walker: Walker, sequence: Tensor, targets: Tensor) -> Step:
        """Fill `.grad` from the scores after the last step."""
        steps = sequence.shape[1]
        first = 0 if self.window is None else max(0, steps - self.window)
        state = self._start(sequence)
        if first:
            with torch.no_grad():
                _, state = walker.walk(sequence[:, :first], state)
        with torch.enable_grad():
            scores, state = walker.walk(sequence[:, first:], state)
            last = scores[:, -1]
            if not targets.is_floating_point():
                targets = require_labels(targets, last.shape[1]).long()
            loss = F.cross_entropy(last, targets)
            loss.backward()  # type: ignore[no-untyped-call]
        self._keep(state)
        return Update(loss=loss.detach())

    def _learn_every(self, walker: Walker, sequence: Tensor, targets: Tensor) -> Iterator[Step]:
        """Fill `.grad` window by window from the scores after every step."""
        steps = sequence.shape[1]
        window = steps if self.window is None else self.window
        state, total = self._start(sequence), torch.zeros((), device=sequence.device, dtype=sequence.dtype)
        for start in range(0, steps, window):
            piece = slice(start, min(start + window, steps))
            state, loss = self._window(walker, sequence[:, piece], targets[:, piece], state, steps)
            self._keep(state)
            total += loss * (piece.stop - start) / steps
            if self.update == "window":
                yield Update(loss=loss)
        if self.update == "sequence":
            yield Update(loss=total)

    def _window(
        self, walker: Walker, sequence: Tensor, targets: Tensor, state: State | None, steps: int
    ) -> tuple[State, Tensor]:
        """Add one window's gradient to `.grad`; return the detached state after it and its mean loss."""
        with torch.enable_grad():
            scores, state = walker.walk(sequence, state)
            flat = scores.flatten(0, 1)
            loss = F.cross_entropy(flat, require_labels(targets.flatten(), flat.shape[1]).long())
            share = 1.0 if self.update == "window" else sequence.shape[1] / steps
            (loss * share).backward()  # type: ignore[no-untyped-call]
        return tuple(part.detach() for part in state), loss.detach()

    def _start(self, sequence: Tensor) -> State | None:
        if not self.carry or self._state is None:
            return None
        if self._state[0].shape[1] != len(sequence):
            raise ConfigError(
                f"carry=True needs batches of one size: the state is that of {self._state[0].shape[1]} sequences, "
                f"this batch has {len(sequence)}; cut the data so that batch_size divides them"
            )
        return self._state

    def _keep(self, state: State) -> None:
        if self.carry:
            self._state = tuple(part.detach() for part in state)
