"""The kernels of Diehl and Cook's network against the plain version: same input spikes, same output, same weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from threegen.datasets.batches import Batch
from threegen.functional.diehl_cook.constants import KINDS, VARIANTS, Variant
from threegen.functional.diehl_cook.network import Trace, input_spikes, presentation_key, simulate
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import draw_key, make_generator
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.testing.tools import run_rule


def small(name: str, neurons: int = 20, **options: object) -> DiehlCook:
    """A net that fires a few spikes for 12 inputs; in float64, so that no spike hangs on the last bit of a sum."""
    variant = replace(VARIANTS[name], present=80.0, rest=75.0 if VARIANTS[name].rest else 0.0)
    generator = make_generator("small", name, neurons)
    return DiehlCook(neurons, inputs=12, classes=3, variant=variant, generator=generator, **options).double()  # type: ignore[arg-type]


def images(count: int, seed: int = 0) -> torch.Tensor:
    generator = make_generator("images", seed)
    bright = torch.rand(count, 12, generator=generator, dtype=torch.float64)
    return bright * (torch.rand(count, 12, generator=generator) < 0.7)


def train(model: DiehlCook, rule: DiehlCookSTDP, x: torch.Tensor, seed: int = 0) -> list[dict[str, float]]:
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    return run_rule(rule, model, Batch(x), make_generator("draws", seed), sgd)


@pytest.mark.parametrize("name", ["paper", "grouped", "fast", "faster"])
@pytest.mark.parametrize("kind", ["triplet", "pair"])
def test_kernel_learns_what_the_plain_version_learns(name: str, kind: str) -> None:
    fused, plain = small(name), small(name)
    before = fused.weight.detach().clone()
    strong = {"eta_pre": 0.01, "eta_post": 0.1}
    told = train(fused, DiehlCookSTDP(kind, **strong), images(4))  # type: ignore[arg-type]
    steps = train(plain, DiehlCookSTDP(kind, fused=False, **strong), images(4))  # type: ignore[arg-type]
    assert told[-1] == pytest.approx(steps[-1], abs=1e-9)
    assert told[-1]["spikes"] >= 5
    assert float((fused.weight.detach() - before).abs().max()) > 0.01
    torch.testing.assert_close(fused.weight, plain.weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(fused.theta, plain.theta, rtol=0, atol=1e-9)
    torch.testing.assert_close(fused.potential, plain.potential, rtol=0, atol=1e-6)
    assert len(told) == 1 < len(steps)


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    name=st.sampled_from(["grouped", "fast"]),
    neurons=st.sampled_from([1, 5, 16, 20, 33]),
    seed=st.integers(0, 2**20),
    exponent=st.sampled_from([0.2, 1.0]),
)
def test_any_small_net_learns_alike(kind: str, name: str, neurons: int, seed: int, exponent: float) -> None:
    fused, plain = small(name, neurons), small(name, neurons)
    options = {"eta_pre": 0.01, "eta_post": 0.1, "exponent": exponent}
    train(fused, DiehlCookSTDP(kind, **options), images(2, seed), seed)  # type: ignore[arg-type]
    train(plain, DiehlCookSTDP(kind, fused=False, **options), images(2, seed), seed)  # type: ignore[arg-type]
    torch.testing.assert_close(fused.weight, plain.weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(fused.theta, plain.theta, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["paper", "grouped", "fast", "faster"])
def test_answers_are_the_plain_versions_spikes(name: str) -> None:
    model, x = small(name), images(6)
    counts, outcome = model.count_spikes(x, make_generator("answer"))
    key = draw_key(make_generator("answer"))
    net, weight = model.kernel_net(), model.weight.detach().t()
    for b in range(6):
        tries = int(outcome[b, 1])
        strength = model.variant.intensity + tries * model.variant.more_intensity
        raster = input_spikes(net, x[b : b + 1], strength, presentation_key(key, b, tries, learning=False))
        trace = Trace()
        list(simulate(net, weight, model.theta, model.potential, raster, trace, learn=False))
        assert torch.equal(trace.counts.int(), counts[b])
        assert trace.together == outcome[b, 2]
        assert int(trace.counts.sum()) == outcome[b, 0]
    assert counts.sum() > 20


def test_input_spikes_are_poisson_with_the_papers_rate() -> None:
    """63.75 Hz at full intensity: the mean of 2,000 spike trains of 350 ms is 22.3, and gaps are geometric."""
    model = DiehlCook(4, inputs=2000, variant="fast")
    pixels = torch.ones(1, 2000)
    pixels[0, 1000:] = 0.5
    raster = input_spikes(model.kernel_net(), pixels, 2.0, 7)
    fired = torch.zeros(700, 2000)
    for t, sources in enumerate(raster):
        assert torch.equal(sources, sources.sort().values)
        fired[t, sources] = 1
    chance = 63.75 * 0.5e-3
    for part, p in ((fired[:, :1000], chance), (fired[:, 1000:], chance / 2)):
        spread = math.sqrt(p * (1 - p) / part.numel())
        assert abs(float(part.mean()) - p) < 4 * spread
        again = float((part[1:] * part[:-1]).mean())  # independent from step to step
        assert abs(again - p * p) < 5 * math.sqrt(p * p / part.numel())
    per_step = fired.sum(1)
    assert float(per_step[:350].mean()) == pytest.approx(float(per_step[350:].mean()), rel=0.05)


def test_frames_share_the_time_of_a_presentation() -> None:
    model = DiehlCook(4, inputs=300, variant="fast")
    film = torch.zeros(2, 300)
    film[1, :150] = 1.0
    raster = input_spikes(model.kernel_net(), film, 2.0, 3)
    assert not any(len(sources) for sources in raster[:350])
    late = torch.cat(raster[350:])
    assert int(late.max()) < 150
    assert len(late) == pytest.approx(150 * 350 * 63.75 * 0.5e-3, rel=0.1)


def test_a_chance_of_one_fires_at_every_step() -> None:
    model = DiehlCook(4, inputs=2, variant="fast")
    raster = input_spikes(model.kernel_net(), torch.tensor([[1.0, 0.0]]), 100.0, 3)
    assert all(sources.tolist() == [0] for sources in raster)


def test_rest_in_closed_form_is_the_leak() -> None:
    """Without input and inhibition, v decays to rest by (1 - dt/tau) a step: 300 steps of 0.5 ms, tau 100 ms."""
    model = small("grouped", 3)
    model.variant = VARIANTS["grouped"]
    model.potential.copy_(torch.tensor([-70.0, -60.0, -65.0]))
    train(model, DiehlCookSTDP(), torch.zeros(1, 12, dtype=torch.float64))
    left = (1 - 0.5 / 100) ** 1000
    expected = -65.0 + torch.tensor([-5.0, 5.0, 0.0]).double() * left
    torch.testing.assert_close(model.potential, expected, rtol=0, atol=1e-9)


def test_answers_are_the_same_on_one_core_and_two() -> None:
    model = DiehlCook(30, variant="fast", generator=make_generator("cores")).double()
    x = torch.rand(20, 784, generator=make_generator("cores"), dtype=torch.float64)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(model.count_spikes(x, make_generator("cores")))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_dark_images_end_at_once_and_weak_ones_are_shown_again() -> None:
    model = DiehlCook(10, variant=replace(VARIANTS["fast"], present=50.0), most=3)
    model.theta.fill_(60.0)  # nothing can fire at the first intensity
    x = torch.stack([torch.zeros(784), torch.full((784,), 0.1)])
    _, outcome = model.count_spikes(x, make_generator("dark"))
    assert outcome[0].tolist() == [0, 0, 0, 0, 0]
    assert outcome[1, 1] == 3


def test_variants_refuse_what_cannot_work() -> None:
    with pytest.raises(ValueError, match="at least 75 ms"):
        Variant("short", "", rest=20.0)
    with pytest.raises(ValueError, match="delays is 'some'"):
        Variant("odd", "", delays="some")
    assert np.isclose(VARIANTS["paper"].steps, 700)


def test_a_crowd_that_fires_together_leaves_the_others_inhibited() -> None:
    """Half of the neurons are alike, none is delayed. Potentials stay between the reversal potentials, -100 and 0 mV.

    60 neurons inhibit the others by 60 x 17 times the leak, two and a half times what a step of Euler is good for.
    """
    variant = replace(VARIANTS["grouped"], delays="none", present=80.0, rest=75.0)
    model = DiehlCook(120, inputs=12, classes=3, variant=variant, generator=make_generator("crowd")).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([0.2, 0.05]).repeat_interleave(60)[:, None])
    x = images(1)
    record = model.run(x, generator=make_generator("answer"))
    counts, outcome = model.count_spikes(x, make_generator("answer"))
    assert -100.0 <= float(record.potentials[0].min()) < -99.0
    assert float(record.potentials[0].max()) < 0.0
    assert outcome[0, 2] == 60
    assert torch.equal(record.spikes[0].sum(0).int(), counts)
    assert counts[0, :60].min() >= 1
    assert counts[0, 60:].max() == 0
