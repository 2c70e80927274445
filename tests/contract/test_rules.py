"""Every learning rule keeps the contract, and each check can fail. A new rule joins by a line in RULES."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from threegen.datasets.batches import Batch
from threegen.errors import DataError
from threegen.gen1.perceptron import Perceptron, SigmoidNeuron
from threegen.gen2.mlp import MLP
from threegen.gen2.recurrent import RecurrentNet
from threegen.gen3.networks import SpikingMLP
from threegen.rules.backprop import Backprop
from threegen.rules.delta import DeltaRule
from threegen.rules.perceptron import PerceptronRule
from threegen.rules.policy_gradient import PolicyGradient
from threegen.rules.rule import Applied, Rule, Update, descend, require_batch, require_parts
from threegen.rules.truncated_bptt import TruncatedBPTT
from threegen.testing import ContractViolation, check_rule


def blobs(classes: int = 3, features: int = 6, examples: int = 24) -> Batch:
    """Gaussian clouds around well separated corners: any sensible rule learns them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(examples) % classes
    centres = 2.0 * torch.eye(classes, features)
    return Batch(centres[labels] + 0.2 * torch.randn(examples, features, generator=generator), labels)


def small_mlp(generator: torch.Generator) -> nn.Module:
    return MLP([6, 8, 3], activation="tanh", generator=generator)


def spiking_mlp(generator: torch.Generator) -> nn.Module:
    return SpikingMLP([6, 20, 3], steps=8, generator=generator)


def elman(generator: torch.Generator) -> nn.Module:
    return RecurrentNet(2, 8, 3, generator=generator)


def sigmoid_neuron(generator: torch.Generator) -> nn.Module:
    return SigmoidNeuron(6, generator=generator)


def perceptron(outputs: int = 3, *, averaged: bool = False) -> Any:
    """A factory of perceptrons with random weights, away from the ties of the zero start."""

    def make(generator: torch.Generator) -> nn.Module:
        model = Perceptron(6, outputs, averaged=averaged)
        with torch.no_grad():
            model.weight.normal_(generator=generator)
            model.bias.normal_(generator=generator)
        return model

    return make


# The textbook objectives, written without the rules' code.


