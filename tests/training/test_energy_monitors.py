"""Monitors of energy-based nets: pseudo-likelihoods against enumeration, the rest against what they say."""

from __future__ import annotations

import itertools

import pytest
import torch

import threegen as tg
from threegen.errors import ConfigError
from threegen.gen2.rbm import RBM
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.training.energy_monitors import (
    EnergyMonitor,
    StopAtDivergence,
    free_energy_gap,
    idle_units,
    pseudo_likelihood,
    reconstruction_divergence,
    reconstruction_error,
)


def small() -> RBM:
    rbm = RBM(5, 3, init=1.0, generator=make_generator(0)).double()
    with torch.no_grad():
        rbm.visible_bias.normal_(generator=make_generator("a"))
    return rbm.requires_grad_(False)


ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)), dtype=torch.float64)


def test_pseudo_likelihood_equals_the_conditionals_of_the_enumerated_distribution() -> None:
    rbm = small()
    p = rbm.free_energy(ALL).neg().softmax(0)
    cases = ALL[[3, 9, 30]]
    expected = 0.0
    for case in cases:
        own = p[(case == ALL).all(1)][0]
        for unit in range(5):
            others = [place for place in range(5) if place != unit]
            expected += float((own / p[(ALL[:, others] == case[others]).all(1)].sum()).log()) / 3
    assert pseudo_likelihood(rbm, cases) == pytest.approx(expected, abs=1e-9)
    guess = pseudo_likelihood(rbm, cases.repeat(4_000, 1), "one", make_generator("flips"))
    assert guess == pytest.approx(expected, abs=0.1)


def test_errors_and_divergence_by_hand() -> None:
    """Without weights each pixel is reconstructed as sigmoid(a): .5 here."""
    rbm = RBM(2, 3, init=0.0)
    cases = torch.tensor([[1.0, 0.0], [0.25, 0.5]])
    assert reconstruction_error(rbm, cases) == pytest.approx((0.25 * 2 + 0.0625) / 2)
    grey = 0.25 * torch.tensor(0.25).log() + 0.75 * torch.tensor(0.75).log() - torch.tensor(0.5).log()
    assert reconstruction_divergence(rbm, cases) == pytest.approx(float(2 * torch.tensor(2.0).log() + grey) / 2)
    assert free_energy_gap(small(), ALL[:1], ALL[:1]) == 0.0


def test_dead_and_saturated_units_are_named() -> None:
    rbm = RBM(4, 3, init=0.0)
    with torch.no_grad():
        rbm.hidden_bias.copy_(torch.tensor([-9.0, 0.0, 9.0]))
    assert idle_units(rbm, torch.rand(5, 4)) == ([0], [2])
    monitor = EnergyMonitor(tg.Dataset.from_arrays(torch.rand(5, 4).round()))
    with pytest.warns(UserWarning, match="1 hidden units are dead and 1 saturated of 3"):
        monitor.look(rbm)


def test_the_monitor_follows_training_and_does_not_disturb_it() -> None:
    bars = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(20, 1)
    data = tg.Dataset.from_arrays(bars)
    trained = []
    for watched in (False, True):
        rbm = RBM(6, 4, init=0.1, generator=make_generator(0))
        monitor = EnergyMonitor(data, data, every=10, flips="all")
        callbacks = [monitor] if watched else []
        tg.fit(rbm, ContrastiveDivergence(), data, lr=0.5, epochs=30, batch_size=10, callbacks=callbacks)
        trained.append(rbm)
    for own, other in zip(trained[0].parameters(), trained[1].parameters(), strict=True):
        assert torch.equal(own, other)
    rows = monitor.rows()
    assert [row["epoch"] for row in rows] == [9, 19, 29]
    assert rows[-1]["reconstruction_error"] < rows[0]["reconstruction_error"] / 2
    assert rows[-1]["pseudo_likelihood"] > rows[0]["pseudo_likelihood"] + 0.5
    assert rows[-1]["free_energy_gap"] == 0.0


def test_training_stops_when_the_divergence_is_small() -> None:
    bars = tg.Dataset.from_arrays(torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(20, 1))
    rbm = RBM(6, 4, init=0.1, generator=make_generator(0))
    stop = StopAtDivergence(bars, 1.0)
    log = tg.fit(rbm, ContrastiveDivergence(), bars, lr=0.5, epochs=500, batch_size=10, callbacks=stop)
    assert "fell under 1 nats" in str(log.stopped)
    assert stop.value is not None
    assert reconstruction_divergence(rbm, bars.inputs) == pytest.approx(stop.value)
    assert stop.value < 1.0


def test_what_is_not_binary_is_refused() -> None:
    with pytest.raises(ConfigError, match="binary visible units"):
        pseudo_likelihood(RBM(4, 3, "gaussian"), torch.rand(2, 4))
