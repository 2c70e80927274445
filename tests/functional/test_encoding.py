"""Encoders: their chances, their borders, their errors."""

import math

import pytest
import torch

from threegen.errors import ConfigError, NumericError, ShapeError
from threegen.functional.encoding import bernoulli_spikes, draw_spikes, latency_spikes, poisson_spikes
from threegen.machine.threads import use_threads


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bernoulli_fires_with_the_given_chance() -> None:
    chances = torch.tensor([0.0, 0.001, 0.13, 0.5, 0.9, 0.9999, 1.0])
    draws = 400_000
    rates = bernoulli_spikes(chances.expand(draws // 100, -1), 100, generator()).mean((0, 1))
    deviation = (chances * (1 - chances) / draws).sqrt()
    # five standard deviations of a binomial mean, and 2^-16 for the levels; 0 and 1 exactly
    assert bool(((rates - chances).abs() <= 5 * deviation + 2**-16).all()), rates
    assert rates[0] == 0
    assert rates[-1] == 1


def test_bernoulli_is_never_wrong_at_the_borders() -> None:
    borders = torch.tensor([0.0, 1.0]).expand(1000, 2)
    spikes = bernoulli_spikes(borders, 500, generator(3))  # a million draws, 15 times each of the 65,536 levels
    assert spikes[..., 0].sum() == 0
    assert spikes[..., 1].sum() == 500_000


def test_bernoulli_shape_type_and_seed() -> None:
    x = torch.rand(3, 1, 5, 5, generator=generator())
    spikes = bernoulli_spikes(x, 7, generator(1))
    assert spikes.shape == (7, 3, 1, 5, 5)
    assert spikes.dtype == torch.float32
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(spikes, bernoulli_spikes(x, 7, generator(1)))
    assert not torch.equal(spikes, bernoulli_spikes(x, 7, generator(2)))
    assert bernoulli_spikes(x.double(), 2).dtype == torch.float64


def split_mix(z: int) -> int:
    """The finaliser of SplitMix64, in Python's exact whole numbers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_draws_are_the_hash_of_key_step_and_pixel() -> None:
    chance = torch.rand(3, 5, generator=generator())
    spikes = draw_spikes(chance, 9, key=12345).view(9, 15)
    start = split_mix(12345)
    for t in range(9):
        for i in range(15):
            word = split_mix((start + 0x9E3779B97F4A7C15 * (t // 4 * 15 + i + 1)) % 2**64)
            fires = (word >> 16 * (t % 4)) % 2**16 < round(float(chance.view(-1)[i]) * 2**16)
            assert bool(spikes[t, i]) == fires


def test_a_train_drawn_in_pieces_or_on_two_cores_is_the_same() -> None:
    chance = torch.rand(40, 300, generator=generator())
    whole = draw_spikes(chance, 9, key=7)
    assert torch.equal(torch.cat([draw_spikes(chance, 3, 7), draw_spikes(chance, 6, 7, first=3)]), whole)
    with use_threads(2):
        assert torch.equal(draw_spikes(chance, 9, key=7), whole)
    assert torch.equal(draw_spikes(chance, 9, 7, dtype=torch.bfloat16), whole.bfloat16())


def test_steps_and_pixels_are_independent() -> None:
    spikes = bernoulli_spikes(torch.full((1, 2000), 0.5), 2000, generator(5))[:, 0] - 0.5
    # correlation of neighbours in time and in space; 4e6 pairs of variance 1/16: five deviations are .000625
    assert abs(float((spikes[1:] * spikes[:-1]).mean())) < 6.3e-4
    assert abs(float((spikes[:, 1:] * spikes[:, :-1]).mean())) < 6.3e-4


def test_gradient_is_that_of_the_expectation() -> None:
    x = torch.rand(2, 3, generator=generator()).requires_grad_()
    weights = torch.rand(4, 2, 3, generator=generator(1))
    (bernoulli_spikes(x, 4) * weights).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weights.sum(0))


def test_poisson_fires_with_one_minus_exp() -> None:
    x = torch.tensor([0.0, 0.2, 1.0]).expand(4000, 3)
    rates = poisson_spikes(x, 100, rate=0.7, generator=generator()).mean((0, 1))
    expected = [1 - math.exp(-0.7 * value) for value in (0.0, 0.2, 1.0)]
    assert rates.tolist() == pytest.approx(expected, abs=5 * 0.5 / math.sqrt(400_000))
    assert rates[0] == 0


def test_latency_fires_once_and_the_strong_first() -> None:
    spikes = latency_spikes(torch.tensor([[1.0, 0.5, 0.25, 0.001, 0.0]]), 5)[:, 0]
    # (1 - x) * 4 = 0, 2, 3, 3.996 -> 4; x = 0 never fires
    assert spikes.sum(0).tolist() == [1, 1, 1, 1, 0]
    assert spikes.argmax(0).tolist()[:4] == [0, 2, 3, 4]


@pytest.mark.parametrize("encode", [bernoulli_spikes, poisson_spikes, latency_spikes])
def test_bad_input_is_refused(encode: object) -> None:
    assert callable(encode)
    with pytest.raises(ConfigError, match=r"needs values in 0\.\.1, got 0\.\.255; divide by 255"):
        encode(torch.tensor([[0.0, 255.0]]), 4)
    with pytest.raises(ConfigError, match=r"scale them to 0\.\.1"):
        encode(torch.tensor([[-1.0, 1.0]]), 4)
    with pytest.raises(NumericError, match=r"1 non-finite values, first at \[0, 1\]"):
        encode(torch.tensor([[0.0, math.nan]]), 4)
    with pytest.raises(ConfigError, match="steps must be a whole number of at least 1, got 0"):
        encode(torch.zeros(1, 2), 0)
    with pytest.raises(ShapeError, match="uint8"):
        encode(torch.zeros(1, 2, dtype=torch.uint8), 4)


def test_poisson_rate_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="rate"):
        poisson_spikes(torch.zeros(1, 1), 2, rate=0.0)
