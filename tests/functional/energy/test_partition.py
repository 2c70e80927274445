"""Partition functions: enumeration against a sum written out, annealed importance sampling against enumeration."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch

from threegen.errors import ConfigError
from threegen.functional.energy.partition import (
    LogPartition,
    Net,
    _summarised,
    annealed_log_partition,
    log_sum_rise,
    paper_schedule,
)
from threegen.functional.energy.units import BernoulliUnits, GaussianUnits, SoftmaxUnits, Units
from threegen.gen2.classification_rbm import ClassificationRBM
from threegen.gen2.rbm import RBM
from threegen.randomness import make_generator


def made(visible: int, hidden: int, units: object = "bernoulli", scale: float = 0.7) -> RBM:
    rbm = RBM(visible, hidden, units)  # type: ignore[arg-type]
    with torch.no_grad():
        rbm.weight.normal_(0, scale, generator=make_generator("w", hidden))
        rbm.visible_bias.normal_(generator=make_generator("a"))
        rbm.hidden_bias.normal_(generator=make_generator("b", hidden))
    return rbm.requires_grad_(False)


@pytest.mark.parametrize(("visible", "hidden"), [(5, 3), (3, 5)])
def test_exact_is_the_sum_over_all_joint_states(visible: int, hidden: int) -> None:
    rbm = made(visible, hidden).double()
    v = torch.tensor(list(itertools.product((0.0, 1.0), repeat=visible)), dtype=torch.float64)
    h = torch.tensor(list(itertools.product((0.0, 1.0), repeat=hidden)), dtype=torch.float64)
    table = (v @ rbm.visible_bias)[:, None] + h @ rbm.hidden_bias + v @ rbm.weight.T @ h.T
    found = rbm.log_partition()
    assert found.value == pytest.approx(float(table.logsumexp((0, 1))), abs=1e-9)
    assert found.low == found.value == found.high
    assert float(rbm.log_likelihood(v, found).exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_exact_with_gaussian_and_label_units() -> None:
    """Gaussian: the integral over v for each h by hand, (2 pi)^(V/2) exp(|a + W^T h|^2 / 2)."""
    rbm = made(3, 2, "gaussian")
    h = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    x = rbm.visible_bias + h @ rbm.weight
    terms = h @ rbm.hidden_bias + x.square().sum(1) / 2 + 1.5 * math.log(2 * math.pi)
    assert float(rbm.log_partition()) == pytest.approx(float(terms.logsumexp(0)), abs=1e-5)
    labels = made(5, 2, [BernoulliUnits(2), SoftmaxUnits(3)]).double()
    v = torch.cat(
        [torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(3, 1), torch.eye(3).repeat_interleave(4, 0)], 1
    )
    total = labels.free_energy(v.double()).neg().logsumexp(0)
    assert float(labels.log_partition()) == pytest.approx(float(total), abs=1e-9)


@pytest.mark.parametrize(
    ("visible", "hidden", "units"),
    [(30, 4, "bernoulli"), (30, 20, "bernoulli"), (6, 5, "gaussian"), (12, 6, [BernoulliUnits(8), SoftmaxUnits(4)])],
)
def test_annealed_importance_sampling_agrees(visible: int, hidden: int, units: object) -> None:
    """Within its own error bar of three standard errors, and the bar is narrow."""
    rbm = made(visible, hidden, units, 0.3 if units == "gaussian" else 0.7)
    exact = float(rbm.log_partition())
    found = rbm.log_partition("ais", steps=600, runs=100, generator=make_generator("ais"))
    assert found.low < exact < found.high
    assert found.high - found.low < 0.6


def test_a_base_near_the_data_narrows_the_bar() -> None:
    """A net whose visible biases are strong: walking from the data's means is much shorter than from fair coins."""
    rbm = made(40, 5)
    with torch.no_grad():
        rbm.visible_bias.mul_(5)
    data = torch.sigmoid(rbm.visible_bias.detach()).expand(10, -1)
    exact = float(rbm.log_partition())
    with pytest.warns(UserWarning, match=r"start from the data's means \(base=data\)"):
        far = rbm.log_partition("ais", steps=100, generator=make_generator("ais"))
    near = rbm.log_partition("ais", steps=100, base=data, generator=make_generator("ais"))
    assert near.high - near.low < far.high - far.low
    assert abs(near.value - exact) < 0.2


