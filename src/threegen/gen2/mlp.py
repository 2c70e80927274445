"""The multi-layer perceptron: layers of units between input and output, trained by back-propagation.

    a_0 = x                               the image, flattened
    a_l = f(W_l a_(l-1) + b_l)            l = 1 .. L-1
    s   = W_L a_(L-1) + b_L               the scores; softmax belongs to the loss

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986) 533-536.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_features, require_number, require_sizes
from threegen.errors import ConfigError
from threegen.gen2.initial_values import linear, require_init
from threegen.gen2.spike_activations import FOR_SPIKES
from threegen.gen2.stacked import StackedMLP
from threegen.machine.memory import require_weights
from threegen.machine.sparse.layouts import may_pay

STACKABLE: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
ACTIVATIONS = {**STACKABLE, **FOR_SPIKES}


class MLP(nn.Module):
    """Fully connected layers of the given `sizes`, such as `[784, 512, 10]`.

    `forward` takes `[B, sizes[0]]` or images of as many pixels and returns scores `[B, sizes[-1]]`.
    Each hidden layer is linear, batch normalisation (optional), activation, dropout (if `dropout > 0`). The activation
    is "relu", "sigmoid", "tanh", or one that is trained for spikes (see `spike_activations`): "clipped", "steps",
    "one-step", "soft-lif". `bias=False` leaves out the biases, as the first converters to spikes required. The
    sub-modules are in `layers` under the names `linear1`, `norm1`, `activation1`, `dropout1`, `linear2`, ... Initial
    weights come only from `generator`, by `init` (see `gen2/initial_values.py`); biases start at zero. Raises
    `ConfigError` for sizes, names or numbers that cannot work, `ResourceError` for weights that do not fit into memory,
    `ShapeError` for inputs of another width.
    """

    def __init__(
        self,
        sizes: Iterable[int],
        *,
        activation: str = "relu",
        init: str | float = "glorot-uniform",
        dropout: float = 0.0,
        batch_norm: bool = False,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sizes = require_sizes("sizes", sizes)
        require_weights("MLP", zip(self.sizes, self.sizes[1:], strict=False))
        self.activation = require_choice("activation", activation, ACTIVATIONS)
        self.init = require_init(init)
        self.dropout = require_number("dropout", dropout, least=0.0, below=1.0)
        self.batch_norm, self.bias = bool(batch_norm), bool(bias)
        self.layers = nn.Sequential(OrderedDict(self._build(generator)))

    def _build(self, generator: torch.Generator | None) -> Iterable[tuple[str, nn.Module]]:
        last = len(self.sizes) - 1
        for number, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), start=1):
            layer = linear(inputs, outputs, self.init, generator)
            if not self.bias:
                layer.bias = None  # type: ignore[assignment]
            yield f"linear{number}", layer
            if number == last:
                return
            if self.batch_norm:
                yield f"norm{number}", nn.BatchNorm1d(outputs)
            yield f"activation{number}", ACTIVATIONS[self.activation]()
            if self.dropout:
                yield f"dropout{number}", nn.Dropout(self.dropout)

    def input_major(self) -> list[Tensor]:
        """Return the weights that `fit` stores input-major: the first ones, so that blank pixels can be skipped."""
        weight = cast(nn.Linear, self.layers.linear1).weight
        return [weight] if may_pay(weight) and not self.batch_norm else []

    def chain(self) -> nn.Sequential | None:
        """Return the layers that compute the scores from flattened inputs; None in a subclass with another
        `forward`."""
        return self.layers if type(self).forward is MLP.forward else None

    def stack(self, n: int) -> StackedMLP:
        """Return an empty stack for `n` networks like this one, which then train together (see `gen2/stacked.py`)."""
        if self.activation not in STACKABLE or not self.bias:
            raise ConfigError(
                f"an MLP with activation={self.activation!r} and bias={self.bias} cannot be stacked; "
                "its networks train one by one"
            )
        return StackedMLP(self, n)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of `inputs`; larger is better."""
        weight: Tensor = self.layers.linear1.weight  # type: ignore[assignment,union-attr]
        flat = require_features("MLP", inputs, self.sizes[0], weight)
        scores: Tensor = self.layers(flat)
        return scores
