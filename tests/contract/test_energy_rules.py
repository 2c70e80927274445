"""The rules of energy-based nets keep the contract. A new one joins by a line in RULES."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from threegen.datasets.batches import Batch
from threegen.gen2.boltzmann import BoltzmannMachine
from threegen.gen2.classification_rbm import ClassificationRBM
from threegen.gen2.rbm import RBM
from threegen.rules.boltzmann_learning import BoltzmannLearning
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.hybrid_learning import HybridLearning
from threegen.rules.rule import PlainSGD
from threegen.testing import check_model, check_rule

BARS = Batch(torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.float32).repeat(12, 1))
ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)))


def rbm(generator: torch.Generator) -> nn.Module:
    return RBM(6, 4, init=0.3, generator=generator)


def machine(generator: torch.Generator) -> nn.Module:
    return BoltzmannMachine(6, 1, init=0.3, generator=generator)


def labelled(generator: torch.Generator) -> nn.Module:
    return ClassificationRBM(6, 2, 4, init=0.3, generator=generator)


def unlikeliness(model: Any, batch: Batch, _: torch.Generator) -> torch.Tensor:
    """Minus the exact mean log-likelihood, its partition function summed over all states."""
    return -model.log_likelihood(batch.inputs).mean()


def divergence(steps: int) -> Any:
    """F(v0) - F(vk), the chain walked by the model's own Gibbs sampling from the same generator."""

    def objective(model: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        vk = model.gibbs(batch.inputs, steps, generator)
        return (model.free_energy(batch.inputs) - model.free_energy(vk)).mean()

    return objective


def likelier(model: Any, batch: Batch) -> bool:
    """Exact: the mean log-probability comes to within half a nat of log 1/2, from six coins' -4.2 nats."""
    log_z = model.free_energy(ALL.to(batch.inputs)).neg().logsumexp(0)
    return float((-model.free_energy(batch.inputs) - log_z).mean()) > -1.2


def handed(momentum: float = 0.0, **options: Any) -> ContrastiveDivergence:
    """The rule as `fit` leaves it after handing plain SGD over."""
    rule = ContrastiveDivergence(backend="fused", **options)
    rule.hand_over(PlainSGD([{"lr": 0.1, "momentum": momentum}]))
    return rule


RULES: dict[str, tuple[Any, ...]] = {
    # name: rule, model, toy problem, options
    "contrastive divergence": (ContrastiveDivergence, rbm, BARS, {"oracle": divergence(1)}),
    "contrastive divergence, 3 steps": (lambda: ContrastiveDivergence(3), rbm, BARS, {"oracle": divergence(3)}),
    "contrastive divergence, sparse": (lambda: ContrastiveDivergence(sparsity=0.5, weight_cost=1e-4), rbm, BARS, {}),
    "contrastive divergence, probabilities": (
        lambda: ContrastiveDivergence(visible="probabilities"),
        rbm,
        BARS,
        {},
    ),
    "contrastive divergence, fused": (lambda: handed(), rbm, BARS, {}),
    "persistent contrastive divergence, fused": (
        lambda: handed(chains=8, momentum=0.5),
        rbm,
        BARS,
        {},
    ),
    "boltzmann learning, exact": (lambda: BoltzmannLearning("exact"), machine, BARS, {"oracle": unlikeliness}),
    "boltzmann learning": (lambda: BoltzmannLearning(machines=40, sweeps=3), machine, BARS, {}),
    "persistent contrastive divergence": (lambda: ContrastiveDivergence(chains=8), rbm, BARS, {}),
}


@pytest.mark.parametrize("name", RULES)
def test_rule_keeps_the_contract(name: str) -> None:
    rule, model, batch, options = RULES[name]
    names = check_rule(rule, model, batch, learnt=likelier, **{"rate": 0.5, "passes": 400, **options})
    assert len(names) == 12 + ("oracle" in options)  # no labels are looked at, no batch has nothing to teach


def cross_entropy(model: Any, batch: Batch, _: torch.Generator) -> torch.Tensor:
    """-log p(y|v) from the free energies of the joint states, one label at a time."""
    energies = []
    for label in range(2):
        states = torch.cat([batch.inputs, torch.eye(2).to(batch.inputs)[label].expand(len(batch), 2)], 1)
        energies.append(model.free_energy(states))
    chances = torch.stack(energies, 1).neg().log_softmax(1)
    return -chances[torch.arange(len(batch)), batch.targets].mean()


def hybrid(model: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    """The cross-entropy plus .1 times F(v0, y0) - F(v1, y1)."""
    states = torch.cat([batch.inputs, torch.nn.functional.one_hot(batch.targets, 2).to(batch.inputs)], 1)
    after = model.gibbs(states, 1, generator)
    gap = (model.free_energy(states) - model.free_energy(after)).mean()
    return cross_entropy(model, batch, generator) + 0.1 * gap


LABELLED = Batch(BARS.inputs, torch.arange(24) % 2)


@pytest.mark.parametrize(("share", "oracle"), [(0.0, cross_entropy), (0.1, hybrid)])
def test_hybrid_learning_keeps_the_contract(share: float, oracle: Any) -> None:
    names = check_rule(lambda: HybridLearning(share), labelled, LABELLED, oracle=oracle, rate=0.5)
    assert len(names) == 14


def test_models_keep_the_contract() -> None:
    points = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    assert len(check_model(labelled, points, classes=2)) == 15
