"""The restricted Boltzmann machine against enumeration of all its joint states."""

from __future__ import annotations

import itertools

import pytest
import torch

from threegen.errors import ConfigError, DataError, ShapeError
from threegen.functional.energy.free_energy import class_free_energies, join_labels
from threegen.functional.energy.units import BernoulliUnits, GaussianUnits, JoinedUnits, SoftmaxUnits
from threegen.gen2.rbm import RBM
from threegen.machine.draws import draw_bernoulli
from threegen.randomness import make_generator


def states(units: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def small(visible: int = 5, hidden: int = 4, **options: object) -> RBM:
    rbm = RBM(visible, hidden, generator=make_generator("rbm"), **options).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.normal_(generator=make_generator("weights", parameter.numel()))
    return rbm


def joint(rbm: RBM, v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """-E(v, h) of the module's docstring, written out: [visible states, hidden states]."""
    return (v @ rbm.visible_bias)[:, None] + (h @ rbm.hidden_bias)[None] + v @ rbm.weight.T @ h.T


def test_energy_free_energy_and_conditionals_equal_enumeration() -> None:
    rbm, v, h = small(), states(5), states(4)
    with torch.no_grad():
        table = joint(rbm, v, h)
        pairs = rbm.energy(v[:, None].expand(-1, 16, -1), h[None].expand(32, -1, -1))
        torch.testing.assert_close(pairs, -table)
        torch.testing.assert_close(rbm.free_energy(v), -table.logsumexp(1))
        p = table.flatten().softmax(0).view_as(table)
        torch.testing.assert_close(rbm.hidden_given_visible(v), (p / p.sum(1, keepdim=True)) @ h)
        torch.testing.assert_close(rbm.visible_given_hidden(h), (p / p.sum(0)).T @ v)


def test_label_units_beside_binary_ones_equal_enumeration() -> None:
    rbm = small(3 + 4, 4, visible_units=[BernoulliUnits(3), SoftmaxUnits(4)])
    labels = torch.eye(4, dtype=torch.float64)
    v = torch.cat([states(3).repeat_interleave(4, 0), labels.repeat(8, 1)], 1)
    h = states(4)
    with torch.no_grad():
        p = joint(rbm, v, h).flatten().softmax(0).view(32, 16)
        torch.testing.assert_close(rbm.visible_given_hidden(h), (p / p.sum(0)).T @ v)
        torch.testing.assert_close(rbm.free_energy(v).neg().softmax(0), p.sum(1))


def test_gaussian_units_equal_the_integral() -> None:
    """A(x) of one Gaussian unit by a fine sum, and the mean as its derivative."""
    units, grid = GaussianUnits(1), torch.linspace(-12, 12, 24_001, dtype=torch.float64)[:, None]
    x = torch.tensor([[1.3]], dtype=torch.float64, requires_grad=True)
    integral = ((grid * x - units.own_energy(grid)[:, None]).exp().sum() * 1e-3).log()
    torch.testing.assert_close(units.log_sum(x)[0], integral)
    (slope,) = torch.autograd.grad(units.log_sum(x).sum(), x)
    torch.testing.assert_close(slope, units.mean(x))


KINDS = [BernoulliUnits(6), SoftmaxUnits(3, groups=2), JoinedUnits((BernoulliUnits(2), SoftmaxUnits(4)))]


@pytest.mark.parametrize("units", KINDS, ids=lambda units: type(units).__name__)
def test_means_are_the_slope_of_log_sum_and_draws_have_them(units: BernoulliUnits) -> None:
    x = torch.randn(1, 6, dtype=torch.float64, generator=make_generator("x")).requires_grad_()
    (slope,) = torch.autograd.grad(units.log_sum(x).sum(), x)
    mean = units.mean(x).detach()
    torch.testing.assert_close(slope, mean)
    drawn = units.draw(mean.expand(40_000, 6), make_generator("draw"))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    error = (mean * (1 - mean) / 40_000).sqrt()
    assert bool(((drawn.mean(0) - mean).abs() < 4.5 * error).all())
    torch.testing.assert_close(units.mean(units.bias_of(mean)), mean)


def test_gaussian_draws_have_their_mean_and_variance() -> None:
    drawn = GaussianUnits(2).draw(torch.tensor([[2.0, -1.0]]).expand(40_000, 2), make_generator(0))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([2.0, -1.0]), atol=0.025, rtol=0)
    torch.testing.assert_close(drawn.var(0), torch.ones(2), atol=0.04, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_binary_draws(dtype: torch.dtype) -> None:
    """Exact at 0 and 1, right on the average, independent of their neighbours, odd lengths too."""
    chances = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.75], dtype=dtype).repeat(1, 20_001).view(-1)
    drawn = draw_bernoulli(chances, make_generator("draws")).float()
    by_chance = drawn.view(-1, 5)
    assert by_chance[:, 0].max() == 0
    assert by_chance[:, 1].min() == 1
    torch.testing.assert_close(by_chance.mean(0), chances[:5].float(), atol=0.015, rtol=0)
    assert by_chance[:, 2:].T.corrcoef().triu(1).abs().max() < 0.03
    assert torch.stack([by_chance[:-1, 3], by_chance[1:, 3]]).corrcoef()[0, 1].abs() < 0.03
    again = draw_bernoulli(chances, make_generator("draws")).float()
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, draw_bernoulli(chances, make_generator("others")).float())


