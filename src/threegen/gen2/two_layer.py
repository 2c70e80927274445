"""The two-layer net of introductory courses: sigmoid units in both layers.

    h = sigmoid(W1 x + b1)
    y = sigmoid(W2 h + b2)
    E = 1/2 sum_k (y_k - t_k)^2

    dE/dW2 = d2 h^T,   d2 = (y - t) y (1 - y)
    dE/dW1 = d1 x^T,   d1 = (W2^T d2) h (1 - h)

Rumelhart, Hinton and Williams, "Learning internal representations by error propagation", in: Parallel Distributed
Processing, volume 1 (MIT Press 1986), chapter 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threegen.gen2.mlp import MLP


class TwoLayerNet(MLP):
    """An `MLP` of one hidden layer with sigmoid units throughout; train it by `Backprop("sse")`.

    `forward` takes `[B, inputs]` and returns the outputs `[B, outputs]` in 0..1. `bias=False` leaves the biases out,
    as in the shortest programs. Initial weights come only from `generator`, by `init`; biases start at zero. Raises
    `ConfigError` for sizes that cannot work, `ShapeError` for inputs of another width.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int = 1,
        *,
        bias: bool = True,
        init: str | float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__([inputs, hidden, outputs], activation="sigmoid", init=init, generator=generator)
        if not bias:
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    layer.register_parameter("bias", None)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs `[B, outputs]` in 0..1."""
        return torch.sigmoid(super().forward(inputs))
