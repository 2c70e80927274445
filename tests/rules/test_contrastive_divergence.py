"""Contrastive divergence against autograd of free energies and against the exact gradient by enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

import threegen as tg
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError, ConfigError
from threegen.functional.energy.free_energy import squared_error
from threegen.functional.energy.units import BernoulliUnits, SoftmaxUnits
from threegen.gen2.rbm import RBM
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence


def states(units: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def small(visible: int = 4, hidden: int = 3, scale: float = 1.0, units: object = "bernoulli") -> RBM:
    rbm = RBM(visible, hidden, units).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.normal_(0, scale, generator=make_generator("weights", parameter.numel()))
    return rbm


def direction(rule: ContrastiveDivergence, rbm: RBM, data: torch.Tensor, seed: int = 0) -> list[torch.Tensor]:
    """Return the ascent direction that the rule fills."""
    for parameter in rbm.parameters():
        parameter.grad = None
    next(rule(rbm, Batch(data), make_generator(seed)))
    return [-p.grad for p in rbm.parameters() if p.grad is not None]


def exact_direction(rbm: RBM, data: torch.Tensor) -> list[torch.Tensor]:
    """Autograd of the mean log-likelihood, its partition function summed over all visible states."""
    log_z = rbm.free_energy(states(rbm.visible)).neg().logsumexp(0)
    return list(torch.autograd.grad((-rbm.free_energy(data) - log_z).mean(), list(rbm.parameters())))


DATA = states(4)[[0, 3, 5, 15, 10, 6]]


@pytest.mark.parametrize(
    ("units", "data"),
    [
        ("bernoulli", DATA),
        ("gaussian", torch.randn(6, 4, dtype=torch.float64, generator=make_generator("gauss"))),
        ([BernoulliUnits(2), SoftmaxUnits(2)], torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]], dtype=torch.float64)),
    ],
    ids=["bernoulli", "gaussian", "labels"],
)
@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_are_those_of_the_free_energies(units: object, data: torch.Tensor, steps: int) -> None:
    """The chain is walked anew with the model's own conditionals; F(v0) - F(vk) then goes through autograd."""
    rbm = small(units=units)
    found = direction(ContrastiveDivergence(steps), rbm, data)
    vk = rbm.gibbs(data, steps, make_generator(0))
    objective = (rbm.free_energy(data) - rbm.free_energy(vk)).mean()
    expected = torch.autograd.grad(objective, list(rbm.parameters()))
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, -other, atol=1e-9, rtol=1e-9)


def test_many_steps_give_the_exact_gradient() -> None:
    """CD-40 over 20,000 chains is the likelihood's gradient up to the noise of the chains."""
    rbm = small()
    data = DATA.repeat(4_000, 1)
    for own, exact in zip(direction(ContrastiveDivergence(40), rbm, data), exact_direction(rbm, DATA), strict=True):
        assert float((own - exact).detach().abs().max()) < 0.015


def test_one_step_agrees_with_the_enumerated_kernel() -> None:
    """CD-1 on average is the data's statistics minus those after one exact step of the Gibbs kernel."""
    rbm, v, h = small(), states(4), states(3)
    with torch.no_grad():
        up = rbm.hidden_given_visible(DATA)
        chances = (up[:, None] * h + (1 - up[:, None]) * (1 - h)).prod(2)  # P(h|v0) of each case
        down = rbm.visible_given_hidden(h)
        after = (chances @ (down[:, None] * v + (1 - down[:, None]) * (1 - v)).prod(2)).mean(0)  # of visible states
        hidden = rbm.hidden_given_visible(v)
        expected = up.T @ DATA / len(DATA) - (hidden * after[:, None]).T @ v
    found = direction(ContrastiveDivergence(1), rbm, DATA.repeat(4_000, 1))[0]
    assert float((found - expected).abs().max()) < 0.015


def test_probabilities_instead_of_states() -> None:
    """With k = 1 the reconstruction is the mean given a drawn h: written out here."""
    rbm = small()
    found = direction(ContrastiveDivergence(1, visible="probabilities"), rbm, DATA)
    with torch.no_grad():
        up = rbm.hidden_given_visible(DATA)
        v1 = torch.sigmoid(rbm.draw_hidden(up, make_generator(0)) @ rbm.weight + rbm.visible_bias)
        h1 = torch.sigmoid(v1 @ rbm.weight.T + rbm.hidden_bias)
        expected = (up.T @ DATA - h1.T @ v1) / len(DATA)
    torch.testing.assert_close(found[0], expected)


