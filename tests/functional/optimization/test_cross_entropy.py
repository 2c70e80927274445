"""Softmax and cross-entropy in one pass against torch's in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from threegen.functional.optimization.cross_entropy_fused import softmax_errors


@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0])
@pytest.mark.parametrize(("classes", "batch"), [(2, 1), (10, 128), (33, 7)])
def test_it_is_torchs(classes: int, batch: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(classes)
    scores = scale * torch.randn(batch, classes, generator=generator)
    labels = torch.randint(0, classes, (batch,), generator=generator)
    exact = scores.double().requires_grad_()
    loss = F.cross_entropy(exact, labels)
    loss.backward()
    errors = torch.empty(classes, batch)
    found = softmax_errors(scores.T.contiguous().numpy(), labels.numpy(), errors.numpy())
    assert found == pytest.approx(loss.item(), rel=1e-6, abs=1e-7)
    torch.testing.assert_close(errors.T.double(), exact.grad, rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("label", [-1, 10, -100])
def test_a_label_that_is_no_class(label: int) -> None:
    labels = torch.tensor([0, label, 3])
    assert softmax_errors(torch.zeros(10, 3).numpy(), labels.numpy(), torch.empty(10, 3).numpy()) == -1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 1), (4, 1), (9, 2)])
def test_what_is_not_finite_shows(bad: float, place: tuple[int, int]) -> None:
    scores, errors = torch.zeros(10, 3), torch.empty(10, 3)
    scores[place] = bad
    assert not math.isfinite(softmax_errors(scores.numpy(), torch.tensor([0, 4, 5]).numpy(), errors.numpy()))
