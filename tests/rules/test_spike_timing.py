"""Each rule on two spikes (or three), run by `fit`; the numbers are worked out by hand in the test.

e^(-1/2) = .6065306597, e^(-1) = .3678794412: ten and twenty steps at 20 ms.
"""

from __future__ import annotations

import math

import pytest
import torch

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError
from threegen.gen1.perceptron import Perceptron
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.exponential_stdp import ExponentialSTDP
from threegen.rules.mstdp import MSTDP
from threegen.rules.mstdpet import MSTDPET
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.pair_stdp import PairSTDP
from threegen.rules.post_pre import PostPre
from threegen.rules.power_law_stdp import PowerLawSTDP
from threegen.rules.reward import AnswerCritic, SpikeCritic, class_of_neurons
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.symmetric_stdp import SymmetricSTDP
from threegen.rules.triplet_stdp import TripletSTDP
from threegen.studies.two_spikes import order_change_of, weight_change

TEN, TWENTY = 0.6065306597126334, 0.36787944117144233
BOTH = pytest.mark.parametrize("backend", ["plain", "fused"])


@BOTH
def test_pair(backend: str) -> None:
    rule = PairSTDP(0.01, 0.02, backend=backend)
    assert weight_change(rule, [5], [15]) == pytest.approx(0.01 * TEN)
    assert weight_change(rule, [15], [5]) == pytest.approx(-0.02 * TEN)
    assert weight_change(rule, [5], [5]) == pytest.approx(0.01)  # at once counts as before
    assert weight_change(rule, [5], []) == 0
    # all pairs: inputs at 5 and 15 before the neuron at 25
    assert weight_change(rule, [5, 15], [25]) == pytest.approx(0.01 * (TEN + TWENTY))
    # at 25 both: up for all three inputs, down for the neuron's spike at 15
    expected = 0.01 * (TEN + 1 + TWENTY) - 0.02 * TEN
    assert weight_change(rule, [5, 25], [15, 25]) == pytest.approx(expected)


@BOTH
def test_post_pre_counts_the_nearest_only(backend: str) -> None:
    rule = PostPre(0.02, 0.01, backend=backend)
    assert weight_change(rule, [5], [15]) == pytest.approx(0.01 * TEN)
    assert weight_change(rule, [15], [5]) == pytest.approx(-0.02 * TEN)
    assert weight_change(rule, [5, 15], [25]) == pytest.approx(0.01 * TEN)
    assert weight_change(rule, [25], [5, 15]) == pytest.approx(-0.02 * TEN)


@BOTH
def test_triplet_of_the_published_script(backend: str) -> None:
    """A pair alone does not potentiate; neuron 0, input 10, neuron 20: -1e-4 e^(-1/2) + 1e-2 e^(-1/2) e^(-20/40)."""
    rule = TripletSTDP(backend=backend)
    assert weight_change(rule, [5], [15]) == 0
    assert weight_change(rule, [15], [5]) == pytest.approx(-1e-4 * TEN)
    assert weight_change(rule, [10], [0, 20]) == pytest.approx(-1e-4 * TEN + 1e-2 * TEN * TEN)


@BOTH
def test_triplet_depression_needs_two_spikes_of_the_input(backend: str) -> None:
    """Input 0, neuron 10, input 20: up .01 e^(-1/2); down e^(-1/2) (.02 + .03 r2), r2 = e^(-20/40)."""
    rule = TripletSTDP(0.01, 0.0, 0.02, 0.03, backend=backend)
    assert weight_change(rule, [0, 20], [10]) == pytest.approx(0.01 * TEN - TEN * (0.02 + 0.03 * TEN))


def spike_train_sum(inputs: list[int], neuron: list[int]) -> float:
    """Pfister and Gerstner's minimal model (visual cortex) as a sum over pairs and triplets of spike times."""
    total = 0.0
    for now in neuron:
        r1 = sum(math.exp(-(now - t) / 16.8) for t in inputs if t <= now)
        o2 = sum(math.exp(-(now - t) / 114.0) for t in neuron if t < now)
        total += r1 * 6.5e-3 * o2
    for now in inputs:
        total -= 7.1e-3 * sum(math.exp(-(now - t) / 33.7) for t in neuron if t < now)
    return total


