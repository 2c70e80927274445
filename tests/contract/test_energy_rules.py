"""The rules of energy-based nets keep the contract. A new one joins by a line in RULES."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from threegen.datasets.batches import Batch
from threegen.gen2.rbm import RBM
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.training.contract import check_rule

BARS = Batch(torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.float32).repeat(12, 1))
ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)))


def rbm(generator: torch.Generator) -> nn.Module:
    return RBM(6, 4, init=0.3, generator=generator)


def divergence(steps: int) -> Any:
    """F(v0) - F(vk), the chain walked by the model's own Gibbs sampling from the same generator."""

    def objective(model: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        vk = model.gibbs(batch.inputs, steps, generator)
        return (model.free_energy(batch.inputs) - model.free_energy(vk)).mean()

    return objective


def likelier(model: Any, batch: Batch) -> bool:
    """Exact: the mean log-probability comes to within half a nat of log 1/2, from six coins' -4.2 nats."""
    log_z = model.free_energy(ALL).neg().logsumexp(0)
    return float((-model.free_energy(batch.inputs) - log_z).mean()) > -1.2


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
    "persistent contrastive divergence": (lambda: ContrastiveDivergence(chains=8), rbm, BARS, {}),
}


@pytest.mark.parametrize("name", RULES)
def test_rule_keeps_the_contract(name: str) -> None:
    rule, model, batch, options = RULES[name]
    names = check_rule(rule, model, batch, learnt=likelier, **{"rate": 0.5, "passes": 400, **options})
    assert len(names) == 12 + ("oracle" in options)  # no labels are looked at, no batch has nothing to teach