def cross_entropy(model: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
    return -model(batch.inputs).log_softmax(1)[torch.arange(len(batch)), batch.targets].mean()


def half_squares(model: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
    scores = model(batch.inputs)
    targets = F.one_hot(batch.targets, 3) if scores.shape[1] == 3 else batch.targets[:, None]
    return 0.5 * (scores - targets).square().sum(1).mean()


def mean_squares(model: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    return half_squares(model, batch, generator) * 2 / 3


def adaline(model: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
    scores = model(batch.inputs)
    targets = F.one_hot(batch.targets, 3) if scores.shape[1] == 3 else batch.targets[:, None]
    return 0.5 * (scores - (2 * targets - 1)).square().sum(1).mean()


def winner_margin(model: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
    """`max(0, s_k - s_y)` of the first example where it is not zero; k is the best of the other classes."""
    scores = model(batch.inputs)
    true = F.one_hot(batch.targets, scores.shape[1]).bool()
    margins = F.relu(scores.masked_fill(true, -torch.inf).amax(1) - scores[true])
    return margins[margins > 0][0]


def step_margin(model: nn.Module, batch: Batch, _: torch.Generator) -> torch.Tensor:
    """`max(0, -(2t - 1) u)` of the first example where it is not zero."""
    margins = F.relu(-(2 * batch.targets - 1) * model(batch.inputs)[:, 0])
    return margins[margins > 0][0]


# Batches with nothing to teach.


def own_scores(model: nn.Module, batch: Batch) -> Batch:
    return Batch(batch.inputs, model(batch.inputs).detach())


def own_chances(model: nn.Module, batch: Batch) -> Batch:
    return Batch(batch.inputs, model(batch.inputs).detach().softmax(1))


def own_answers(model: Any, batch: Batch) -> Batch:
    return Batch(batch.inputs, model.predict(batch.inputs))


THREE, TWO = blobs(3), blobs(2)
BRIGHT = Batch(THREE.inputs.clamp(0.0, 2.0) / 2.0, THREE.targets)  # intensities in 0..1
SEQUENCES = Batch(THREE.inputs.view(-1, 3, 2), THREE.targets)  # the same numbers, two a step
OTHER = Batch(TWO.inputs, 1 - TWO.targets)  # the first unit drawn happens to have TWO right
RULES: dict[str, tuple[Any, ...]] = {
    # name: rule, model, toy problem, objective, batch without a signal, options
    "backprop cross_entropy": (Backprop, small_mlp, THREE, cross_entropy, own_chances, {}),
    "backprop mse": (lambda: Backprop("mse"), small_mlp, THREE, mean_squares, own_scores, {}),
    "backprop sse": (lambda: Backprop("sse"), small_mlp, THREE, half_squares, own_scores, {}),
    "backprop sse, one sigmoid": (
        lambda: Backprop("sse"),
        sigmoid_neuron,
        TWO,
        half_squares,
        own_scores,
        {"rate": 1.0},
    ),
    "truncated bptt": (TruncatedBPTT, elman, SEQUENCES, cross_entropy, own_chances, {}),
    "perceptron, one unit": (PerceptronRule, perceptron(1), OTHER, step_margin, own_answers, {}),
    "perceptron, one per class": (PerceptronRule, perceptron(3), THREE, winner_margin, own_answers, {}),
    "perceptron, averaged": (PerceptronRule, perceptron(3, averaged=True), THREE, winner_margin, own_answers, {}),
    "delta, one unit": (DeltaRule, perceptron(1), TWO, adaline, own_scores, {"rate": 0.1}),
    "delta, one per class": (DeltaRule, perceptron(3), THREE, adaline, own_scores, {"rate": 0.1}),
}


def test_backprop_on_a_spiking_net_keeps_the_contract() -> None:
    """Its objective is that of a surrogate gradient: there is no oracle, and its spikes are drawn anew."""
    assert len(check_rule(Backprop, spiking_mlp, BRIGHT, rate=1.0)) == 13


class NameTheCloud:
    """One step: the reward is 1 for the number of the cloud that the point comes from."""

    def begin(self, starts: torch.Tensor) -> torch.Tensor:
        self.points = starts
        return starts

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        reward = (actions == self.points[:, :3].argmax(1)).to(self.points.dtype)
        return self.points, reward, torch.ones_like(actions, dtype=torch.bool)


def rewarded_log_likelihood(model: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    """-A log pi(a | s) of the actions that the same generator draws."""
    log_chances = model(batch.inputs).log_softmax(1)
    actions = torch.multinomial(log_chances.detach().exp(), 1, generator=generator)[:, 0]
    reward = (actions == batch.inputs[:, :3].argmax(1)).double()
    advantage = (reward - reward.mean()) / reward.std(correction=0)
    return -(advantage * log_chances[torch.arange(len(batch)), actions]).mean()


def test_policy_gradient_keeps_the_contract() -> None:
    """No labels, and no batch without a signal: whatever it is rewarded for is one."""
    ran = check_rule(lambda: PolicyGradient(NameTheCloud()), small_mlp, THREE, oracle=rewarded_log_likelihood)
    assert len(ran) == 13


@pytest.mark.parametrize("name", RULES)
def test_rule_keeps_the_contract(name: str) -> None:
    rule, model, batch, oracle, quiet, options = RULES[name]
    ran = check_rule(rule, model, batch, oracle=oracle, quiet=quiet, **options)
    assert len(ran) == 15


# Rules that are broken on purpose. Each is Backprop or the delta rule with one fault.


class Healthy(Rule):
    """The delta rule with targets 0 and 1, as short as it can be; the broken rules below change one thing each."""

    def check(self, model: nn.Module) -> None:
        require_parts(self, model, "potentials()", "weight", "bias")

    def direction(self, model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return model.potentials(inputs) - (targets if targets.is_floating_point() else F.one_hot(targets, 3))

    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        error = self.direction(model, batch.inputs, require_batch("Healthy", batch))
        descend(model.weight, error.T @ batch.inputs / len(error))
        descend(model.bias, error.mean(0))

    @torch.no_grad()
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        self.fill(model, batch, generator)
        yield Update()


class MovesBeforeYield(Healthy):
    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        model.weight.mul_(0.99)


class MovesAfterYield(Healthy):
    @torch.no_grad()
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        yield from super().__call__(model, batch, generator)
        model.weight.mul_(0.99)


class NeverYields(Healthy):
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        yield from ()


class EmptyUpdate(Healthy):
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        yield Update()


class InfiniteGradient(Healthy):
    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        model.weight.grad[0, 0] = torch.inf


class LiveFigure(Healthy):
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        for _ in super().__call__(model, batch, generator):
            yield Update(loss=model.potentials(batch.inputs).square().mean())


class Miscounts(Healthy):
    updates_per_batch = 2


class GlobalDraw(Healthy):
    """Draws from a source that no generator controls."""

    noise = torch.Generator().manual_seed(1)

    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        model.weight.grad.add_(torch.randn(model.weight.shape, generator=self.noise), alpha=0.01)


class NeedsTwo(Healthy):
    """Divides by the batch's variance, which one example does not have."""

    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        model.weight.grad /= batch.inputs.var(0).clamp(min=1e-3)


class TakesAnything(Healthy):
    def check(self, model: nn.Module) -> None:
        pass

    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        targets = torch.zeros(len(batch), dtype=torch.int64) if batch.targets is None else batch.targets
        error = self.direction(model, batch.inputs, targets)
        descend(model.weight, error.T @ batch.inputs / max(len(error), 1))
        descend(model.bias, error.sum(0) / max(len(error), 1))


class Forgetful(Healthy):
    """Has a momentum of its own that it does not save."""

    def __init__(self) -> None:
        self.velocity: torch.Tensor | float = 0.0

    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        self.velocity = model.weight.grad.clone() + 0.5 * self.velocity
        model.weight.grad.copy_(self.velocity)


class Float32Only(Healthy):
    def direction(self, model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.linear(inputs.float(), model.weight, model.bias) - F.one_hot(targets, 3)


class Decays(Healthy):
    """Hides weight decay in the rule."""

    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        descend(model.weight, 0.01 * model.weight)


class LeaksGradMode(Healthy):
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        with torch.no_grad():
            self.fill(model, batch, generator)
            yield Update()


class LeavesEvaluationMode(Healthy):
    def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
        super().fill(model, batch, generator)
        model.eval()


class WrongSign(Healthy):
    def direction(self, model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return -super().direction(model, inputs, targets)


class TwiceTheGradient(Healthy):
    def direction(self, model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return 2 * super().direction(model, inputs, targets)


class Fused(Healthy):
    """Not broken: moves the parameters itself and says so."""

    @torch.no_grad()
    def __call__(self, model: Any, batch: Batch, generator: torch.Generator) -> Any:
        error = self.direction(model, batch.inputs, require_batch("Fused", batch))
        model.weight -= 0.1 * error.T @ batch.inputs / len(error)
        model.bias -= 0.1 * error.mean(0)
        yield Applied()


BROKEN = {
    MovesBeforeYield: {"parameters still between yields"},
    MovesAfterYield: {"parameters still between yields"},
    NeverYields: {"finite gradients"},
    EmptyUpdate: {"finite gradients"},
    InfiniteGradient: {"finite gradients"},
    LiveFigure: {"finite gradients"},
    Miscounts: {"updates per batch"},
    GlobalDraw: {"same generator, same bits"},
    TakesAnything: {"empty batch", "NaN batch", "missing labels", "wrong model"},
    Forgetful: {"state round trip"},
    Float32Only: {"float64"},
    Decays: {"quiet", "oracle"},
    LeaksGradMode: {"grad mode"},
    LeavesEvaluationMode: {"grad mode"},
    WrongSign: {"toy problem", "oracle"},
    TwiceTheGradient: {"oracle"},
}


def examine(rule: type[Rule], **options: Any) -> tuple[str, ...]:
    return check_rule(rule, perceptron(3), THREE, oracle=half_squares, quiet=own_scores, **options)


def test_the_unbroken_rule_passes() -> None:
    assert len(examine(Healthy)) == 15


@pytest.mark.parametrize("rule", BROKEN)
def test_each_fault_is_found(rule: type[Rule]) -> None:
    with pytest.raises(ContractViolation) as caught:
        examine(rule)
    assert set(caught.value.failures) >= BROKEN[rule]
    assert all(name in str(caught.value) for name in caught.value.failures)


@pytest.mark.filterwarnings("ignore:var")  # torch warns of the variance of one example
def test_a_rule_that_needs_two_examples_is_found() -> None:
    with pytest.raises(ContractViolation) as caught:
        examine(NeedsTwo)
    assert "batch of one" in caught.value.failures


def test_a_fused_rule_may_move_the_parameters() -> None:
    assert len(check_rule(Fused, perceptron(3), THREE)) == 13  # no oracle and no quiet batch given


def test_every_check_of_rules_can_fail() -> None:
    """The broken rules above reach each of the 15 checks."""
    reached = set().union(*BROKEN.values()) | {"batch of one"}
    assert reached == set(examine(Healthy))


def test_an_oracle_without_a_gradient_is_refused() -> None:
    with pytest.raises(ContractViolation) as caught:
        check_rule(Healthy, perceptron(3), THREE, oracle=lambda model, batch, _: 0 * model(batch.inputs).sum())
    assert set(caught.value.failures) == {"oracle"}


def test_what_a_rule_raises_is_a_finding() -> None:
    class Raises(Healthy):
        def fill(self, model: Any, batch: Batch, generator: torch.Generator) -> None:
            raise DataError("no reason")

    with pytest.raises(ContractViolation) as caught:
        examine(Raises)
    assert caught.value.failures["toy problem"] == "raised DataError: no reason"
