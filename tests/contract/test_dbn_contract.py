"""The deep belief net and the up-down rule keep the contracts of models and of rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from threegen.datasets.batches import Batch
from threegen.gen2.dbn import DBN
from threegen.rules.wake_sleep import WakeSleep, draw_states
from threegen.testing import ContractViolation, check_model, check_rule


def belief_net(generator: torch.Generator) -> DBN:
    dbn = DBN([6, 5, 4, 12], classes=3, generator=generator)
    with torch.no_grad():
        for parameter in dbn.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    return dbn


def corners() -> Batch:
    labels = torch.arange(24) % 3
    inputs = 0.05 + 0.1 * torch.rand(24, 6, generator=torch.Generator().manual_seed(0))
    for half in range(2):
        inputs[torch.arange(24), 2 * labels + half] = 0.95
    return Batch(inputs, labels)


def wake_likelihood(model: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    """Minus the log-likelihood of the wake phase's states under the generative weights: the first phase's objective."""
    states = draw_states(model, batch.inputs, batch.targets, 2, generator)
    total = torch.zeros((), dtype=batch.inputs.dtype)
    for number, layer in enumerate(model.layers):
        logits = states.wake[number + 1] @ model.generative[number] + layer.visible_bias
        losses = F.binary_cross_entropy_with_logits(logits, states.wake[number], reduction="none")
        total = total + losses.sum(1).mean()
    return total


def test_the_model_keeps_the_contract() -> None:
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    downwards = ("generative.0", "generative.1", "layers.0.visible_bias", "layers.1.visible_bias")
    found = check_model(
        lambda generator: DBN([784, 20, 15, 30], classes=10, generator=generator),
        images,
        classes=10,
        without_gradient=downwards,
    )
    assert len(found) == 15


def test_parameters_without_a_part_in_the_scores_must_be_named() -> None:
    points = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ContractViolation, match=r"layers\.0\.visible_bias gets no gradient") as caught:
        check_model(belief_net, points, classes=3)
    assert set(caught.value.failures) == {"finite gradients"}
    wrong = ("generative.0", "generative.1", "layers.0.visible_bias", "layers.1.visible_bias", "top.weight")
    with pytest.raises(ContractViolation, match=r"top\.weight gets a gradient"):
        check_model(belief_net, points, classes=3, without_gradient=wrong)


@pytest.mark.parametrize(("fused", "discriminative"), [(True, 0.0), (False, 0.0), (True, 2.0)])
def test_the_rule_keeps_the_contract(fused: bool, discriminative: float) -> None:
    checks = check_rule(
        lambda: WakeSleep(2, rate=0.3, discriminative=discriminative, fused=fused),
        belief_net,
        corners(),
        oracle=None if fused else wake_likelihood,
        rate=0.3,
        passes=400,
    )
    assert "missing labels" in checks
    assert fused or "oracle" in checks