def test_one_product_serves_all_classes() -> None:
    """F(v, y) of every class equals the free energy with that label's unit switched on."""
    rbm = small(5 + 3, 4, visible_units=[BernoulliUnits(5), SoftmaxUnits(3)])
    v = states(5)[:7]
    with torch.no_grad():
        total = v @ rbm.weight[:, :5].T + rbm.hidden_bias
        found = class_free_energies(total, rbm.weight[:, 5:], rbm.visible_bias[5:])
        shared = v @ rbm.visible_bias[:5]
        for label in range(3):
            whole = join_labels(v, torch.full((7,), label), 3)
            torch.testing.assert_close(found[:, label] - shared, rbm.free_energy(whole))
    with pytest.raises(DataError, match="label 3"):
        join_labels(v, torch.full((7,), 3), 3)


def test_start_of_the_visible_biases() -> None:
    rbm = RBM(2, 3)
    rbm.start_visible_bias(torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 0.0]]))
    expected = torch.tensor([3.0, 1e-3 / (1 - 1e-3)]).log()  # log(p / (1 - p)), p kept above .001
    torch.testing.assert_close(rbm.visible_bias.detach(), expected)


def test_gibbs_sampling_reaches_the_models_distribution() -> None:
    rbm = small(3, 2)
    found = rbm.gibbs(torch.zeros(20_000, 3, dtype=torch.float64), 30, make_generator("gibbs"))
    with torch.no_grad():
        expected = rbm.free_energy(states(3)).neg().softmax(0)
    counts = torch.stack([(found == state).all(1).double().mean() for state in states(3)])
    assert bool(((counts - expected).abs() < 4.5 * (expected * (1 - expected) / 20_000).sqrt()).all())


def test_reconstruction_takes_images() -> None:
    rbm = RBM(784, 20, generator=make_generator(0))
    images = torch.rand(3, 1, 28, 28, generator=make_generator(1))
    assert rbm.reconstruct(images).shape == (3, 784)
    assert sum(p.numel() for p in RBM(784, 500).parameters()) == 784 * 500 + 784 + 500


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="two layers of Gaussian"):
        RBM(3, 2, "gaussian", "gaussian")
    with pytest.raises(ConfigError, match="visible_units"):
        RBM(3, 2, "binary")
    with pytest.raises(ConfigError, match="must hold 3 units, got 4"):
        RBM(3, 2, [BernoulliUnits(4)])
    with pytest.raises(ConfigError, match="hidden_units must hold 2 units, got 7"):
        RBM(3, 2, "bernoulli", 7)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="RBM expects"):
        RBM(3, 2)(torch.zeros(1, 4))
