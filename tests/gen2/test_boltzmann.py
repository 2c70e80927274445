"""The Boltzmann machine against sums over all its states, written out here; the Hopfield net as its special case."""

from __future__ import annotations

import itertools

import pytest
import torch

import threegen as tg
from threegen.errors import ConfigError, ShapeError
from threegen.functional.energy.partition import all_states
from threegen.gen2.boltzmann import BoltzmannMachine
from threegen.randomness import make_generator
from threegen.rules.boltzmann_learning import BoltzmannLearning


def machine(visible: int = 3, hidden: int = 2, temperature: float = 1.5, scale: float = 1.0) -> BoltzmannMachine:
    made = BoltzmannMachine(visible, hidden, temperature=temperature, init=scale, generator=make_generator("w"))
    with torch.no_grad():
        made.bias.normal_(generator=make_generator("b"))
    return made.double()


@torch.no_grad()
def enumerated(net: BoltzmannMachine) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every state and its probability, from the definition of the energy, pair by pair."""
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=net.units)), dtype=torch.float64)
    energies = []
    for state in states:
        energy = -sum(float(net.bias[i] * state[i]) for i in range(net.units))
        for i, j in itertools.combinations(range(net.units), 2):
            energy -= float(net.weight[i, j] * state[i] * state[j])
        energies.append(energy)
    return states, (-torch.tensor(energies, dtype=torch.float64) / net.temperature).softmax(0)


def test_states_are_counted_in_binary() -> None:
    assert torch.equal(all_states(3), torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64))
    assert torch.equal(all_states(3, 5, 7), all_states(3)[5:7])


def test_likelihood_and_statistics_equal_enumeration() -> None:
    net = machine()
    states, chances = enumerated(net)
    visible = all_states(3)
    expected = torch.stack([chances[(states[:, :3] == v).all(1)].sum() for v in visible]).log()
    torch.testing.assert_close(net.log_likelihood(visible).detach(), expected)
    first, second = net.exact_statistics()
    torch.testing.assert_close(first, chances @ states)
    torch.testing.assert_close(second, (states * chances[:, None]).T @ states)
    assert torch.equal(net.couplings, net.couplings.T)
    assert not net.couplings.diagonal().any()


def test_one_unit_follows_the_papers_equation() -> None:
    """P(s = 1) = 1 / (1 + exp(-u / T)) for the unit that is visited last; u by hand."""
    net = BoltzmannMachine(2, temperature=2.0)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
        net.bias.copy_(torch.tensor([-50.0, -1.0]))  # the first unit is always 0
    drawn = net.gibbs(torch.zeros(40_000, 2), generator=make_generator(0))[:, 1].mean()
    assert float(drawn) == pytest.approx(1 / (1 + 2.718281828**0.5), abs=0.01)  # u = -1


@pytest.mark.parametrize("clamp", [False, True])
def test_gibbs_sampling_reaches_the_exact_distribution(clamp: bool) -> None:
    net = machine()
    states, chances = enumerated(net)
    start = torch.tensor([1.0, 0, 1, 0, 0], dtype=torch.float64).expand(20_000, 5)
    found = net.gibbs(start, 20, clamp_visible=clamp, generator=make_generator("g"))
    if clamp:
        chances = torch.where((states[:, :3] == start[0, :3]).all(1), chances, 0.0)
        chances = chances / chances.sum()
    counts = torch.stack([(found == state).all(1).double().mean() for state in states])
    assert bool(((counts - chances).abs() <= 4.5 * (chances * (1 - chances) / 20_000).sqrt()).all())


def test_mean_field_is_a_fixed_point_and_exact_without_hidden_couplings() -> None:
    net = machine()
    visible = all_states(3)
    means = net.mean_field(visible, steps=200)
    again = torch.sigmoid((means @ net.couplings + net.bias) / net.temperature)[:, 3:]
    torch.testing.assert_close(means[:, 3:], again)
    with torch.no_grad():
        net.weight[3, 4] = 0.0
    states, chances = enumerated(net)
    for v, found in zip(visible, net(visible), strict=True):
        given = torch.where((states[:, :3] == v).all(1), chances, 0.0)
        torch.testing.assert_close(found.detach(), (given @ states / given.sum())[3:])


def test_annealing_finds_the_lowest_energy_where_quenching_does_not() -> None:
    net = machine(12, 0, scale=2.0)
    lowest = float(net.energy(all_states(12)).detach().min())
    start = net.start_states(torch.randint(0, 2, (100, 12), generator=make_generator("s")).double())
    cooled = net.anneal(start, [8 * 0.97**k for k in range(200)], generator=make_generator("a"))
    quenched = net.recall(start, generator=make_generator("a"))
    hits = [float((net.energy(s).detach() < lowest + 1e-9).double().mean()) for s in (cooled, quenched)]
    assert hits[0] > 0.8
    assert hits[0] > hits[1] + 0.1, hits


@pytest.mark.parametrize("way", ["exact", "gibbs", "mean-field"])
def test_the_two_phases_are_the_gradient_of_the_likelihood(way: str) -> None:
    """Against autograd of the exact log-likelihood; sampled phases up to their noise, mean field without couplings."""
    net = machine()
    if way == "mean-field":
        with torch.no_grad():
            net.weight[3, 4] = 0.0  # then the clamped means are exact; but <h h> is a product, which it is here too
    data = all_states(3)[[0, 3, 5, 5]].repeat(1 if way == "exact" else 5_000, 1)
    rule = BoltzmannLearning(way, machines=20_000, sweeps=20)
    next(rule(net, tg.Batch(data), make_generator("draws")))
    expected = torch.autograd.grad(-net.log_likelihood(data[:4]).mean(), [net.weight, net.bias])
    for own, other in zip((net.weight.grad, net.bias.grad), expected, strict=True):
        assert own is not None
        assert float((own - other).abs().max()) < (1e-12 if way == "exact" else 0.015)


def test_learning_raises_the_exact_likelihood() -> None:
    """Parity of three bits has no pair correlations: only hidden units can learn it. The best is log 1/4 a case."""
    even = all_states(3).float()
    even = even[even.sum(1) % 2 == 0]
    net = BoltzmannMachine(3, 4, init=1.0, generator=make_generator("parity"))
    recipe, data = tg.optimizer("momentum", lr=0.5), tg.Dataset.from_arrays(even)
    tg.fit(net, BoltzmannLearning("exact"), data, optimizer=recipe, epochs=400, batch_size=4)
    with torch.no_grad():
        assert float(net.log_likelihood(even).mean()) > -1.5  # three fair coins: -2.08; the best: -1.386


def test_a_hopfield_net_recalls_its_patterns() -> None:
    """Six patterns in 100 units, far below .138 N: a tenth of the bits wrong is mended, and energy never rises."""
    patterns = torch.randint(0, 2, (6, 100), generator=make_generator("patterns")).float()
    net = BoltzmannMachine.storing(patterns)
    assert torch.equal(net.recall(patterns), patterns)
    wrong = patterns.clone()
    for number, row in enumerate(wrong):
        places = torch.randperm(100, generator=make_generator("flips", number))[:10]
        row[places] = 1 - row[places]
    assert torch.equal(net.recall(wrong, generator=make_generator(0)), patterns)
    states = torch.randint(0, 2, (50, 100), generator=make_generator("noise")).float()
    for sweep in range(5):
        after = net.gibbs(states, generator=make_generator(sweep))
        assert bool((net.energy(after) <= net.energy(states) + 1e-4).all())
        states = after


def test_the_energy_of_signs_is_hopfields() -> None:
    """-1/2 x^T J x of signs x, up to one constant for all states."""
    patterns = torch.randint(0, 2, (3, 8), generator=make_generator("patterns")).float()
    signs = 2 * patterns - 1
    j = (signs.T @ signs / 8).fill_diagonal_(0)
    x = 2 * all_states(8).float() - 1
    apart = BoltzmannMachine.storing(patterns).energy(all_states(8).float()) + 0.5 * (x @ j * x).sum(1)
    torch.testing.assert_close(apart, apart[:1].expand(256))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 and 1 only"):
        BoltzmannMachine.storing(torch.tensor([[-1.0, 1.0]]))
    with pytest.raises(ShapeError, match="patterns must be"):
        BoltzmannMachine.storing(torch.zeros(3))
    with pytest.raises(ConfigError, match="temperature above 0"):
        BoltzmannLearning().check(BoltzmannMachine(3, temperature=0.0))
    with pytest.raises(ConfigError, match="at most 25"):
        BoltzmannMachine(30).log_partition()
    with pytest.raises(ConfigError, match="mean field needs"):
        BoltzmannMachine(3, 1, temperature=0.0).mean_field(torch.zeros(1, 3))
