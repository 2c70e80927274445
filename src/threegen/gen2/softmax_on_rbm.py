"""A classifier on the features of an RBM trained without labels: softmax over its hidden probabilities.

    h = sigmoid(b + W v)          W, b of an RBM trained on the images alone
    s = V h + c p(class) = softmax(s), trained with the labels while the RBM is frozen

Smolensky, in: Parallel Distributed Processing, volume 1 (MIT Press 1986), chapter 6; Hinton, "Training products of
experts by minimizing contrastive divergence", Neural Computation 14 (2002) 1771-1800.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threegen.checks import require_whole
from threegen.gen2.initial_values import linear
from threegen.gen2.rbm import RBM, UnitChoice


class SoftmaxOnRBM(nn.Module):
    """An `RBM`, `rbm`, of `visible` and `hidden` units, and a linear layer, `output`, from its means to the classes.

    `forward` takes `[B, visible]` or images of as many pixels and returns scores `[B, classes]`. The two parts are
    trained one after the other: the first by contrastive divergence, the second by back-propagation.
    Raises `ConfigError` for sizes that cannot work, `ShapeError` for inputs of another width or type.
    """

    def __init__(
        self,
        visible: int,
        hidden: int,
        classes: int,
        visible_units: UnitChoice = "bernoulli",
        *,
        init: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        require_whole("classes", classes, least=2)
        self.rbm = RBM(visible, hidden, visible_units, init=init, generator=generator)
        self.output = linear(hidden, classes, "glorot-uniform", generator)

    def receptive_fields(self) -> Tensor:
        """Return the receptive field of each hidden unit, `[hidden, visible]`: its weights."""
        return self.rbm.weight.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]`, larger is better."""
        return self.output(self.rbm(inputs))  # type: ignore[no-any-return]
