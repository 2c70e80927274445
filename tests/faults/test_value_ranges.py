"""Values that binary units cannot have are refused at every public method, by one sentence.

Each row of `DOORS`: a way in which values of the input (or of hidden units) enter a net of binary units or an encoder
of spikes. Each is tried with pixels 0..255, with -1..1, with NaN, and with the values that it takes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import threegen as tg
from threegen.checks import needs_unit_range, require_unit_range
from threegen.errors import ConfigError, NumericError, ThreegenError
from threegen.randomness import make_generator
from threegen.training.energy_monitors import (
    pseudo_likelihood,
    reconstruction_divergence,
    reconstruction_error,
)

GOOD = torch.rand(12, 6, generator=make_generator("good")).round()
LABELS = torch.arange(12) % 3
SENTENCE = r"needs values in 0\.\.1, got {}; {}$"


def rbm() -> tg.RBM:
    return tg.RBM(6, 4, generator=make_generator(0))


def labelled() -> Any:
    return tg.models.ClassificationRBM(6, 3, 4, generator=make_generator(0))


def dbn(**options: Any) -> tg.DBN:
    return tg.DBN([6, 5, 4, 6], classes=3, generator=make_generator(0), **options)


def machine() -> Any:
    return tg.models.BoltzmannMachine(6, 2, generator=make_generator(0))


def joint(x: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros(len(x), 2)], 1)


def hidden(x: Tensor) -> Tensor:
    return x[:, :4]


def learn(model: Any, rule: Any, x: Tensor) -> object:
    settings: Any = {"epochs": 1, "batch_size": 6} if isinstance(rule, tg.Rule) else {}
    return tg.fit(model, rule, tg.Dataset(x, LABELS), **settings)


def stream(model: Any, rule: tg.Rule, x: Tensor) -> object:
    return tg.fit(model, rule, [(x, LABELS)], epochs=1)


DOORS: dict[str, Callable[[Tensor], object]] = {
    "RBM()": lambda x: rbm()(x),
    "RBM() of images": lambda x: rbm()(x.view(-1, 1, 2, 3)),
    "RBM() in float64": lambda x: rbm().double()(x.double()),
    "RBM() of a strided tensor": lambda x: rbm()(x.t().contiguous().t()),
    "RBM.visible_states": lambda x: rbm().visible_states(x),
    "RBM.reconstruct": lambda x: rbm().reconstruct(x),
    "RBM.start_visible_bias": lambda x: rbm().start_visible_bias(x),
    "RBM.log_partition(base=)": lambda x: rbm().log_partition("ais", steps=3, runs=2, base=x),
    "ContrastiveDivergence": lambda x: learn(rbm(), tg.ContrastiveDivergence(), x),
    "ContrastiveDivergence, plain": lambda x: learn(rbm(), tg.ContrastiveDivergence(backend="plain"), x),
    "ContrastiveDivergence, a stream": lambda x: stream(rbm(), tg.ContrastiveDivergence(), x),
    "ContrastiveDivergence(draw_data)": lambda x: learn(rbm(), tg.ContrastiveDivergence(draw_data=True), x),
    "ContrastiveDivergence(chains)": lambda x: learn(rbm(), tg.ContrastiveDivergence(chains=3), x),
    "ClassificationRBM()": lambda x: labelled()(x),
    "ClassificationRBM.visible_states": lambda x: labelled().visible_states(x, LABELS),
    "ClassificationRBM.start_visible_bias": lambda x: labelled().start_visible_bias(x, LABELS),
    "HybridLearning": lambda x: learn(labelled(), tg.rules.HybridLearning(), x),
    "Backprop of a ClassificationRBM": lambda x: learn(labelled(), tg.Backprop(), x),
    "SoftmaxOnRBM()": lambda x: tg.models.SoftmaxOnRBM(6, 4, 3)(x),
    "DBN()": lambda x: dbn()(x),
    "DBN.encode": lambda x: dbn().encode(x, 0),
    "DBN.reconstruct": lambda x: dbn().reconstruct(x),
    "DBN of real values, its memory": lambda x: dbn(visible_units="gaussian").top.visible_states(hidden(x), LABELS),
    "pretraining": lambda x: learn(net := dbn(), tg.pretraining(net, epochs=1), x),
    "up_down": lambda x: learn(net := dbn(), tg.registry.up_down(net, epochs=1), x),
    "evaluate": lambda x: tg.evaluate(dbn(), (x, LABELS)),
    "BoltzmannMachine()": lambda x: machine()(x),
    "BoltzmannLearning": lambda x: learn(machine(), tg.rules.BoltzmannLearning(sweeps=1, machines=4), x),
    "BoltzmannMachine.gibbs": lambda x: machine().gibbs(joint(x)),
    "BoltzmannMachine.energy": lambda x: machine().energy(joint(x)),
    "BoltzmannMachine.recall": lambda x: machine().recall(joint(x)),
    "BoltzmannMachine.anneal": lambda x: machine().anneal(joint(x), [1.0]),
    "BoltzmannMachine.mean_field": lambda x: machine().mean_field(x),
    "BoltzmannMachine.start_states": lambda x: machine().start_states(x),
    "BoltzmannMachine.free_energy": lambda x: machine().free_energy(x),
    "BoltzmannMachine.log_likelihood": lambda x: machine().log_likelihood(x),
    "BoltzmannMachine.exact_statistics": lambda x: machine().exact_statistics(x),
    "pseudo_likelihood": lambda x: pseudo_likelihood(rbm(), x),
    "reconstruction_divergence": lambda x: reconstruction_divergence(rbm(), x),
    "EnergyMonitor.look": lambda x: tg.training.EnergyMonitor(tg.Dataset(x)).look(rbm()),
    "DiehlCook()": lambda x: tg.DiehlCook(3, inputs=6, classes=3, variant="faster")(x),
    "DiehlCookSTDP": lambda x: learn(
        tg.DiehlCook(3, inputs=6, classes=3, variant="faster"), tg.DiehlCookSTDP(), x
    ),
    "SpikingMLP()": lambda x: tg.SpikingMLP([6, 4, 3], steps=2)(x),
    "Bernoulli": lambda x: tg.Bernoulli()(x, 2),
    "Poisson": lambda x: tg.Poisson()(x, 2),
    "Latency": lambda x: tg.Latency()(x, 2),
    "RankLatency": lambda x: tg.encoders.RankLatency()(x.view(-1, 1, 2, 3)),
}  # fmt: skip

# Means and states in mid-chain: out of range they are refused too, but NaN passes (a net that has diverged draws it,
# and the guard of `fit` names the cause).
INSIDE: dict[str, Callable[[Tensor], object]] = {
    "RBM.gibbs": lambda x: rbm().gibbs(x, 1),
    "RBM.hidden_input": lambda x: rbm().hidden_input(x),
    "RBM.visible_input": lambda x: rbm().visible_input(hidden(x)),
    "RBM.hidden_given_visible": lambda x: rbm().hidden_given_visible(x),
    "RBM.visible_given_hidden": lambda x: rbm().visible_given_hidden(hidden(x)),
    "RBM.draw_hidden": lambda x: rbm().draw_hidden(hidden(x)),
    "RBM.draw_visible": lambda x: rbm().draw_visible(x),
    "RBM.energy": lambda x: rbm().energy(x, hidden(x)),
    "RBM.free_energy": lambda x: rbm().free_energy(x),
    "RBM.log_likelihood": lambda x: rbm().log_likelihood(x, 0.0),
    "DBN.below": lambda x: dbn().below(1, hidden(x)),
    "DBN.decode": lambda x: dbn().decode(hidden(x)),
    "reconstruction_error": lambda x: reconstruction_error(rbm(), x),
}
ALL = {**DOORS, **INSIDE}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", ALL)
def test_values_that_are_meant_pass(door: str) -> None:
    ALL[door](GOOD)
    ALL[door](GOOD * -0.0 + 0.5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", ALL)
@pytest.mark.parametrize(
    ("values", "found"),
    [(GOOD * 255, (r"0\.\.255", "divide by 255")), (GOOD * 2 - 1, (r"-1\.\.1", r"scale them to 0\.\.1"))],
    ids=["pixels", "signs"],
)
def test_values_that_cannot_be_meant_are_refused(door: str, values: Tensor, found: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=SENTENCE.format(*found)):
        ALL[door](values)


@pytest.mark.parametrize("door", DOORS)
def test_nan_is_refused(door: str) -> None:
    holes = GOOD.clone()
    holes[3, 2] = torch.nan
    with pytest.raises(NumericError, match="non-finite values, first at"):
        DOORS[door](holes)


def test_the_quick_way_by_bits_finds_what_comparisons_find() -> None:
    """Every pair of edge values, in both types: refused exactly where one is outside of 0..1."""
    edges = [0.0, -0.0, 1.0, 0.5, 1e-45, -1e-45, 1.0000001, -1e-30, 255.0, -1.0, torch.inf, -torch.inf, torch.nan]
    for kind, (first, second) in itertools.product((torch.float32, torch.float64), itertools.product(edges, edges)):
        values = torch.tensor([first, 0.25, second], dtype=kind)
        fine = bool(((values >= 0) & (values <= 1)).all())
        try:
            require_unit_range("x", values)
        except ThreegenError:
            assert not fine
        else:
            assert fine


def test_what_cannot_be_looked_at_passes() -> None:
    net = rbm().to("meta")
    assert net(torch.empty(2, 6, device="meta")).shape == (2, 4)
    torch.testing.assert_close(torch.func.vmap(rbm())(GOOD[:, None])[:, 0], rbm()(GOOD))
    slopes = torch.func.grad(lambda x: rbm()(x).sum())(GOOD)
    assert slopes.shape == GOOD.shape


def test_models_say_what_they_take() -> None:
    assert needs_unit_range(dbn())
    assert needs_unit_range(tg.models.SoftmaxOnRBM(6, 4, 3))
    assert needs_unit_range(tg.SpikingMLP([6, 3], steps=2))
    assert not needs_unit_range(dbn(visible_units="gaussian"))
    assert not needs_unit_range(tg.SpikingMLP([6, 3], steps=2, encoder="direct"))
    assert not needs_unit_range(tg.MLP([6, 3]))


def test_real_values_go_into_gaussian_units() -> None:
    values = 3 * torch.randn(12, 6, generator=make_generator("real"))
    net = dbn(visible_units="gaussian")
    assert net(values).shape == (12, 3)
    assert tg.RBM(6, 4, "gaussian")(values).shape == (12, 4)
    labelled = tg.models.ClassificationRBM(6, 3, 4, "gaussian")
    assert labelled(values).shape == (12, 3)
    assert labelled.hidden_given_visible(labelled.visible_states(values, LABELS)).shape == (12, 4)
    with pytest.raises(ConfigError, match="draw_data draws binary states"):
        learn(tg.RBM(6, 4, "gaussian"), tg.ContrastiveDivergence(draw_data=True), values)


def test_noise_of_smooth_grad_stays_where_binary_units_take_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = tg.explain(dbn()).smooth_grad(GOOD[:2], samples=3)
    assert bool(torch.isfinite(maps).all())