# Sjostrom, Turrigiano and Nelson, Neuron 32 (2001), what the triplet model was fitted to: 60 pairs, the input 10 ms
# before the neuron (10) or after it (-10): pairs a second, relative change of weight, its error.
MEASURED = {
    10: {0.1: (-0.04, 0.05), 10: (0.14, 0.1), 20: (0.29, 0.14), 40: (0.53, 0.11), 50: (0.56, 0.26)},
    -10: {0.1: (-0.29, 0.08), 10: (-0.41, 0.11), 20: (-0.34, 0.1), 40: (0.56, 0.32), 50: (0.75, 0.19)},
}


@pytest.mark.parametrize("lag", [10, -10])
def test_triplets_depend_on_the_rate_as_measured(lag: int) -> None:
    """Sixty pairs at each rate: the sum over spike times to 1e-6, the measurements to 1.5 of their errors."""
    for rate, (measured, error) in MEASURED[lag].items():
        pairs = 60 if rate >= 1 else 1  # ten seconds apart nothing is left of the traces: sixty times one pair
        inputs = [20 + int(n * 1000 / rate) for n in range(pairs)]
        neuron = [time + lag for time in inputs]
        scale = 0.1  # small enough that the weight stays off its bounds
        change = weight_change(TripletSTDP.visual_cortex(scale, backend="fused"), inputs, neuron) / scale
        assert change == pytest.approx(spike_train_sum(inputs, neuron), rel=1e-6)
        assert abs(change * 60 / pairs - measured) < 1.5 * error


def test_power_law() -> None:
    """.01 (.60653 - .4) (1 - .75)^.5 = .01 * .2065306597 * .5; a silent input: .01 (0 - .4) .5; an input alone: 0."""
    rule = PowerLawSTDP(0.01, mu=0.5)
    assert weight_change(rule, [5], [15], weight=0.75) == pytest.approx(0.01 * 0.2065306597126334 * 0.5)
    assert weight_change(rule, [15], [5], weight=0.75) == pytest.approx(-0.01 * 0.4 * 0.5)
    assert weight_change(rule, [5], [], weight=0.75) == 0


def test_exponential() -> None:
    """.01 (.60653 e^(-.75) - .4 e^(-.25)) with e^(-.75) = .4723665527 and e^(-.25) = .7788007831."""
    rule = ExponentialSTDP(0.01)
    expected = 0.01 * (TEN * 0.4723665527410147 - 0.4 * 0.7788007830714049)
    assert weight_change(rule, [5], [15], weight=0.75) == pytest.approx(expected)
    assert weight_change(rule, [15], [5], weight=0.75) == pytest.approx(-0.01 * 0.4 * 0.7788007830714049)


def test_symmetric() -> None:
    """Up as the power law; neuron at 5: .01 (-.4) .5, then the input at 15: -.002 e^(-1/2) w^.5, w = .748."""
    rule = SymmetricSTDP(0.002, 0.01, mu=0.5)
    assert weight_change(rule, [5], [15], weight=0.75) == pytest.approx(0.01 * 0.2065306597126334 * 0.5)
    assert weight_change(rule, [15], [5], weight=0.75) == pytest.approx(-0.002 - 0.002 * TEN * math.sqrt(0.748))


