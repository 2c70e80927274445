"""Every model keeps the contract, and each check can fail. A new model joins by a line in MODELS."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.checks import require_features
from threegen.gen1.perceptron import Perceptron, SigmoidNeuron
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen2.recurrent import RecurrentNet
from threegen.gen2.two_layer import TwoLayerNet
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.testing import ContractViolation, check_model

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
POINTS = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))


def trained_average(generator: torch.Generator) -> nn.Module:
    """An averaged perceptron in mid-life: its answers in the two modes differ."""
    model = Perceptron(784, 10, averaged=True)
    with torch.no_grad():
        for examples in (3, 4):
            model.weight.normal_(generator=generator)
            model.accumulate(examples)
    return model


MODELS: dict[str, tuple[Any, Tensor, int]] = {
    # name: factory, inputs, classes
    "perceptron, one unit": (lambda generator: Perceptron(784), IMAGES, 1),
    "perceptron": (lambda generator: Perceptron(784, 10), IMAGES, 10),
    "perceptron, averaged": (trained_average, IMAGES, 10),
    "sigmoid neuron": (lambda generator: SigmoidNeuron(6, generator=generator), POINTS, 1),
    "mlp": (lambda generator: MLP([784, 30, 10], generator=generator), IMAGES, 10),
    "mlp, tanh, flat inputs": (lambda generator: MLP([6, 5, 4], activation="tanh", generator=generator), POINTS, 4),
    "mlp, all options": (
        lambda generator: MLP(
            [6, 5, 4, 3], activation="sigmoid", dropout=0.5, batch_norm=True, init="he", generator=generator
        ),
        POINTS,
        3,
    ),
    "two-layer net": (lambda generator: TwoLayerNet(6, 4, 2, generator=generator), POINTS, 2),
    "elman net, rows": (lambda generator: RecurrentNet(28, 12, 10, generator=generator), IMAGES, 10),
    "lstm, rows": (lambda generator: RecurrentNet(28, 12, 10, cell="lstm", generator=generator), IMAGES, 10),
    "gru, two layers": (
        lambda generator: RecurrentNet(28, 6, 10, cell="gru", layers=2, generator=generator),
        IMAGES,
        10,
    ),
    "spiking-mlp": (lambda generator: SpikingMLP([784, 20, 10], steps=4, generator=generator), IMAGES, 10),
    "spiking-conv": (
        lambda generator: SpikingConvNet("3C5-P2-20-10", steps=4, generator=generator),
        IMAGES,
        10,
    ),
    "lenet-5-modern": (lambda generator: LeNet5Modern(generator=generator), IMAGES, 10),
}


@pytest.mark.parametrize("name", MODELS)
def test_model_keeps_the_contract(name: str) -> None:
    factory, inputs, classes = MODELS[name]
    assert len(check_model(factory, inputs, classes=classes)) == 15


class Healthy(nn.Linear):
    """A linear classifier of 6 inputs and 3 classes; the broken models below change one thing each."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(6, 3)
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            self.bias.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(require_features("Healthy", inputs, 6, self.weight))


class FlatScores(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).flatten()


class NotFinite(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) / 0


class Squeezes(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).squeeze(0)


class TorchsOwnDraw(Healthy):
    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        nn.init.normal_(self.weight)


class NoisyAnswer(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        scores = super().forward(inputs)
        return scores + torch.rand_like(scores)


class HiddenPart(Healthy):
    """Keeps a weight where `state_dict` does not see it."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self.hidden = torch.randn((), generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * self.hidden


class SharesCopies(Healthy):
    def __deepcopy__(self, memo: dict[int, Any]) -> SharesCopies:
        return self


class SwitchesMode(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        self.train()
        return super().forward(inputs)


class CountsInEvaluation(Healthy):
    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(inputs)


class WritesOnInputs(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.mul_(2) if inputs.is_floating_point() else inputs)


class BareErrors(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.weight, self.bias)


class TakesBytes(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.to(self.weight.dtype))


class CutsTheGraph(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).detach() + self.bias


class Float32Only(Healthy):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).float()


class StoredByInputs(Healthy):
    """Its weight is a transposed view: safetensors, one vector of all parameters and LBFGS refuse it."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self.weight.data = self.weight.data.t().contiguous().t()


class HoldsItsWeight(Healthy):
    """Answers with the parameter that it was made with, which pruning leaves whole."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self.held = [self.weight]

    def forward(self, inputs: Tensor) -> Tensor:
        flat = require_features("Healthy", inputs, 6, self.held[0])
        return nn.functional.linear(flat, self.held[0], self.bias)


class Explodes(Healthy):
    """Its scores leave the range of float32 when the weights move a little."""

    def forward(self, inputs: Tensor) -> Tensor:
        scores = super().forward(inputs)
        return scores * torch.where(scores.abs() > 1e-3, 1e19, 1.0)


BROKEN = {
    FlatScores: "scores [B, classes]",
    NotFinite: "scores [B, classes]",
    Squeezes: "batch of one",
    TorchsOwnDraw: "same generator, same bits",
    NoisyAnswer: "same generator, same bits",
    HiddenPart: "state round trip",
    SharesCopies: "deep copy",
    SwitchesMode: "modes",
    CountsInEvaluation: "still in evaluation",
    WritesOnInputs: "still in evaluation",
    BareErrors: "wrong inputs",
    TakesBytes: "wrong inputs",
    CutsTheGraph: "finite gradients",
    Float32Only: "float64",
    StoredByInputs: "contiguous",
    HoldsItsWeight: "pruning",
    Explodes: "LBFGS",
}
# a weight that is not contiguous breaks these too
BROKEN_TOO = {StoredByInputs: ("safetensors", "one vector")}


def test_the_unbroken_model_passes() -> None:
    assert len(check_model(Healthy, POINTS, classes=3)) == 15


@pytest.mark.parametrize("model", BROKEN)
def test_each_fault_is_found(model: Any) -> None:
    with pytest.raises(ContractViolation) as caught:
        check_model(model, POINTS, classes=3)
    assert {BROKEN[model], *BROKEN_TOO.get(model, ())} <= set(caught.value.failures)


def test_every_check_of_models_can_fail() -> None:
    found = {*BROKEN.values(), *(name for names in BROKEN_TOO.values() for name in names)}
    assert found == set(check_model(Healthy, POINTS))


def test_another_number_of_classes_is_found() -> None:
    with pytest.raises(ContractViolation, match="must return 4 scores per example, got 3"):
        check_model(Healthy, POINTS, classes=4)
