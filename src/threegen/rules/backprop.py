"""Back-propagation: the gradient of a loss of the scores, computed by automatic differentiation.

    cross_entropy   E = -log softmax(s)_t            mean over the batch
    mse             E = 1/K  sum_k (s_k - t_k)^2     mean over the batch (K scores)
    sse             E = 1/2  sum_k (s_k - t_k)^2     mean over the batch
    signed_mse      as mse, with t = 1 for the class and -1 for the others
    map             E = d_t + log(exp(-j) + sum_k exp(-d_k)),  d = -s, j = 5        mean over the batch

The sum of squared errors is the textbook's E = 1/2 sum_k (y_k - t_k)^2 of one example. It is averaged over the
batch, not summed, so that the rate keeps its meaning when the batch grows or is split over several processes.

"map", the maximum a posteriori criterion, takes scores that are negated distances d_k >= 0 and pushes all classes but
the right one away; j is the distance of a "rubbish" class. LeCun et al., Proceedings of the IEEE 86 (1998), eq. 9,
where j is a positive constant without a value.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986), eq. 3-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_labels
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.optimization.cross_entropy_fused import softmax_errors
from threegen.rules.dense_chain import DenseChain, dense_chain
from threegen.rules.losses import LOSSES, Loss, require_classes
from threegen.rules.rule import Rule, Step, Update, answer, has_generator, require_batch
from threegen.rules.spiking_losses import RECORD, RECORD_LOSSES, RecordLoss

SCORES = "scores"
_ENABLED = nullcontext()


class Backprop(Rule):
    """Train any differentiable model by the gradient of `loss`: one yield per batch.

    `loss` is "cross_entropy", "mse", "sse", "signed_mse", "map" or a function of (scores `[B, K]`, targets) that
    returns a 0-d tensor. The named losses take labels `[B]` in 0..K-1 (mse and sse make them one-hot, 0 and 1; with
    one score, K = 1, the labels 0 and 1 themselves); all but "map" also take floating targets `[B, K]` as they are.

    For spiking nets `loss` is also "spike_count_mse", "spike_count_cross_entropy", "membrane_cross_entropy",
    "max_membrane_cross_entropy", "membrane_mse", "first_spike_cross_entropy" or "first_spike_mse", one of their classes
    with other settings (see `spiking_losses`), or with `of="record"` a function of (record, targets): the record of
    `model.run`, which has the spikes, counts, potentials and scores. `of` is "scores" by default, unless the loss
    declares it. Figure: `loss`.

    Raises `ConfigError` for an unknown loss or a model with nothing to train, `DataError` for an empty batch, for
    missing targets and for labels out of range, `NumericError` for inputs that are not finite.

        Backprop(SpikeCountMSE(correct=0.8, incorrect=0.1))
        Backprop(lambda record, targets: record.counts[-1].square().mean(), of="record")
    """

    default_optimizer = "adam"

    def __init__(self, loss: str | Loss | RecordLoss = "cross_entropy", of: str | None = None) -> None:
        self.loss = loss
        known: dict[str, Any] = {**LOSSES, **RECORD_LOSSES}
        self._compute: Any = loss if callable(loss) else known[require_choice("loss", loss, known)]
        own = getattr(self._compute, "of", SCORES)
        if isinstance(loss, str) and of not in (None, own):
            raise ConfigError(f"the loss {loss!r} is one of the {own}, not of={of!r}; leave `of` out")
        self.of = require_choice("of", own if of is None else of, (SCORES, RECORD))

    def __repr__(self) -> str:
        name = getattr(self.loss, "__name__", self.loss)
        told = "" if self.of == getattr(self._compute, "of", SCORES) else f", of={self.of!r}"
        return f"Backprop({name!r}{told})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if no parameter of `model` needs a gradient."""
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(
                f"Backprop needs a model with parameters to train, {type(model).__name__} has none that need a gradient"
            )
        if self.of == RECORD and not callable(getattr(model, "run", None)):
            raise ConfigError(
                f"{self!r} reads the record of a spiking net's run(), {type(model).__name__} has none; use a loss of "
                "the scores, such as 'cross_entropy'"
            )

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with the gradient of the loss over `batch` and yield once."""
        targets = require_batch("Backprop", batch)
        # a user's own loss may depend directly on the weights
        named = isinstance(self.loss, str) and self.of == SCORES
        chain = dense_chain(model, batch.inputs) if named else None
        if chain is not None:
            yield self._learn_chain(chain, batch, targets)
            return
        with _ENABLED if torch.is_grad_enabled() else torch.enable_grad():
            loss = self._loss_of(self._found(model, batch.inputs, generator), targets)
            if not loss.requires_grad:
                self.check(model)
                raise ConfigError(f"the loss of {type(model).__name__} does not depend on its parameters")
            loss.backward()  # type: ignore[no-untyped-call]
        yield Update(loss=loss.detach())

    def _found(self, model: Any, inputs: Tensor, generator: torch.Generator) -> Any:
        """Return the argument of the loss: the scores, or the record of a spiking net."""
        if self.of == SCORES:
            return answer(model, inputs, generator)
        self.check(model)
        return model.run(inputs, generator=generator) if has_generator(type(model).run) else model.run(inputs)

    def _learn_chain(self, chain: DenseChain, batch: Batch, targets: Tensor) -> Update:
        """Fill the gradients of a plain chain."""
        labels = self.loss == "cross_entropy" and targets.dim() == 1 and not targets.is_floating_point()
        with torch.no_grad():
            layers = chain.forward(batch.inputs.flatten(1), by_class=labels)
            find = _cross_entropy_and_error if labels else self._loss_and_error
            loss, error = find(layers[-1], targets)
            bound = chain.backward(layers, error, batch.largest)
        return Update(bound, loss=loss)

    def _loss_and_error(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient by the scores `[B, K]`."""
        with torch.enable_grad():
            loss = self._loss_of(scores.requires_grad_(), targets)
            (error,) = torch.autograd.grad(loss, scores)
        return loss.detach(), error

    def _loss_of(self, found: Any, targets: Tensor) -> Tensor:
        loss: Tensor = self._compute(found, targets)
        if loss.dim() != 0:
            raise ConfigError(f"the loss must be a 0-d tensor, got shape {list(loss.shape)}; take its mean")
        return loss


def _cross_entropy_and_error(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy E of labels `[B]` on the CPU and dE/ds = (softmax(s) - t) / B, t the one-hot rows.

    Fast for scores `[B, K]` that are stored column-major.
    """
    require_classes(scores)
    if labels.dtype == torch.bool:
        require_labels(labels, scores.shape[1])
    if scores.dtype == torch.float32 and scores.t().is_contiguous() and labels.is_contiguous():
        error = torch.empty(scores.shape[1], len(scores))
        found = softmax_errors(scores.t().numpy(), labels.numpy(), error.numpy())
        if found < 0:
            require_labels(labels, scores.shape[1])
        return torch.scalar_tensor(found), error.t()
    places, shares = labels.long().unsqueeze(0), _shares(len(scores), scores.dtype)
    logs = scores.t().log_softmax(0)
    try:
        loss = logs.gather(0, places).view(-1).dot(shares.view(-1))
    except (IndexError, RuntimeError):
        require_labels(labels, scores.shape[1])
        raise
    error = logs.exp_().mul_(1.0 / len(scores)).scatter_add_(0, places, shares)
    return loss, error.t()


@lru_cache(maxsize=8)
def _shares(examples: int, dtype: torch.dtype) -> Tensor:
    """Return -1/B for each example `[1, B]`."""
    return torch.full((1, examples), -1.0 / examples, dtype=dtype)