def always(spikes: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return spikes.new_ones(())


def at_step(step: int) -> object:
    return lambda spikes, target: spikes.new_tensor(float(len(spikes) == step + 1))


def test_mstdp() -> None:
    """rate r zeta: +.01 e^(-1/2), -.01 e^(-1/2); the reward of another step brings nothing; blame turns the sign."""
    assert weight_change(MSTDP(always), [5], [15]) == pytest.approx(0.01 * TEN)
    assert weight_change(MSTDP(always), [15], [5]) == pytest.approx(-0.01 * TEN)
    assert weight_change(MSTDP(at_step(20)), [5], [15], steps=30) == 0
    assert weight_change(MSTDP(SpikeCritic(1)), [5], [15]) == pytest.approx(0.01 * TEN)
    blamed = MSTDP(lambda spikes, target: -spikes.new_ones(()))
    assert weight_change(blamed, [5], [15]) == pytest.approx(-0.01 * TEN)


def test_mstdpet_waits_for_the_reward() -> None:
    """zeta(15) = e^(-1/2), z(40) = e^(-1/2)/25 e^(-25/25); the reward at 40 alone: .1 z(40)."""
    rule = MSTDPET(at_step(40), 0.1)
    assert weight_change(rule, [5], [15], steps=41) == pytest.approx(0.1 * TEN / 25 * TWENTY)
    assert weight_change(rule, [15], [5], steps=41) == pytest.approx(-0.1 * TEN / 25 * TWENTY)
    # rewarded at every step the whole trace counts: .1 e^(-1/2)/25 (1 + q + ... + q^4), q = e^(-1/25)
    q = math.exp(-1 / 25)
    expected = 0.1 * TEN / 25 * (1 - q**5) / (1 - q)
    assert weight_change(MSTDPET(always, 0.1), [5], [15], steps=20) == pytest.approx(expected)


def test_order_based() -> None:
    """.004 * .5 * .5 for an input before or with the winner, whatever the delay; -.003 * .5 * .5 after it."""
    for early in (0, 4, 7):
        assert order_change_of(OrderBasedSTDP(), early, 7) == pytest.approx(0.001)
    assert order_change_of(OrderBasedSTDP(), 8, 7) == pytest.approx(-0.00075)
    assert order_change_of(OrderBasedSTDP(stabiliser=False), 8, 7) == pytest.approx(-0.003)


def test_order_based_rate_doubles() -> None:
    rule = OrderBasedSTDP(double_every=2, most=0.01)
    rates = []
    for _ in range(6):
        order_change_of(rule, 0, 1)
        rates.append(rule.a_plus)
    assert rates == [0.004, 0.008, 0.008, 0.01, 0.01, 0.01]


def test_reward_stdp() -> None:
    """Right (label 0): +.004 c, -.003 c with c = .9; wrong (label 1): -.004 c, +.0005 c with c = .1."""
    assert order_change_of(RewardSTDP(2), 0, 1, label=0) == pytest.approx(0.004 * 0.9)
    assert order_change_of(RewardSTDP(2), 2, 1, label=0) == pytest.approx(-0.003 * 0.9)
    assert order_change_of(RewardSTDP(2), 0, 1, label=1) == pytest.approx(-0.004 * 0.1)
    assert order_change_of(RewardSTDP(2), 2, 1, label=1) == pytest.approx(0.0005 * 0.1)
    with_stabiliser = RewardSTDP(2, adaptive=False, stabiliser=True)
    assert order_change_of(with_stabiliser, 0, 1, label=0) == pytest.approx(0.004 * 0.25)


def test_reward_rates_follow_the_last_window() -> None:
    """Three right, one wrong: rewards count .25, punishments .75."""
    rule = RewardSTDP(2, window=4)
    for label in (0, 0, 1, 0):
        order_change_of(rule, 0, 1, label=label)
    assert (rule.right_share, rule.wrong_share) == (0.75, 0.25)
    assert order_change_of(rule, 0, 1, label=0) == pytest.approx(0.001)
    assert order_change_of(rule, 0, 1, label=1) == pytest.approx(-0.003)


def test_critics() -> None:
    spikes = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    one = torch.tensor(1)
    assert class_of_neurons(4, 2).tolist() == [0, 0, 1, 1]
    assert [float(SpikeCritic(2)(spikes[:n], one)) for n in (1, 2, 3)] == [-1, 2, 0]
    assert [float(SpikeCritic(2, blame=0.5, delay=1)(spikes[:n], one)) for n in (1, 2, 3)] == [0, -0.5, 2]
    answer = AnswerCritic(2, at=2, blame=0.5)
    assert [float(answer(spikes[:n], one)) for n in (1, 2, 3)] == [0, 0, 1]
    assert float(answer(spikes, torch.tensor(0))) == -0.5
    assert float(answer(torch.zeros(3, 4), one)) == 0
    with pytest.raises(ConfigError, match="2 neurons are too few for 3 classes"):
        class_of_neurons(2, 3)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="a_plus must be a finite number at least 0"):
        PairSTDP(-0.1)
    with pytest.raises(ConfigError, match="backend"):
        PostPre(backend="quick")
    with pytest.raises(ConfigError, match="needs a model with dt, Perceptron has none"):
        PairSTDP().check(Perceptron(4, 2))
    with pytest.raises(ConfigError, match="needs a model with bounds, PlasticLayer has none"):
        OrderBasedSTDP().check(PlasticLayer(4, 2))
    with pytest.raises(ConfigError, match="critic must be callable"):
        MSTDP(1.0)  # type: ignore[arg-type]
    layer = PlasticLayer(4, 2)
    layer.weight.requires_grad_(False)
    with pytest.raises(ConfigError, match="frozen"):
        PairSTDP(backend="fused")(layer, Batch(torch.zeros(1, 3, 4)), torch.Generator())
    with pytest.raises(DataError, match=r"outside 0\.\.1"):
        order_change_of(RewardSTDP(2), 0, 1, label=2)
