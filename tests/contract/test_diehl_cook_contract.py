"""Diehl and Cook's network and its two rules keep the contracts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from threegen.datasets.batches import Batch
from threegen.functional.diehl_cook.constants import VARIANTS
from threegen.gen3.diehl_cook import DiehlCook
from threegen.rules.diehl_cook_stdp import AssignLabels, DiehlCookSTDP
from threegen.testing import ContractViolation, check_model, check_rule

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
# Two patterns of 12 pixels: the first six or the last six are lit.
LABELS = torch.arange(6) % 2
PATTERNS = torch.zeros(6, 12)
PATTERNS[LABELS == 0, :6] = 1.0
PATTERNS[LABELS == 1, 6:] = 1.0


def labelled(generator: torch.Generator, readout: str) -> nn.Module:
    """A network whose neurons have classes, so that its votes are not all zero."""
    model = DiehlCook(20, variant="faster", readout=readout, generator=generator)
    counts = torch.randint(0, 5, (40, 20), generator=generator)
    model.add_responses(counts, torch.arange(40) % 10)
    return model


@pytest.mark.parametrize("readout", ["vote", "proportion", "likelihood"])
def test_model_keeps_the_contract_but_for_gradients(readout: str) -> None:
    """Votes are counts of spikes behind thresholds: they have no gradient, and none is made up."""
    with pytest.raises(ContractViolation) as caught:
        check_model(lambda generator: labelled(generator, readout), IMAGES, classes=10)
    assert set(caught.value.failures) == {"finite gradients"}
    assert "does not require grad" in caught.value.failures["finite gradients"]


def small(generator: torch.Generator) -> DiehlCook:
    variant = replace(VARIANTS["fast"], present=100.0)
    return DiehlCook(4, inputs=12, classes=2, variant=variant, generator=generator)


def specialised(model: nn.Module, batch: Batch) -> bool:
    """Whether every neuron that answers has its weights on the pixels of one pattern; at first they are on both."""
    assert isinstance(model, DiehlCook)
    counts, _ = model.count_spikes(batch.inputs, torch.Generator().manual_seed(1))
    assert batch.targets is not None
    model.forget_labels()
    model.add_responses(counts, batch.targets)
    chosen = model.assignments
    share = model.weight.detach()[:, :6].sum(1) / model.weight.detach().sum(1)
    own = torch.where(chosen == 0, share, 1 - share)[chosen >= 0]
    return bool((own > 0.9).all()) and set(chosen.tolist()) >= {0, 1}


FAST = {"eta_pre": 0.002, "eta_post": 0.05, "theta_plus": 0.5}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_spike_timing_keeps_the_contract(fused: bool) -> None:
    ran = check_rule(
        lambda: DiehlCookSTDP("pair", fused=fused, **FAST),  # type: ignore[arg-type]
        small,
        Batch(PATTERNS[: 6 if fused else 2], LABELS[: 6 if fused else 2]),
        learnt=specialised if fused else lambda model, batch: True,
        rate=1.0,
        passes=60,
    )
    assert "state round trip" in ran


def taught(generator: torch.Generator) -> nn.Module:
    """Two neurons for each pattern; only their classes are missing."""
    model = small(generator)
    with torch.no_grad():
        model.weight.fill_(0.001)
        model.weight[:2, :6] = 0.15
        model.weight[2:, 6:] = 0.15
    return model


def test_labelling_keeps_the_contract() -> None:
    ran = check_rule(AssignLabels, taught, Batch(PATTERNS, LABELS), rate=1.0, passes=2)
    assert "missing labels" in ran


def test_labels_do_not_reach_the_weights() -> None:
    """The same images with other labels leave the same weights: learning is unsupervised."""

    def weights(labels: Tensor | None) -> Tensor:
        model = small(torch.Generator().manual_seed(0))
        list(DiehlCookSTDP("pair")(model, Batch(PATTERNS, labels), torch.Generator().manual_seed(0)))
        return model.weight.detach()

    assert torch.equal(weights(LABELS), weights(None))
    assert torch.equal(weights(LABELS), weights(1 - LABELS))
