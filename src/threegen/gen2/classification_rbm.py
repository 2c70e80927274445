"""The classification RBM: pixels and one label unit per class are connected to the same hidden units.

    F(v, y) = -a . v - c_y - sum_j softplus(b_j + (W v)_j + U_jy)
    p(y|v) = exp(-F(v, y)) / sum over y' of exp(-F(v, y')) exact: one product for all classes

It is trained as a generative model of (v, y) by `ContrastiveDivergence`, as a classifier by `Backprop` of the
cross-entropy of its scores, or as both by `HybridLearning`.

Larochelle and Bengio, "Classification using discriminative restricted Boltzmann machines", ICML 2008.

Shapes: B examples, V inputs, C classes, H hidden units; the label units come after the V inputs.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_features, require_labels, require_whole
from threegen.errors import DataError
from threegen.functional.energy.free_energy import class_free_energies, join_labels
from threegen.functional.energy.units import SoftmaxUnits, are_binary, make_units, require_unit_values
from threegen.gen2.rbm import RBM, UnitChoice


class ClassificationRBM(RBM):
    """An `RBM` of `inputs` visible units, `classes` label units, and `hidden` binary units.

    `forward` takes `[B, V]` or images of V pixels and returns scores `[B, C]`: -F(v, y) without the terms that all
    classes share, so that their softmax is p(y|v). `weight` `[H, V + C]` is W and U concatenated. Raises like `RBM`.
    """

    classifies = True

    def __init__(
        self,
        inputs: int,
        classes: int,
        hidden: int,
        input_units: UnitChoice = "bernoulli",
        *,
        init: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        self.inputs = require_whole("inputs", inputs)
        self.classes = require_whole("classes", classes, least=2)
        self.input_units = make_units("inputs", inputs, input_units)
        units = [self.input_units, SoftmaxUnits(classes)]
        super().__init__(inputs + classes, hidden, units, init=init, generator=generator)

    @property
    def needs_unit_range(self) -> bool:
        """Whether the inputs must be in 0..1; Gaussian units take any value."""
        return are_binary(self.input_units)

    @property
    def input_weight(self) -> Tensor:
        """W `[H, V]`."""
        return self.weight[:, : self.inputs]

    @property
    def label_weight(self) -> Tensor:
        """U `[H, C]`."""
        return self.weight[:, self.inputs :]

    @property
    def label_bias(self) -> Tensor:
        """c `[C]`."""
        return self.visible_bias[self.inputs :]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, C]`, larger is better."""
        flat = self._inputs(inputs)
        total = F.linear(flat, self.input_weight, self.hidden_bias)
        return -class_free_energies(total, self.label_weight, self.label_bias)

    def visible_states(self, inputs: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return inputs and labels `[B]` as states of all visible units `[B, V + C]`; both are needed."""
        if targets is None:
            raise DataError("ClassificationRBM learns pixels and labels together, but the batch has no targets")
        return join_labels(self._inputs(inputs), targets, self.classes)

    def _inputs(self, inputs: Tensor) -> Tensor:
        name = type(self).__name__
        return require_unit_values(name, self.input_units, require_features(name, inputs, self.inputs, self.weight))

    @torch.no_grad()
    def start_visible_bias(self, data: Tensor, targets: Tensor | None = None) -> None:
        """Set the visible biases from the means of `data` `[N, ...]` and the shares of the classes in `targets`."""
        self.visible_bias.copy_(self.visible_units.bias_of(self.visible_states(data, targets).mean(0)))

    @torch.no_grad()
    def generate(
        self, labels: Tensor | int, steps: int = 1000, *, count: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the input units' means `[B, V]` after `steps` steps of Gibbs sampling with the labels held.

        `labels` is one class, of which `count` examples are made, or a tensor `[B]`.
        """
        if isinstance(labels, int) and not isinstance(labels, bool):
            labels = torch.full((require_whole("count", count),), labels)
        wanted = require_labels(cast(Tensor, labels), self.classes)
        blank = self.visible_units.mean(self.visible_bias.expand(len(wanted), -1))
        means = join_labels(blank[:, : self.inputs], wanted, self.classes)
        for _ in range(require_whole("steps", steps)):
            states = join_labels(self.draw_visible(means, generator)[:, : self.inputs], wanted, self.classes)
            hidden = self.draw_hidden(self.hidden_given_visible(states), generator)
            means = self.visible_given_hidden(hidden)
        return means[:, : self.inputs]