@pytest.mark.parametrize("units", [BernoulliUnits(6), SoftmaxUnits(6), GaussianUnits(6)], ids=str)
def test_small_steps_take_the_midpoint_and_agree_with_the_difference(units: Units) -> None:
    """A(t2 x) - A(t1 x) computed in float64, for total inputs as large as trained nets have."""
    x = 10 * torch.randn(50, 6, dtype=torch.float64, generator=make_generator("x"))
    found = log_sum_rise(units, x, 0.9, 0.9001)
    torch.testing.assert_close(found, units.log_sum(0.9001 * x) - units.log_sum(0.9 * x), atol=1e-8, rtol=1e-7)


def test_the_papers_schedule() -> None:
    betas = paper_schedule(14_500)
    assert len(betas) == 14_501
    assert betas[500] == pytest.approx(0.5)
    assert betas[4_500] == pytest.approx(0.9)
    assert betas[-1] == 1.0
    assert sorted(betas) == betas


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match='use method="ais"'):
        RBM(40, 30).log_partition()
    with pytest.raises(ConfigError, match="method"):
        RBM(4, 3).log_partition("guess")
    net = Net(BernoulliUnits(2), BernoulliUnits(2), torch.zeros(2, 2), torch.zeros(2), torch.zeros(2))
    with pytest.raises(ConfigError, match="rise from 0 to 1"):
        annealed_log_partition(net, torch.zeros(2), temperatures=[0.0, 0.5])


def steep() -> RBM:
    """A net of 12 visible and 6 hidden units, whose 2^6 terms are summed exactly, with weights of N(0, 16)."""
    rbm = RBM(12, 6, init=4.0, generator=make_generator("tiny"))
    with torch.no_grad():
        rbm.visible_bias.copy_(-3 + 2 * torch.randn(12, generator=make_generator("b")))
    return rbm


def estimates(rbm: RBM, steps: int, count: int = 20) -> tuple[list[LogPartition], list[str]]:
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(count):
            found.append(rbm.log_partition("ais", steps=steps, runs=50, generator=make_generator("r", seed)))
    return found, [str(warning.message) for warning in caught]


def test_a_bar_that_does_not_cover_is_announced() -> None:
    """Too few steps: the exact sum is outside most bars of three standard errors, and each estimate warns."""
    rbm = steep()
    exact = float(rbm.log_partition())
    found, said = estimates(rbm, 30)
    assert sum(one.low <= exact <= one.high for one in found) <= 10
    assert max(one.effective for one in found) < 10
    assert len(said) == 20
    first = found[0]
    assert said[0] == (
        f"annealed importance sampling: only {first.effective:.1f} of 50 runs count (effective sample size); log Z = "
        f"{first.value:.2f} may be off by more than its error bar, {first.low:.2f} to {first.high:.2f}; start from the "
        "data's means (base=data), or take more steps (there were 30)"
    )


def test_a_bar_that_covers_is_not() -> None:
    rbm = steep()
    exact = float(rbm.log_partition())
    found, said = estimates(rbm, 2000)
    assert sum(one.low <= exact <= one.high for one in found) >= 18
    assert said == []
    assert "three standard errors; ais" in str(found[0])
    assert str(rbm.log_partition()) == f"log Z = {exact:.4f} nats (exact)"


def test_the_effective_number_of_runs() -> None:
    """(sum w)^2 / sum w^2 by hand: for the weights 1, 1, 2 it is 16 / 6."""
    assert _summarised(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64).log(), 0.0).effective == pytest.approx(16 / 6)


def test_states_of_all_visible_units_are_a_base() -> None:
    """A classification RBM's inputs do not come without labels; its joint states do."""
    rbm = ClassificationRBM(6, 3, 4, generator=make_generator(0))
    states = rbm.visible_states(torch.rand(20, 6), torch.arange(20) % 3)
    found = rbm.log_partition("ais", steps=500, base=states, generator=make_generator("base"))
    assert found.low < float(rbm.log_partition()) < found.high
