"""The formulas by hand: two spikes, numbers worked out on paper; sums over all pairs and triplets by brute force."""

import math

import pytest
import torch
from torch import Tensor

from threegen.errors import ConfigError
from threegen.functional.plasticity import plasticity as p

ONE, NONE = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
E_HALF = 0.6065306597126334  # e^(-10/20): ten steps at a time constant of twenty


def w(value: float) -> Tensor:
    return torch.full((1, 1), value, dtype=torch.float64)


def test_traces() -> None:
    assert p.trace_decay(20.0) ** 10 == pytest.approx(E_HALF)
    assert p.trace_decay(20.0, 0.5) == pytest.approx(0.9753099120283326)  # e^(-.025)
    trace = torch.tensor([0.5, 0.5], dtype=torch.float64)
    spikes = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert p.update_trace(trace, spikes, 0.8).tolist() == [1.0, 0.4]
    assert p.update_trace(trace, spikes, 0.8, saturate=False).tolist() == [1.4, 0.4]
    with pytest.raises(ConfigError, match="tau must be a finite number above"):
        p.trace_decay(0.0)


def test_two_spikes_ten_apart() -> None:
    """Input first: +.01 e^(-1/2); neuron first: -.02 e^(-1/2)."""
    trace = ONE * E_HALF
    assert p.pair_change(NONE, ONE, trace, NONE, 0.01, 0.02).item() == pytest.approx(0.006065306597)
    assert p.pair_change(ONE, NONE, ONE, trace, 0.01, 0.02).item() == pytest.approx(-0.01213061319)
    # both at once after a neuron's spike ten steps ago: +.01 (the input's spike of this step) - .02 e^(-1/2)
    assert p.pair_change(ONE, ONE, ONE, trace, 0.01, 0.02).item() == pytest.approx(-0.00213061319)


def test_shapes_are_neurons_by_inputs() -> None:
    pre, post = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0])
    change = p.pair_change(pre, post, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6]), 1.0, 1.0)
    assert torch.allclose(change, torch.tensor([[-0.5, 0.0, -0.5], [0.1 - 0.6, 0.2, 0.3 - 0.6]]))
    assert p.pair_change(pre.expand(4, 3), post.expand(4, 2), pre.expand(4, 3), post.expand(4, 2), 1, 1).shape == (
        4,
        2,
        3,
    )


def test_triplet_of_diehl_and_cook() -> None:
    """Published script: post w += .01 pre post2before, pre w -= .0001 post1; time constants 20, 20, 40 ms.

    Neuron at 0, input at 10, neuron at 20: the input's spike -.0001 e^(-1/2), the second one +.01 e^(-1/2) e^(-1/2).
    """
    plus, minus = (0.0, 1e-2), (1e-4, 0.0)
    down = p.triplet_change(ONE, NONE, (ONE, ONE * E_HALF), (NONE, ONE), plus, minus)
    assert down.item() == pytest.approx(-6.065306597e-5)
    slow_post = ONE * math.exp(-20 / 40)
    up = p.triplet_change(NONE, ONE, (ONE * E_HALF, NONE), (NONE, slow_post), plus, minus)
    assert up.item() == pytest.approx(0.01 * 0.36787944117144233)


def test_triplet_without_triplet_terms_is_the_pair_rule() -> None:
    generator = torch.Generator().manual_seed(0)
    pre, post = (torch.rand(n, generator=generator).round() for n in (5, 3))
    r1, o1, r2, o2 = (torch.rand(n, generator=generator) for n in (5, 3, 5, 3))
    pairs = p.triplet_change(pre, post, (r1, o1), (r2, o2), (0.3, 0.0), (0.2, 0.0))
    assert torch.equal(pairs, p.pair_change(pre, post, r1, o1, 0.3, 0.2))