def test_persistent_chains_reach_the_models_statistics() -> None:
    """With the weights held still, the negative statistics become the model's own, summed over all states."""
    rbm, rule = small(scale=0.7), ContrastiveDivergence(1, chains=20_000)
    for seed in range(40):
        found = direction(rule, rbm, DATA, seed)
    for own, exact in zip(found, exact_direction(rbm, DATA), strict=True):
        assert float((own - exact).detach().abs().max()) < 0.015


def test_weight_cost_spares_the_biases() -> None:
    rbm = small()
    plain = direction(ContrastiveDivergence(), rbm, DATA)
    costly = direction(ContrastiveDivergence(weight_cost=0.1), rbm, DATA)
    torch.testing.assert_close(plain[0] - costly[0], 0.1 * rbm.weight.detach())
    assert torch.equal(plain[1], costly[1])
    assert torch.equal(plain[2], costly[2])


def test_sparsity_pulls_activity_to_its_target() -> None:
    """The pull is cost * (target - q), into the biases and, times the mean input, into the weights."""
    rbm = small()
    plain = direction(ContrastiveDivergence(), rbm, DATA)
    rule = ContrastiveDivergence(sparsity=0.1, sparsity_cost=2.0, sparsity_decay=0.5)
    sparse = direction(rule, rbm, DATA)
    with torch.no_grad():
        pull = 2.0 * (0.1 - rbm.hidden_given_visible(DATA).mean(0))
    torch.testing.assert_close(sparse[2] - plain[2], pull)
    torch.testing.assert_close(sparse[0] - plain[0], torch.outer(pull, DATA.mean(0)))
    fresh = ContrastiveDivergence(sparsity=0.1)
    fresh.load_state_dict(rule.state_dict())
    torch.testing.assert_close(fresh.state_dict()["activity"], rule.state_dict()["activity"])


def test_training_raises_the_exact_likelihood() -> None:
    """On a distribution over 6 pixels that no independent pixels can have: log-likelihood in nats by enumeration."""
    bars = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.float32).repeat(64, 1)
    data = tg.Dataset.from_arrays(bars)
    model = RBM(6, 4, generator=make_generator("init"))
    model.start_visible_bias(bars)

    def nats() -> float:
        with torch.no_grad():
            log_z = model.free_energy(states(6).float()).neg().logsumexp(0)
            return float((-model.free_energy(bars) - log_z).mean())

    assert nats() == pytest.approx(6 * -0.693, abs=0.02)  # six fair coins
    schedule = tg.training.EpochSteps("momentum", {0: 0.5, 5: 0.9})
    recipe = tg.optimizer("momentum", lr=0.1)
    tg.fit(model, ContrastiveDivergence(), data, optimizer=recipe, schedule=schedule, epochs=100, batch_size=16)
    assert nats() > -1.0  # the best is log 1/2 = -.69


def test_a_killed_run_with_chains_resumes_bit_equal(check_resuming: Callable[..., None]) -> None:
    data = tg.Dataset.from_arrays(states(4).float())

    def run(folder: str, epochs: int, resume: bool) -> RBM:
        model = RBM(4, 3, generator=make_generator("init"))
        rule = ContrastiveDivergence(chains=5)
        tg.fit(model, rule, data, epochs=epochs, batch_size=4, out=folder, resume=resume)
        return model

    check_resuming(run)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="persistent chains"):
        ContrastiveDivergence(chains=10, visible="probabilities")
    with pytest.raises(ConfigError, match="needs a model with"):
        ContrastiveDivergence().check(torch.nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match="velocity"):
        ContrastiveDivergence().load_state_dict({"velocity": torch.zeros(1)})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_squared_error_is_that_of_its_definition(dtype: torch.dtype) -> None:
    """By its definition, in one pass of a kernel (float32) and by torch; states need not lie by rows."""
    states, others = (torch.rand(7, 23, generator=make_generator(name), dtype=dtype) for name in ("v0", "v1"))
    wanted = float((states - others).double().square().sum()) / 7
    assert float(squared_error(states, others)) == pytest.approx(wanted, rel=1e-6)
    by_columns = states.t().contiguous().t()
    assert float(squared_error(by_columns, others)) == pytest.approx(wanted, rel=1e-6)
