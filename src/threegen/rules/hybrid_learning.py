"""Hybrid learning of a classification RBM: a classifier that is also trained as a model of its inputs.

    E = -mean log p(y|v) - generative * mean log p(v, y)

The first term's gradient is exact; with o_yj = b_j + (W v)_j + U_jy and p_y = p(y|v):

    db = sigmoid(o_y) - sum over y' of p_y' sigmoid(o_y')        dW = db v^T        dc_y' = [y' = y] - p_y'
    dU_y' = [y' = y] sigmoid(o_y) - p_y' sigmoid(o_y')                              a gets nothing

The second's is that of contrastive divergence.

Larochelle and Bengio, "Classification using discriminative restricted Boltzmann machines", ICML 2008, sections 4
and 5.

Shapes: B examples, V inputs, C classes, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_labels, require_number
from threegen.datasets.batches import Batch
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import Step, Update, ascend, descend, require_batch, require_parts

PARTS = ("input_weight", "label_weight", "label_bias")


class HybridLearning(ContrastiveDivergence):
    """Train a classification RBM as a classifier and, by the share `generative`, as a model of its inputs.

    generative: the weight of contrastive divergence; 0 is the purely discriminative machine (which `Backprop` of the
        cross-entropy trains as well). The other options are those of `ContrastiveDivergence`.
    One yield per batch. Figures: `loss`, the mean of -log p(y|v), and those of contrastive divergence.
    Raises `ConfigError` for a model without label units, `DataError` for labels out of range.
    """

    default_rate = 0.05
    uses_labels = True

    def __init__(self, generative: float = 0.01, steps: int = 1, **options: Any) -> None:
        super().__init__(steps, **options)
        self.generative = require_number("generative", generative, least=0.0)

    def __repr__(self) -> str:
        return f"HybridLearning(generative={self.generative:g}, steps={self.steps})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not an RBM with label units."""
        super().check(model)
        require_parts(self, model, *PARTS)

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with the gradient of E (its second term by CD) and yield once."""
        self.check(model)
        net = cast(Any, model)
        labels = require_batch("HybridLearning", batch)
        states = net.visible_states(batch.inputs, labels)
        require_labels(labels, states.shape[1] - net.input_weight.shape[1])
        figures: dict[str, Tensor] = {}
        if self.generative:
            found = self.gradients(net, batch, generator)
            figures = found.figures
            descend(net.weight, self.generative * found.weight)
            descend(net.visible_bias, self.generative * found.visible)
            descend(net.hidden_bias, self.generative * found.hidden)
        loss = self._discriminate(net, states[:, : net.input_weight.shape[1]], labels)
        yield Update(loss=loss, **figures)

    def _discriminate(self, net: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        """Add the exact gradient of -mean log p(y|v) to `.grad`; return the loss."""
        o = F.linear(inputs, net.input_weight, net.hidden_bias).unsqueeze(1) + net.label_weight.T  # [B, C, H]
        log_chances = (net.label_bias + F.softplus(o).sum(2)).log_softmax(1)
        apart = F.one_hot(labels, log_chances.shape[1]).to(o.dtype) - log_chances.exp()  # [B, C]
        pulls = torch.sigmoid(o) * apart.unsqueeze(2) / len(inputs)
        hidden = pulls.sum(1)
        ascend(net.weight, torch.cat([hidden.T @ inputs, pulls.sum(0).T], 1))
        ascend(net.visible_bias, torch.cat([torch.zeros_like(inputs[0]), apart.mean(0)]))
        ascend(net.hidden_bias, hidden.sum(0))
        return F.nll_loss(log_chances, labels)
