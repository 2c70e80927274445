"""The perceptron and the sigmoid neuron: one layer of units over the pixels.

    u = W x + b                   the potentials
    y = 1 where u > 0, else 0     the perceptron's step
    y = 1 / (1 + exp(-u))         the sigmoid neuron

Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain",
Psychological Review 65 (1958) 386-408. Trained without the step function, the same layer is the ADALINE: Widrow and
Hoff, "Adaptive switching circuits", IRE WESCON Convention Record 4 (1960) 96-104.

A unit fires where u > 0, not where u >= 0: a unit whose weights are all zero is silent. The choice at u = 0 matters: an
AND unit trained on (1,1) (1,0) (0,1) (0,0), from zero and with rate .1, ends at weights [.1 .2] and bias -.2 with this
convention, at bias -.3 with the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_features, require_whole
from threegen.machine.memory import require_weights


class Perceptron(nn.Linear):
    """One layer of step units: one unit, or one for each class. All weights start at zero.

    `forward` takes `[B, inputs]` or images of as many pixels and returns scores `[B, outputs]`, the potentials.
    `weight [outputs, inputs]` and `bias [outputs]` are what `PerceptronRule` and `DeltaRule` train.

    With `averaged=True` the model keeps the running sum of the weights after every example, and answers with their
    average in evaluation mode, with the current weights in training mode. The average makes fewer errors than the last
    weights, which the latest mistake has just changed (Freund and Schapire, "Large margin classification using the
    perceptron algorithm", Machine Learning 37 (1999) 277-296). Like the perceptron itself it does not depend on the
    rate, which only scales all weights. Before the first example it answers with the current weights. Raises
    `ConfigError` for sizes below one, `ResourceError` for weights that do not fit into memory, `ShapeError` for inputs
    of another width or type.
    """

    weight_sum: Tensor
    bias_sum: Tensor
    examples: Tensor

    def __init__(self, inputs: int, outputs: int = 1, *, averaged: bool = False) -> None:
        require_weights("Perceptron", [(require_whole("inputs", inputs), require_whole("outputs", outputs))])
        super().__init__(inputs, outputs)
        self.averaged = averaged
        if averaged:
            self.register_buffer("weight_sum", torch.zeros_like(self.weight.detach()))
            self.register_buffer("bias_sum", torch.zeros_like(self.bias.detach()))
            self.register_buffer("examples", torch.zeros((), dtype=torch.int64))

    def reset_parameters(self) -> None:
        """Set weights and biases to zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, outputs]`: the potentials, larger is better."""
        return self.potentials(inputs)

    def potentials(self, inputs: Tensor) -> Tensor:
        """Return the units' potentials `[B, outputs]` with the weights of the current mode."""
        flat = require_features("Perceptron", inputs, self.in_features, self.weight)
        return F.linear(flat, *self.answering())

    def answering(self) -> tuple[Tensor, Tensor]:
        """Return the weight and bias with which the model answers in its current mode."""
        if self.training or not self.averaged:
            return self.weight, self.bias
        lived = self.examples > 0
        examples = self.examples.clamp(min=1)
        weight = torch.where(lived, self.weight_sum / examples, self.weight)
        return weight, torch.where(lived, self.bias_sum / examples, self.bias)

    def fires(self, inputs: Tensor) -> Tensor:
        """Return the units' outputs `[B, outputs]`, 1 where the potential is above zero, else 0 (int64)."""
        return (self.potentials(inputs) > 0).long()

    def predict(self, inputs: Tensor) -> Tensor:
        """Return labels `[B]` (int64): one unit answers 0 or 1, several the class of the highest potential."""
        return _decide(self.potentials(inputs), 0.0)

    @torch.no_grad()
    def accumulate(self, examples: int) -> None:
        """Add the current weights `examples` times to the running sum (no effect without `averaged`)."""
        if self.averaged and examples:
            self.weight_sum.add_(self.weight, alpha=examples)
            self.bias_sum.add_(self.bias, alpha=examples)
            self.examples += examples

    def extra_repr(self) -> str:
        """Return what `repr` shows between the brackets."""
        return f"{self.in_features}, {self.out_features}" + (", averaged=True" if self.averaged else "")


class SigmoidNeuron(nn.Linear):
    """One layer of sigmoid units; the graded answer makes the error differentiable.

    `forward` takes `[B, inputs]` or images of as many pixels and returns the units' answers `[B, outputs]` in 0..1.
    Train it by `Backprop("sse")`: dE/dw = (y - t) y (1 - y) x. Initial weights are drawn from N(0, 1 / inputs) by
    `generator` (None: torch's own), biases start at zero.
    Raises `ConfigError` for sizes below one, `ResourceError` for weights that do not fit into memory, `ShapeError` for
    inputs of another width or type.
    """

    def __init__(self, inputs: int, outputs: int = 1, *, generator: torch.Generator | None = None) -> None:
        require_weights("SigmoidNeuron", [(require_whole("inputs", inputs), require_whole("outputs", outputs))])
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, 0.0, inputs**-0.5, generator=generator)

    def reset_parameters(self) -> None:
        """Set weights and biases to zero; the constructor then draws the weights."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the answers `[B, outputs]` in 0..1; larger is better."""
        return torch.sigmoid(self.potentials(inputs))

    def potentials(self, inputs: Tensor) -> Tensor:
        """Return the units' potentials `[B, outputs]`, before the sigmoid."""
        flat = require_features("SigmoidNeuron", inputs, self.in_features, self.weight)
        return F.linear(flat, self.weight, self.bias)

    def predict(self, inputs: Tensor) -> Tensor:
        """Return labels `[B]` (int64): one unit gives 1 if its answer is above 1/2, several give the index of the
        highest."""
        return _decide(self(inputs), 0.5)


def _decide(scores: Tensor, threshold: float) -> Tensor:
    return (scores[:, 0] > threshold).long() if scores.shape[1] == 1 else scores.argmax(1)
