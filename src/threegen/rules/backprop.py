"""Back-propagation: the gradient of a loss over the scores, found by automatic differentiation.

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

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_labels
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.optimization.cross_entropy_fused import softmax_errors
from threegen.rules.dense_chain import DenseChain, dense_chain
from threegen.rules.rule import Rule, Step, Update, answer, require_batch
from threegen.rules.targets import one_hot_targets, require_like, require_scores

Loss = Callable[[Tensor, Tensor], Tensor]

_ENABLED = nullcontext()

# torch leaves labels of -100 out without a word; no label is this one, so every wrong label is refused.
_NO_LABEL = -(2**62)


class Backprop(Rule):
    """Train any differentiable model by the gradient of `loss`: one yield a batch.

    `loss` is "cross_entropy", "mse", "sse", "signed_mse", "map" or a function of (scores `[B, K]`, targets) that
    returns a 0-d tensor. The named losses take labels `[B]` in 0..K-1 (mse and sse make them one-hot, 0 and 1; with
    one score, K = 1, the labels 0 and 1 themselves); all but "map" take floating targets `[B, K]` as they are too.
    Figure: `loss`.

    Raises `ConfigError` for an unknown loss or a model with nothing to train, `DataError` for an empty batch, for
    missing targets and for labels out of range, `NumericError` for inputs that are not finite.
    """

    default_optimizer = "adam"

    def __init__(self, loss: str | Loss = "cross_entropy") -> None:
        self.loss = loss
        self._compute = resolve_loss(loss)

    def __repr__(self) -> str:
        name = getattr(self.loss, "__name__", self.loss)
        return f"Backprop({name!r})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` where no parameter of `model` needs a gradient."""
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(
                f"Backprop needs a model with parameters to train, {type(model).__name__} has none that need a gradient"
            )

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with the gradient of the loss over `batch` and yield once."""
        targets = require_batch("Backprop", batch)
        # a loss of the user's own may depend on the weights by itself
        chain = dense_chain(model, batch.inputs) if isinstance(self.loss, str) else None
        if chain is not None:
            yield self._learn_chain(chain, batch, targets)
            return
        with _ENABLED if torch.is_grad_enabled() else torch.enable_grad():
            loss = self._loss_of(answer(model, batch.inputs, generator), targets)
            if not loss.requires_grad:
                self.check(model)
                raise ConfigError(f"the loss of {type(model).__name__} does not depend on its parameters")
            loss.backward()  # type: ignore[no-untyped-call]
        yield Update(loss=loss.detach())

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

    def _loss_of(self, scores: Tensor, targets: Tensor) -> Tensor:
        loss = self._compute(scores, targets)
        if loss.dim() != 0:
            raise ConfigError(f"the loss must be a 0-d tensor, got shape {list(loss.shape)}; take its mean")
        return loss


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Softmax and cross-entropy; floating targets `[B, K]` are class probabilities."""
    _require_classes(scores)
    if targets.is_floating_point():
        return F.cross_entropy(scores, require_like(scores, targets))
    if targets.dim() != 1 or targets.dtype == torch.bool or targets.device.type != "cpu":
        require_labels(targets, scores.shape[1])  # on a GPU a label out of range could not be caught below
    try:
        return F.cross_entropy(scores, targets.long(), ignore_index=_NO_LABEL)
    except IndexError:
        require_labels(targets, scores.shape[1])
        raise


def _cross_entropy_and_error(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy E of labels `[B]` on the CPU and dE/ds = (softmax(s) - t) / B, t the one-hot rows.

    Quick for scores `[B, K]` of which one class's lie side by side in memory.
    """
    _require_classes(scores)
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


def _require_classes(scores: Tensor) -> None:
    require_scores(scores)
    if scores.shape[1] == 1:
        raise ConfigError("cross_entropy needs at least 2 scores, the model has 1; use 'mse' or 'sse' for one unit")


def _mean_squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores, one_hot_targets(scores, targets))


def _sum_of_squared_errors(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores, one_hot_targets(scores, targets)) * (scores.shape[1] / 2)


def _signed_squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores, one_hot_targets(scores, targets, -1.0, 1.0))


def _maximum_a_posteriori(scores: Tensor, targets: Tensor) -> Tensor:
    require_scores(scores)
    right = require_labels(targets, scores.shape[1]).long().unsqueeze(1)
    rubbish = scores.new_full((len(scores), 1), -RUBBISH)
    return (torch.cat([scores, rubbish], 1).logsumexp(1) - scores.gather(1, right).squeeze(1)).mean()


RUBBISH = 5.0  # the j of "map"
_LOSSES: dict[str, Loss] = {
    "cross_entropy": _cross_entropy,
    "mse": _mean_squared_error,
    "sse": _sum_of_squared_errors,
    "signed_mse": _signed_squared_error,
    "map": _maximum_a_posteriori,
}


def resolve_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name, or the function itself; raises `ConfigError` for an unknown name."""
    return loss if callable(loss) else _LOSSES[require_choice("loss", loss, _LOSSES)]