def test_weight_dependent_rules() -> None:
    """At w = .75, w_max = 1, trace e^(-1/2), target .4, rate .01."""
    trace = ONE * E_HALF
    # .01 (.60653 - .4) .25^.5
    assert p.power_law_change(w(0.75), ONE, trace, 0.01, 0.4, mu=0.5).item() == pytest.approx(0.001032653299)
    # .01 (.60653 e^-.75 - .4 e^-.25): e^-.75 = .4723665527, e^-.25 = .7788007831
    expected = 0.01 * (E_HALF * 0.4723665527410147 - 0.4 * 0.7788007830714049)
    assert p.exponential_change(w(0.75), ONE, trace, 0.01, 0.4).item() == pytest.approx(expected)
    # an input's spike: -.0001 e^(-1/2) .75^.5 = -.0001 * .6065306597 * .8660254038
    down = p.symmetric_change(w(0.75), ONE, NONE, ONE, trace, 1e-4, 0.01, 0.4, mu=0.5)
    assert down.item() == pytest.approx(-5.252709594e-5)
    both = p.symmetric_change(w(0.75), ONE, ONE, trace, trace, 1e-4, 0.01, 0.4, mu=0.5)
    assert both.item() == pytest.approx(0.001032653299 - 5.252709594e-5)
    assert p.power_law_change(w(1.0), ONE, trace, 0.01, 0.4).item() == 0  # no room left


def test_order_rule() -> None:
    """.004 * .5 * .5 and -.003 * .5 * .5; without a stabiliser the rates themselves; bounds .2 and .8: .3 * .3."""
    assert p.order_change(w(0.5), torch.tensor([[True]]), 0.004, -0.003).item() == pytest.approx(0.001)
    assert p.order_change(w(0.5), torch.tensor([[False]]), 0.004, -0.003).item() == pytest.approx(-0.00075)
    assert p.order_change(w(0.5), torch.tensor([[False]]), 0.004, -0.003, None).item() == pytest.approx(-0.003)
    assert p.order_change(w(0.5), torch.tensor([[True]]), 0.004, -0.003, (0.2, 0.8)).item() == pytest.approx(0.00036)


def test_eligibility() -> None:
    """zeta = P+ at a neuron's spike, P- at an input's; z decays and takes up zeta / tau."""
    trace = ONE * E_HALF
    assert p.eligibility(NONE, ONE, trace, NONE).item() == pytest.approx(E_HALF)
    assert p.eligibility(ONE, NONE, ONE, -trace).item() == pytest.approx(-E_HALF)
    z = p.update_eligibility(w(0.5), w(E_HALF), p.trace_decay(25.0), 25.0)
    assert z.item() == pytest.approx(0.5 * math.exp(-0.04) + E_HALF / 25)


def trains(seed: int, steps: int) -> tuple[list[int], list[int]]:
    generator = torch.Generator().manual_seed(seed)
    spikes = torch.rand(2, steps, generator=generator) < 0.1
    return spikes[0].nonzero()[:, 0].tolist(), spikes[1].nonzero()[:, 0].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_traces_sum_over_all_pairs_and_triplets(seed: int) -> None:
    """Pfister and Gerstner's sums written out over spike times, without a trace (visual cortex, all to all)."""
    plus, minus = (5e-10, 6.2e-3), (7e-3, 2.3e-4)
    taus = {"r1": 16.8, "o1": 33.7, "r2": 101.0, "o2": 125.0}
    steps = 200
    inputs, neurons = trains(seed, steps)

    def fading(times: list[int], now: int, tau: float, *, also_now: bool = False) -> float:
        return sum(math.exp(-(now - t) / tau) for t in times if t < now or (also_now and t == now))

    expected = sum(
        fading(inputs, t, taus["r1"], also_now=True) * (plus[0] + plus[1] * fading(neurons, t, taus["o2"]))
        for t in neurons
    ) - sum(fading(neurons, t, taus["o1"]) * (minus[0] + minus[1] * fading(inputs, t, taus["r2"])) for t in inputs)
    traces = dict.fromkeys(taus, NONE)
    total = 0.0
    for t in range(steps):
        pre, post = ONE * (t in inputs), ONE * (t in neurons)
        traces = {name: trace * p.trace_decay(taus[name]) for name, trace in traces.items()}
        traces["r1"] = p.mark_spikes(traces["r1"], pre, saturate=False)
        fast, slow = (traces["r1"], traces["o1"]), (traces["r2"], traces["o2"])
        total += p.triplet_change(pre, post, fast, slow, plus, minus).item()
        traces["r2"] = p.mark_spikes(traces["r2"], pre, saturate=False)
        for name in ("o1", "o2"):
            traces[name] = p.mark_spikes(traces[name], post, saturate=False)
    assert total == pytest.approx(expected, rel=1e-9)
    assert expected != 0
