"""Neurons as modules: decay in three forms, integrate-and-fire, recurrent weights, states, against equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import SURROGATES, LIFParameters, lif_loop, lif_step
from threegen.gen3.neuron_options import make_neurons
from threegen.gen3.neurons import IF, LIF, LeakyIntegrator


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def currents(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed))


def test_decay_tau_and_learnable_decay_are_one_number() -> None:
    assert LIF().constants.decay == 0.5
    assert LIF(tau=2.0).constants.decay == math.exp(-0.5)
    learnt = LIF(0.8, learnable_decay=True)
    assert learnt.decay is not None
    assert float(learnt.decay.detach()) == pytest.approx(0.8)
    assert [name for name, _ in learnt.named_parameters()] == ["leak"]
    x = currents(6, 3, 5)
    assert torch.equal(learnt(x)[0], lif_loop(x, None, learnt.constants_now())[0])
    assert LIF(0.8).decay is None


def test_a_decay_is_learnt() -> None:
    """Potentials of a neuron with decay .9 are the goal; from .5 descent gets there."""
    x = 0.1 * torch.rand(8, 16, 4, generator=generator())
    trace: list[torch.Tensor] = []
    LIF(0.9, threshold=50.0)(x, None, trace)
    neuron = LIF(0.5, threshold=50.0, learnable_decay=True)
    optimizer = torch.optim.Adam(neuron.parameters(), lr=0.1)
    for _ in range(80):
        found: list[torch.Tensor] = []
        neuron(x, None, found)
        optimizer.zero_grad()
        F.mse_loss(found[0], trace[0]).backward()
        optimizer.step()
    assert neuron.decay is not None
    assert float(neuron.decay.detach()) == pytest.approx(0.9, abs=0.01)


def test_integrate_and_fire_loses_nothing() -> None:
    # .2 a step, threshold 1: u = .2 .4 .6 .8 1.0 fires, then from 0 again
    spikes, _ = IF(threshold=1.0)(torch.full((10, 1, 1), 0.2, dtype=torch.float64))
    assert spikes.flatten().tolist() == [0, 0, 0, 0, 1] * 2
    assert isinstance(make_neurons({"neuron": "if", "threshold": 1.0}), IF)
    with pytest.raises(ConfigError, match='neuron="if" has no leak, so no tau'):
        make_neurons({"neuron": "if", "tau": 2.0})


def test_recurrent_weights_bring_the_last_spikes_back() -> None:
    neuron = LIF(recurrent=4, generator=generator())
    x = currents(5, 2, 4)
    trace: list[torch.Tensor] = []
    spikes, _ = neuron(x, None, trace)
    state = None
    assert neuron.recurrent_weight is not None
    for t in range(5):
        back = 0.0 if state is None else state.spikes @ neuron.recurrent_weight.T
        state = lif_step(x[t] + back, state, LIFParameters())
        torch.testing.assert_close(state.potential, trace[0][t])
        assert torch.equal(state.spikes, spikes[t])
    spikes.sum().backward()
    assert neuron.recurrent_weight.grad is not None
    assert float(neuron.recurrent_weight.grad.abs().sum()) > 0
    with pytest.raises(ShapeError, match="recurrent weights are for 4 neurons"):
        neuron(currents(5, 2, 3))


def test_recurrent_weights_start_with_the_promised_noise() -> None:
    """300 neurons firing at 15 % shall add .2 thresholds of noise; the mean over 6e4 sums is good to 3 %."""
    neuron = LIF(threshold=0.5, recurrent=300, generator=generator())
    assert neuron.recurrent_weight is not None
    spikes = (torch.rand(200, 300, generator=generator(1)) < 0.15).float()
    assert float((spikes @ neuron.recurrent_weight.T).detach().std()) == pytest.approx(0.2 * 0.5, rel=0.03)


NEURONS = {
    "plain": lambda: LIF(),
    "integrate-and-fire": lambda: IF(),
    "learnt decay": lambda: LIF(learnable_decay=True),
    "recurrent": lambda: LIF(recurrent=4, generator=generator()),
    "refractory": lambda: LIF(refractory=2),
    "adaptive": lambda: LIF(adaptation=0.3),
    "window": lambda: LIF(kernel=[1.0, 0.5, 0.25]),
    "rest and reset": lambda: LIF(rest=0.1, reset_to=-0.2, reset="soft"),
    "all": lambda: LIF(
        tau=3.0,
        learnable_decay=True,
        rest=0.1,
        reset_to=-0.1,
        kernel=(0.5, 0.5),
        refractory=1,
        adaptation=0.2,
        recurrent=4,
        generator=generator(),
    ),
}


@pytest.mark.parametrize("name", NEURONS)
def test_a_state_handed_on_makes_two_halves_the_whole(name: str) -> None:
    neuron = NEURONS[name]()
    x = currents(9, 3, 4)
    whole, last = neuron(x)
    first, state = neuron(x[:4])
    second, after = neuron(x[4:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    for one, two in zip(after, last, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            torch.testing.assert_close(one, two)
    again, _ = neuron(x)  # nothing is remembered inside
    assert torch.equal(again, whole)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("surrogate", sorted(SURROGATES))
def test_surrogate_gradients_are_the_same_in_eval_mode(name: str, surrogate: str) -> None:
    neuron = NEURONS[name]()
    object.__setattr__(neuron.constants, "surrogate", surrogate)
    found = []
    for mode in (True, False):
        neuron.train(mode)
        x = (0.5 + 0.3 * currents(6, 3, 4)).requires_grad_()
        neuron(x)[0].sum().backward()
        assert x.grad is not None
        found.append(x.grad)
    assert float(found[0].abs().sum()) > 0
    assert torch.equal(found[0], found[1])


def test_the_leaky_integrator_never_fires() -> None:
    # u = .5 u + 1: 1, 1.5, 1.75
    potentials, state = LeakyIntegrator(0.5)(torch.ones(3, 1, 2))
    assert potentials[:, 0, 0].tolist() == [1.0, 1.5, 1.75]
    more, _ = LeakyIntegrator(0.5)(torch.ones(1, 1, 2), state)
    assert more.flatten().tolist() == [1.875, 1.875]
    assert LeakyIntegrator(tau=1.0).decay == math.exp(-1)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="give decay or tau, not both"):
        LIF(0.5, tau=2.0)
    with pytest.raises(ConfigError, match="tau must be a finite number above"):
        LIF(tau=0.0)
    with pytest.raises(ConfigError, match="decay to start learning from"):
        LIF(1.0, learnable_decay=True)
    with pytest.raises(ConfigError, match="reset_to must be below the threshold"):
        LIF(reset_to=0.5)
    with pytest.raises(ConfigError, match=r"neuron is 'iff'; choose lif, if"):
        make_neurons({"neuron": "iff"})
