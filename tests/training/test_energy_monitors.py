"""Monitors of energy-based nets: pseudo-likelihoods against enumeration, the rest against what they say."""

from __future__ import annotations

import itertools

import pytest
import torch

import threegen as tg
from threegen.errors import ConfigError, DataError, ShapeError
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


def bars(labels: bool = True) -> tg.Dataset:
    rows = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(20, 1)
    return tg.Dataset(rows, torch.arange(40) % 2 if labels else None, ("a", "b") if labels else (), "bars")


def test_a_whole_pre_training_is_watched() -> None:
    """Each stage is looked at with what it sees itself: the means of the layer below; the weights are not disturbed."""
    trained = []
    for watched in (False, True):
        dbn = tg.DBN([6, 5, 4, 8], classes=2, generator=make_generator(0))
        monitor = EnergyMonitor(bars(), bars())
        stages = tg.pretraining(dbn, epochs=2, batch_size=10)
        tg.fit(dbn, stages, bars(), callbacks=[monitor] if watched else [])
        trained.append(dbn)
    for own, other in zip(trained[0].parameters(), trained[1].parameters(), strict=True):
        assert torch.equal(own, other)
    assert [row["epoch"] for row in monitor.rows()] == [0, 1] * 3
    last, dbn = monitor.history[3], trained[1]
    seen = dbn.encode(bars().inputs, 1)  # the first layer has not moved since its own stage
    second = tg.DBN([6, 5, 4, 8], classes=2, generator=make_generator(0))
    second.load_state_dict(dbn.state_dict())
    assert last.reconstruction_error == pytest.approx(reconstruction_error(second.layers[1], seen), rel=1e-6)
    assert monitor.history[0].pseudo_likelihood is not None
    assert monitor.history[5].pseudo_likelihood is None  # labels beside binary units


def test_one_layer_of_a_pre_training_is_watched() -> None:
    dbn = tg.DBN([6, 5, 4, 8], generator=make_generator(0))
    whole, own = (
        EnergyMonitor(bars(), model=dbn.layers[1]),
        EnergyMonitor(tg.Dataset(torch.rand(9, 5)), model=dbn.layers[1]),
    )
    tg.fit(dbn, tg.pretraining(dbn, epochs=2, batch_size=10), bars(), callbacks=[whole, own])
    assert len(whole.history) == len(own.history) == 2


class Never(tg.Rule):
    """A rule that must not be asked: what cannot be watched is refused before the first batch."""

    def __call__(self, model: object, batch: object, generator: object) -> object:  # type: ignore[override]
        raise AssertionError("trained")


def test_what_cannot_be_watched_is_refused_before_the_first_batch() -> None:
    def run(callback: object, model: torch.nn.Module, data: tg.Dataset) -> None:
        stages = tg.pretraining(model, epochs=1) if isinstance(model, tg.DBN) else [tg.Stage("one", Never())]
        for stage in stages:
            stage.rule = Never()
        tg.fit(model, stages, data, callbacks=[callback])

    dbn = tg.DBN([6, 5, 4, 8], classes=2)
    with pytest.raises(ConfigError, match="watches a net of two layers such as an RBM, which no stage trains"):
        run(EnergyMonitor(bars()), tg.MLP([6, 2]), bars())
    with pytest.raises(ConfigError, match="watches the RBM, which no stage trains; there are 'layer of 5'"):
        run(EnergyMonitor(bars(), model=RBM(6, 5)), dbn, bars())
    with pytest.raises(ShapeError, match=r"expects \[B, 6\]"):
        run(EnergyMonitor(tg.Dataset(torch.rand(4, 7))), dbn, bars())
    with pytest.raises(DataError, match="validation has no labels"):
        run(EnergyMonitor(bars(), bars(labels=False)), dbn, bars())
    with pytest.raises(ConfigError, match=r"needs values in 0\.\.1"):
        run(EnergyMonitor(tg.Dataset(2 * torch.ones(4, 6))), RBM(6, 5), bars())
    with pytest.raises(ConfigError, match="binary visible units; stage 'memory of 8' trains AssociativeMemory"):
        run(StopAtDivergence(bars(), 1.0), dbn, bars())
    with pytest.raises(DataError, match="training must be a Dataset, got Tensor"):
        EnergyMonitor(torch.rand(4, 6))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="two layers such as an RBM, got MLP"):
        EnergyMonitor(bars()).look(tg.MLP([6, 2]))
